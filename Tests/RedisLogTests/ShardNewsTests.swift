import Bytes
import Loop
import RedisLog
import Runs
import SSE
import Streams
import Testing
import Time

/// What is told of runs in a Redis Cluster, at the servers that have their slots.
@Suite(.enabled(if: RedisServer.isAvailable), .serialized) struct ShardNewsTests {
  let test: TestLoop
  let cluster: ClusterServers
  private let run = RunID("run-1")!
  private let key = "ai:run:{run-1}:events"
  private let channel = "ai:run:{run-1}:news"
  private let end = EndRecord(outcome: .completed, reason: "r", events: 3, bytes: 9, upstreamIsComplete: true)

  init() throws {
    test = try TestLoop()
    cluster = try ClusterServers()
    // The servers took a while, and the loop's time is that of its last turn.
    test.run(for: .milliseconds(5))
  }

  private func client() throws -> RedisClient {
    let client = RedisClient(loop: test.loop, dialer: test.dialer, settings: try cluster.settings([0, 1, 2]))
    client.start()
    test.run(until: { client.isReady })
    return client
  }

  private func block(_ number: Int) -> String { "data: event \(number)\n\n" }

  private func makeLog(_ client: RedisClient) -> RedisLog {
    RedisLog(run: run, store: client.store, memory: MemoryLog(of: StreamID(random: (1, 2))))
  }

  private func append(_ number: Int, to log: RedisLog) {
    _ = log.append(Array(block(number).utf8).span, EntryMetadata(number: UInt64(number)))
  }

  /// How often each server was sent a command, or a script has.
  private func calls(_ command: String) throws -> [Int] {
    try cluster.servers.map { server in
      let lines = try server.cli("info", "commandstats").split(whereSeparator: \.isNewline)
      let line = lines.first { $0.hasPrefix("cmdstat_\(command):calls=") } ?? ""
      return Int(line.drop { $0 != "=" }.dropFirst().prefix { $0.isNumber }) ?? 0
    }
  }

  /// How many listen to the run's channel at each server.
  private func listeners() throws -> [Int] {
    try cluster.servers.map { Int(try $0.cli("PUBSUB", "SHARDNUMSUB", channel).split(separator: "\n").last ?? "") ?? 0 }
  }

  private func listens(at server: Int) -> () -> Bool {
    { (try? listeners()) == (0..<3).map { $0 == server ? 1 : 0 } }
  }

  /// Appends one event after the other, until one comes that the log was not read for.
  ///
  /// - Returns: the number of the last.
  private func appendUntilTold(
    behind last: Int, to log: RedisLog, _ reader: FeedRecorder, sourceLocation: SourceLocation = #_sourceLocation
  ) throws -> Int {
    for number in last + 1...last + 100 {
      let before = try calls("xrange")
      append(number, to: log)
      test.run(until: { reader.blocks.count == number })
      if try calls("xrange") == before { return number }
    }
    Issue.record("each event had to be read", sourceLocation: sourceLocation)
    return last + 100
  }

  @Test func `what is stored is told at the run's server, and at no other`() throws {
    let (owner, other) = (try client(), try client())
    defer { for client in [owner, other] { client.close() } }
    let reader = FeedRecorder()
    _ = other.follower.follow(run, source: .gateway, handler: reader)
    let home = try cluster.master(of: key)
    test.run(until: listens(at: home))
    let log = makeLog(owner)
    let number = try appendUntilTold(behind: 0, to: log, reader)
    log.finish(end)
    test.run(until: { reader.end == end })
    #expect(reader.blocks == (1...number).map(block))
    let told = try calls("spublish")
    #expect(told[home] > number && told.enumerated().allSatisfy { $0.offset == home || $0.element == 0 }, "\(told)")
    #expect(try calls("publish") == [0, 0, 0])
    log.close()
  }

  @Test func `a channel moves with its slot, and nothing is missed on the way`() throws {
    let (owner, other) = (try client(), try client())
    defer { for client in [owner, other] { client.close() } }
    let reader = FeedRecorder()
    _ = other.follower.follow(run, source: .gateway, handler: reader)
    let log = makeLog(owner)
    var number = try appendUntilTold(behind: 0, to: log, reader)
    for _ in 0..<3 {
      let target = (try cluster.master(of: key) + 1) % 3
      let before = try calls("publish")
      try cluster.move(key, to: target) {
        for _ in 0..<3 {
          number += 1
          append(number, to: log)
          test.run(until: { reader.blocks.count == number })
        }
      }
      // Stored where nobody listens yet, and said so.
      #expect(try zip(calls("publish"), before).contains { $0 > $1 })
      test.run(until: listens(at: target))
      number = try appendUntilTold(behind: number, to: log, reader)
    }
    log.finish(end)
    test.run(until: { reader.end == end })
    #expect(reader.blocks == (1...number).map(block))
    log.close()
  }

  @Test func `a slot that is given away without a key takes its channel along`() throws {
    let other = try client()
    defer { other.close() }
    let reader = FeedRecorder()
    let feed = other.follower.follow(run, source: .gateway, handler: reader)
    let home = try cluster.master(of: key)
    test.run(until: listens(at: home))
    try cluster.move(key, to: (home + 2) % 3) {}
    test.run(until: listens(at: (home + 2) % 3))
    feed.cancel()
    test.run(until: { (try? listeners()) == [0, 0, 0] })
  }

  @Test func `an account that may use no such channels tells and hears as without a cluster`() throws {
    for server in cluster.servers { try server.cli("ACL", "SETUSER", "default", "-spublish", "-ssubscribe") }
    let (owner, other) = (try client(), try client())
    defer { for client in [owner, other] { client.close() } }
    let reader = FeedRecorder()
    let feed = other.follower.follow(run, source: .gateway, handler: reader)
    let log = makeLog(owner)
    let number = try appendUntilTold(behind: 0, to: log, reader)
    #expect(try calls("publish").reduce(0, +) >= number)
    #expect(reader.blocks == (1...number).map(block))
    feed.cancel()
    log.close()
  }

  @Test(arguments: ["CLIENT KILL TYPE pubsub", "CLIENT KILL TYPE normal SKIPME yes"])
  func `nothing is lost when the run's server drops connections`(command: String) throws {
    let (owner, other) = (try client(), try client())
    defer { for client in [owner, other] { client.close() } }
    let reader = FeedRecorder()
    _ = other.follower.follow(run, source: .gateway, handler: reader)
    let log = makeLog(owner)
    let home = try cluster.master(of: key)
    for number in 1...60 {
      append(number, to: log)
      if number % 20 == 10 { try cluster.servers[home].cli(command.split(separator: " ").map(String.init)) }
      test.run(for: .milliseconds(5))
    }
    test.run(until: { reader.blocks.count == 60 })
    _ = try appendUntilTold(behind: 60, to: log, reader)
    log.finish(end)
    test.run(until: { reader.end == end })
    #expect(Array(reader.blocks.prefix(60)) == (1...60).map(block))
    #expect(!reader.log.contains("vanished"), "\(reader.log)")
    log.close()
  }

  // MARK: - What workers write

  private func write(_ number: Int, at server: Int, isTold: Bool) throws {
    try cluster.servers[server].cli("XADD", key, "*", "data", "event \(number)")
    if isTold { try cluster.servers[server].cli("SPUBLISH", channel, "x") }
  }

  @Test func `a worker's run is not read over and over when its worker tells, and is when it does not`() throws {
    let client = try client()
    defer { client.close() }
    let reader = FeedRecorder()
    let home = try cluster.master(of: key)
    _ = client.follower.follow(run, source: .worker, handler: reader)
    test.run(until: listens(at: home))
    /// How often the log is read while nothing comes, for longer than between two looks at what says nothing.
    func readsInSilence() throws -> Int {
      let before = try calls("xrange")[home]
      test.run(for: .seconds(3))
      return try calls("xrange")[home] - before
    }
    try write(1, at: home, isTold: false)
    test.run(until: { reader.blocks.count == 1 })
    let untold = try readsInSilence()
    for number in 2...4 {
      try write(number, at: home, isTold: true)
      test.run(until: { reader.blocks.count == number })
    }
    let told = try readsInSilence()
    #expect(told <= 2 && untold > 2 * told, "read \(untold) times, and \(told) times")
    // A worker that stops telling is found out.
    try write(5, at: home, isTold: false)
    test.run(until: { reader.blocks.count == 5 })
    #expect(try readsInSilence() > 2 * told)
    #expect(reader.blocks == (1...5).map(block))
  }

  @Test func `the end that a gateway gives a worker's run is told too`() throws {
    let (client, other) = (try client(), try client())
    defer { for client in [client, other] { client.close() } }
    let reader = FeedRecorder()
    let home = try cluster.master(of: key)
    _ = other.follower.follow(run, source: .worker, handler: reader)
    test.run(until: listens(at: home))
    var isEnded: Bool?
    client.store.endWorkers(run, end, ifLastIs: nil) { isEnded = try? $0.get() }
    test.run(until: { isEnded != nil && reader.end != nil })
    #expect(isEnded == true && reader.end?.outcome == .completed)
    #expect(try calls("spublish")[home] == 1)
  }
}
