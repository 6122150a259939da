import JSON
import Loop
import RedisLog
import SSE
import Streams
import Time

/// How a run stands, for `GET` of its path.
struct RunSummary: Sendable {
  /// `nil` for a worker's run that nobody has read yet.
  var stream: StreamID?
  var state: String
  var sequence: UInt64
  var readers: Int
  var attempts: Int
  var end: EndRecord?
  /// From its beginning until now, or until its end; `nil` when that is not known.
  var milliseconds: Int?

  var document: JSONValue {
    [
      "streamId": stream.map { .string($0.description) } ?? .null, "state": .string(state),
      "sequence": JSONValue(Int(clamping: sequence)), "readers": JSONValue(readers), "attempts": JSONValue(attempts),
      "outcome": end.map { .string($0.outcome.rawValue) } ?? .null,
      "reason": end.map { .string($0.reason) } ?? .null, "milliseconds": milliseconds.map { JSONValue($0) } ?? .null,
    ]
  }
}

/// Asks all loops of this process, and other replicas, how a run of this process stands.
final class RunLook {
  private let place: RunPlace
  private unowned let worker: Worker
  /// The store that the request began with; a reload may bring another while the loops are asked.
  private let redis: RedisClient?
  private let answer: (RunSummary?) -> Void
  private var state: RunSummary?
  private var readers = 0
  private var outstanding = 0

  init(at place: RunPlace, worker: Worker, _ answer: @escaping (RunSummary?) -> Void) {
    self.place = place
    self.worker = worker
    redis = place.settings.store == .redis ? worker.runs.redis : nil
    self.answer = answer
  }

  func begin() {
    let (stream, home) = (place.identity.stream, worker.index)
    let bound = LoopBound(self, loop: worker.loop)
    outstanding = worker.hub.askAll { other in
      let run = other.runs[stream]
      let state = run.flatMap { $0.isOwner ? $0.report : nil }
      let readers = run?.readers.count ?? 0
      other.hub.ask(home) { _ in bound.value.take(state, readers) }
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
    guard let redis, !redis.isAway, let id = RunID(place.identity.stream.description)
    else { return answer(state) }
    redis.store.standing(of: id) { [answer] result in
      if case .success(let standing) = result { state.readers = max(state.readers, standing.status.readers) }
      answer(state)
    }
  }
}

extension RunSummary {
  /// What the store tells of a run of another replica, or of a worker.
  init(_ known: RunState, _ standing: RunStore.Standing, at now: Int64) {
    let progress = standing.status.progress
    stream = known.meta?.stream
    // The end is an entry too, and behind all others where the run's gateway has not written it.
    let entries = known.meta?.source == .gateway ? known.last?.high ?? 0 : standing.entries
    sequence = known.end.map { entries == .max ? $0.events : entries - min(entries, 1) } ?? entries
    let phase = progress?.phase ?? (known.last == nil ? .opening : .running)
    state = known.end == nil ? phase.rawValue : RunStatus.Phase.ended.rawValue
    readers = standing.status.readers
    attempts = progress?.attempts ?? 0
    end = known.end
    milliseconds = progress?.milliseconds ?? Self.age(known, at: now)
  }

  private static func age(_ known: RunState, at now: Int64) -> Int? {
    guard let meta = known.meta else { return nil }
    guard known.end != nil else { return Int(max(0, now - meta.created.milliseconds)) }
    // Redis gives a worker's entries the time as their id; a gateway's owner has told it, or is gone.
    guard meta.source == .worker, let last = known.last else { return nil }
    return Int(clamping: max(0, Int64(clamping: last.high) - meta.created.milliseconds))
  }
}
