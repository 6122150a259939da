import Harness
import Loop
import RedisLog
import Runs
import Streams
import Testing
import Time

/// What replicas tell each other of runs and readers.
@Suite(.enabled(if: RedisServer.isAvailable), .serialized) struct RunStatusTests {
  let test: TestLoop
  let server: RedisServer
  let run = RunID("run-1")!

  init() throws {
    test = try TestLoop()
    server = try RedisServer()
  }

  private func client(_ name: String, lease: Nanoseconds = .seconds(10)) -> RedisClient {
    var settings = RedisSettings()
    settings.port = server.port
    settings.clientName = name
    settings.lease = lease
    settings.renewal = Nanoseconds(lease.value / 3)
    return RedisClient(loop: test.loop, dialer: test.dialer, settings: settings)
  }

  private func standing(_ client: RedisClient) throws -> RunStanding {
    var answer: RunStanding?
    client.store.standing(of: run) { answer = try? $0.get() }
    test.run(until: { answer != nil })
    return try #require(answer)
  }

  @Test func `the owner tells how far a run is, everybody how many read it`() throws {
    let (owner, other, third) = (client("a"), client("b"), client("c"))
    defer { for client in [owner, other, third] { client.close() } }
    #expect(try standing(third).status == RunStatus())
    let running = RunStatus.Progress(phase: .running, attempts: 2)
    owner.statusBoard.post(run, RunStatus(progress: .init(phase: .opening, attempts: 0), readers: 1))
    owner.statusBoard.post(run, RunStatus(progress: running, readers: 3))
    other.statusBoard.post(run, RunStatus(readers: 2))
    test.run(for: .milliseconds(200))
    #expect(try standing(third).status == RunStatus(progress: running, readers: 5))
    third.statusBoard.post(run, wish: .cancel)
    other.statusBoard.post(run, wish: .grace(.seconds(7)))
    test.run(for: .milliseconds(100))
    var elsewhere: RunStatus?
    owner.statusBoard.readersElsewhere(of: run) { elsewhere = $0 }
    test.run(until: { elsewhere != nil })
    #expect(elsewhere?.readers == 2)
    #expect(elsewhere?.wish == .grace(.seconds(7)), "the last one counts")
    let ended = RunStatus.Progress(phase: .ended, attempts: 2, milliseconds: 1234)
    owner.statusBoard.post(run, RunStatus(progress: ended, readers: 0))
    other.statusBoard.post(run, RunStatus(readers: 0))
    test.run(for: .milliseconds(200))
    let last = try standing(third).status
    #expect(last.progress == ended && last.readers == 0)
    #expect(Int(try server.cli("TTL", "ai:run:run-1:state")) ?? 0 > 3000)
  }

  @Test func `a status is noted at once by a Redis that has forgotten the script`() throws {
    let (owner, other) = (client("a"), client("b"))
    defer { for client in [owner, other] { client.close() } }
    for readers in 1...3 {
      other.statusBoard.post(run, RunStatus(readers: readers))
      // Each look runs the loop until its answer has come.
      var seen = RunStatus()
      for _ in 0..<100 where seen.readers != readers { seen = try standing(owner).status }
      #expect(seen.readers == readers)
      try server.cli("SCRIPT", "FLUSH")
    }
    #expect(try server.cli("INFO", "errorstats").contains("errorstat_NOSCRIPT:count=2"))
  }

  @Test(arguments: ["9223372036854775807", "99999999999999999999999", "-5", "x"])
  func `no number in a run's state is too large`(number: String) throws {
    let client = client("a")
    defer { client.close() }
    for place in 1...3 {
      try server.cli("HSET", "ai:run:run-1:state", "readers:\(place)", number)
      try server.cli("SET", "ai:gateway:\(place)", "1")
    }
    for name in ["attempts", "milliseconds"] { try server.cli("HSET", "ai:run:run-1:state", name, number) }
    try server.cli("HSET", "ai:run:run-1:state", "state", "ended")
    let status = try standing(client).status
    #expect(status.readers == (number == "9223372036854775807" ? Int.max : 0))
    #expect(status.progress?.attempts == Int(number) ?? 0)
  }

  @Test func `many changes are one command`() throws {
    let owner = client("a")
    defer { owner.close() }
    // The connection is there, and the scripts are loaded.
    _ = try standing(owner)
    let before = owner.counts.commands
    for count in 1...1000 {
      owner.statusBoard.post(run, RunStatus(progress: .init(phase: .running, attempts: 1), readers: count))
    }
    test.run(for: .milliseconds(300))
    #expect(owner.counts.commands - before < 5)
    #expect(try standing(owner).status.readers == 1000)
  }

  @Test func `the readers of a gateway that died are forgotten`() throws {
    let (dead, alive) = (client("a", lease: .milliseconds(200)), client("b", lease: .milliseconds(200)))
    defer { alive.close() }
    dead.statusBoard.post(run, RunStatus(readers: 4))
    alive.statusBoard.post(run, RunStatus(readers: 1))
    test.run(for: .milliseconds(900))
    #expect(try standing(alive).status.readers == 5)
    dead.close()
    test.run(for: .milliseconds(900))
    #expect(try standing(alive).status.readers == 1)
  }

  private final class Reader: ClientStreamHandler {
    var wasTaken = false
    func clientStreamWasTaken() { wasTaken = true }
  }

  @Test(arguments: [true, false])
  func `a name that is used on another replica is taken within a quarter of a second`(hearsChannel: Bool) throws {
    if !hearsChannel { try server.cli("ACL", "SETUSER", "default", "resetchannels") }
    let (first, second) = (client("a"), client("b"))
    defer { for client in [first, second] { client.close() } }
    let (older, newer, name) = (Reader(), Reader(), Digest([[1]]))
    let request = Digest([[2]])
    let hold = first.clientStreams.take(name, run: run, request: request, handler: older)
    test.run(for: .milliseconds(300))
    #expect(!older.wasTaken && first.channels.isOpen("ai:client") == hearsChannel)
    var use: ClientStreamUse??
    second.clientStreams.find(name) { use = try? $0.get() }
    test.run(until: { use != nil })
    let found = try #require(use.flatMap { $0 })
    #expect(found.run == run && found.request == request)
    let begin = test.loop.readClock()
    let taken = second.clientStreams.take(name, run: run, request: nil, handler: newer)
    test.run(until: { older.wasTaken })
    #expect(test.loop.readClock() - begin < .milliseconds(250) + MachineDelay.since(begin))
    hold.leave()
    test.run(for: .milliseconds(300))
    #expect(!newer.wasTaken)
    taken.leave()
  }

  @Test func `what one node does not tell of gateways leaves the others known`() throws {
    var settings = RedisSettings()
    settings.port = server.port
    settings.usesHashTags = true
    let client = RedisClient(loop: test.loop, dialer: test.dialer, settings: settings)
    defer { client.close() }
    for place in ["here", "hidden"] { try server.cli("SET", client.store.keys.gateway(place), "1") }
    // As a node that is away: its keys, and no others, can't be read.
    try server.cli("ACL", "SETUSER", "default", "resetkeys", "~*here", "~*gone")
    var living: [String: Bool]?
    client.store.living(["here", "hidden", "gone"]) { living = $0 }
    test.run(until: { living != nil })
    #expect(living == ["here": true, "gone": false])
  }
}
