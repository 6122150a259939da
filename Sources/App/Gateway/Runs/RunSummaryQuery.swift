import Configuration
import JSON
import Loop
import Runs
import SSE
import Streams
import Time

/// Asks all loops of this process, and other replicas, how a run of this process stands.
final class RunSummaryQuery {
  private let place: RunPlace
  private let runs: LoopRuns
  /// The store that the request began with; a reload may bring another while the loops are asked.
  private let store: (any RunStore)?
  private let answer: (RunSummary?) -> Void
  private var state: RunSummary?
  private var readers = 0
  private var outstanding = 0

  init(at place: RunPlace, among runs: LoopRuns, _ answer: @escaping (RunSummary?) -> Void) {
    self.place = place
    self.runs = runs
    store = place.settings.isStored ? runs.store : nil
    self.answer = answer
  }

  func begin() {
    let (stream, home) = (place.identity.stream, runs.context.index)
    let bound = LoopBound(self, loop: runs.context.loop)
    outstanding = runs.peers.askAll { other in
      let run = other[stream]
      let state = run.flatMap { $0.isOwner ? $0.report : nil }
      let readers = run?.readers.count ?? 0
      other.peers.ask(home) { _ in bound.value.take(state, readers) }
    }
    if outstanding == 0 { answer(nil) }
  }

  private func take(_ state: RunSummary?, _ readers: Int) {
    self.state = self.state ?? state
    self.readers += readers
    outstanding -= 1
    if outstanding == 0 { askReplicas() }
  }

  private func askReplicas() {
    guard var state else { return answer(nil) }
    state.readers = readers
    guard let store, store.connection.fault == nil, let id = RunID(place.identity.stream.description)
    else { return answer(state) }
    store.standing(of: id) { [answer] result in
      if case .success(let standing) = result { state.readers = max(state.readers, standing.status.readers) }
      answer(state)
    }
  }
}
