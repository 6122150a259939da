import Runs
import SSE
import Streams

// What replicas tell each other.
extension StoreTrial {
  private final class Canceller: CancelHandler {
    var stopped: [RunID] = []
    func runWasCancelled(_ run: RunID) { stopped.append(run) }
  }

  private final class Reader: ClientStreamHandler {
    var wasTaken = false
    func clientStreamWasTaken() { wasTaken = true }
  }

  func stopRuns() {
    let (watched, later, spared) = (run("watched"), run("later"), run("spared"))
    for (number, run) in [watched, later, spared].enumerated() { _ = open(run, UInt64(number + 1)) }
    let handler = Canceller()
    keep(handler)
    for run in [watched, spared] { first.watchCancel(of: run, handler: handler) }
    for run in [watched, later] { _ = answer("stop") { second.requestCancel(run, $0) } }
    wait(for: "the run that is watched is stopped") { handler.stopped.contains(watched) }
    first.watchCancel(of: later, handler: handler)
    wait(for: "a run that is watched later is stopped") { handler.stopped.contains(later) }
    expect(handler.stopped.count == 2, "told besides: \(handler.stopped)")
    expect(answer("lookup") { first.lookup(later, $0) }?.isCancelled == true, "the stop is not written down")
    for run in [watched, later, spared] { first.stopWatchingCancel(of: run) }
  }

  func takeNames() {
    let (name, run) = (Digest([[5]]), run("named"))
    let (older, newer) = (Reader(), Reader())
    keep(older)
    keep(newer)
    let left = first.take(clientStream: name, run: run, request: Digest([[6]]), handler: older)
    var use: ClientStreamUse?
    wait(for: "the name is known elsewhere") {
      self.second.find(clientStream: name) { use = (try? $0.get()).flatMap { $0 } }
      return use != nil
    }
    expect(use == ClientStreamUse(run: run, request: Digest([[6]])), "another use: \(String(describing: use))")
    let taken = second.take(clientStream: name, run: run, request: nil, handler: newer)
    wait(for: "the older reader is told") { older.wasTaken }
    left.leave()
    expect(!newer.wasTaken, "the newer reader is told")
    taken.leave()
  }

  func countReaders() {
    let run = run("read")
    _ = open(run)
    first.post(run, RunStatus(progress: .init(phase: .running, attempts: 2), readers: 3))
    second.post(run, RunStatus(readers: 2))
    var standing: RunStanding?
    wait(for: "five readers") {
      self.second.standing(of: run) { standing = try? $0.get() }
      return standing?.status.readers == 5
    }
    expect(standing?.status.progress == .init(phase: .running, attempts: 2), "the owner's word is missing")
    var elsewhere: RunStatus?
    first.readersElsewhere(of: run) { elsewhere = $0 }
    wait(for: "readers elsewhere") { elsewhere != nil }
    expect(elsewhere?.readers == 2, "elsewhere: \(String(describing: elsewhere))")
    second.post(run, wish: .cancel)
    second.post(run, RunStatus(readers: 0))
    wait(for: "nobody elsewhere") {
      self.first.readersElsewhere(of: run) { elsewhere = $0 }
      return elsewhere?.readers == 0
    }
    expect(elsewhere?.wish == .cancel, "the wish is missing")
  }

  func adoptRun() {
    let (run, stream) = (run("adopted"), token(1))
    let mine = answer("adopt") { first.adopt(run, meta: meta(1, source: .worker), $0) }
    let theirs = answer("adopt again") { second.adopt(run, meta: meta(2, source: .worker), $0) }
    expect(mine == meta(1, source: .worker) && theirs == mine, "two streams: \(String(describing: theirs))")
    first.nameStream(stream, of: run)
    var found: RunID?
    wait(for: "the stream leads to the run") {
      self.second.find(stream: stream) { found = (try? $0.get()).flatMap { $0 } }
      return found == run
    }
  }
}
