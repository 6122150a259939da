import Harness
import Loop
import RedisLog
import Runs
import Testing
import Time

@Suite(.enabled(if: RedisServer.isAvailable), .serialized) struct CancelWatchTests {
  let test: TestLoop
  let server: RedisServer

  init() throws {
    test = try TestLoop()
    server = try RedisServer()
  }

  private func client(_ name: String = "fermata") -> RedisClient {
    var settings = RedisSettings()
    settings.port = server.port
    settings.clientName = name
    return RedisClient(loop: test.loop, dialer: test.dialer, settings: settings)
  }

  private func killChannels() throws {
    for line in try server.cli("CLIENT", "LIST").split(separator: "\n") where line.contains("-channels ") {
      guard let id = line.dropFirst(3).split(separator: " ").first else { continue }
      try server.cli("CLIENT", "KILL", "ID", String(id))
    }
  }

  private final class Cancelled: CancelHandler {
    var runs: [RunID] = []
    func runWasCancelled(_ run: RunID) { runs.append(run) }
  }

  @Test func `a cancellation on another replica is seen at once, and only by the run that it is for`() throws {
    let (owner, other) = (client(), client())
    defer { for client in [owner, other] { client.close() } }
    let handler = Cancelled()
    let runs = (0..<20).map { RunID("run-\($0)")! }
    for run in runs { owner.cancelWatch.watch(run, handler: handler) }
    test.run(until: { owner.channels.isOpen("ai:run:cancel") })
    test.run(for: .milliseconds(50))
    for count in 1...10 {
      let begin = test.loop.readClock()
      other.store.requestCancel(runs[count * 2 - 1]) { _ in }
      test.run(until: { handler.runs.count == count })
      #expect(test.loop.readClock() - begin < .milliseconds(250) + MachineDelay.since(begin))
    }
    #expect(handler.runs == (1...10).map { runs[$0 * 2 - 1] })
    other.store.requestCancel(runs[1]) { _ in }
    test.run(for: .milliseconds(200))
    #expect(handler.runs.count == 10)
  }

  @Test func `without the channel a cancellation is seen within a quarter of a second too`() throws {
    let (owner, other) = (client(), client("other"))
    defer { for client in [owner, other] { client.close() } }
    let handler = Cancelled()
    try server.cli("ACL", "SETUSER", "default", "resetchannels")
    let run = try #require(RunID("run-1"))
    owner.cancelWatch.watch(run, handler: handler)
    test.run(for: .milliseconds(300))
    #expect(!owner.channels.isOpen("ai:run:cancel"))
    let begin = test.loop.readClock()
    other.store.requestCancel(run) { _ in }
    test.run(until: { !handler.runs.isEmpty })
    #expect(test.loop.readClock() - begin < .milliseconds(250) + MachineDelay.since(begin))
  }

  @Test func `a channel that is cut is opened again, and what was asked for meanwhile is found`() throws {
    let owner = client()
    defer { owner.close() }
    let handler = Cancelled()
    let run = try #require(RunID("run-1"))
    owner.cancelWatch.watch(run, handler: handler)
    test.run(until: { owner.channels.isOpen("ai:run:cancel") })
    try killChannels()
    // As a worker or an operator would, without a word on the channel.
    try server.cli("SET", "ai:run:run-1:cancel", "1")
    let begin = test.loop.readClock()
    test.run(until: { !handler.runs.isEmpty })
    #expect(test.loop.readClock() - begin < .milliseconds(400) + MachineDelay.since(begin))
    test.run(until: { owner.channels.isOpen("ai:run:cancel") })
  }

  @Test func `a run that was cancelled before it is watched is told, one that is watched no more is not`() throws {
    let owner = client()
    defer { owner.close() }
    let handler = Cancelled()
    let runs = (0..<2).map { RunID("run-\($0)")! }
    try server.cli("SET", "ai:run:run-0:cancel", "1")
    owner.cancelWatch.watch(runs[0], handler: handler)
    #expect(handler.runs.isEmpty)
    owner.cancelWatch.watch(runs[1], handler: handler)
    owner.cancelWatch.stop(runs[1])
    try server.cli("SET", "ai:run:run-1:cancel", "1")
    test.run(for: .milliseconds(1300))
    #expect(handler.runs == [runs[0]])
  }
}
