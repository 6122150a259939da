import Bytes
import Glibc
import Loop
import RedisLog
import Runs
import SSE
import Streams
import Testing
import Time

/// What is stored of a gateway's run is told on the run's channel, and the log stays the truth.
@Suite(.enabled(if: RedisServer.isAvailable), .serialized) struct RunNewsTests {
  let test: TestLoop
  let server: RedisServer
  let run = RunID("run-1")!
  private let key = "ai:run:run-1:events"
  private let channel = "ai:run:run-1:news"

  init() throws {
    test = try TestLoop()
    server = try RedisServer()
  }

  private func client(user: String? = nil) -> RedisClient {
    var settings = RedisSettings()
    settings.port = server.port
    settings.user = user
    settings.password = user.map { _ in "word" }
    return RedisClient(loop: test.loop, dialer: test.dialer, settings: settings)
  }

  private func block(_ number: Int) -> String { "data: event \(number)\n\n" }

  private func makeLog(_ client: RedisClient, _ name: String = "run-1") -> RedisLog {
    RedisLog(run: RunID(name)!, store: client.store, memory: MemoryLog(of: StreamID(random: (1, 2))))
  }

  private func append(_ numbers: ClosedRange<Int>, to log: RedisLog) {
    for number in numbers { _ = log.append(Array(block(number).utf8).span, EntryMetadata(number: UInt64(number))) }
  }

  private let end = EndRecord(outcome: .completed, reason: "r", events: 3, bytes: 9, upstreamIsComplete: true)

  /// How often Redis was sent a command.
  private func calls(_ command: String) throws -> Int {
    let lines = try server.cli("info", "commandstats").split(whereSeparator: \.isNewline)
    let line = lines.first { $0.hasPrefix("cmdstat_\(command):calls=") } ?? ""
    return Int(line.drop { $0 != "=" }.dropFirst().prefix { $0.isNumber }) ?? 0
  }

  /// Appends an event to each log, and another one, until events come to all readers while the log is not read: from then
  /// on the channels tell all that is new.
  ///
  /// - Returns: the number of the last event.
  private func appendUntilTold(to logs: [RedisLog], _ readers: [FeedRecorder]) throws -> Int {
    for number in 1...100 {
      let before = try calls("xrange")
      for log in logs { append(number...number, to: log) }
      test.run(until: { readers.allSatisfy { $0.blocks.count == number } })
      if try calls("xrange") == before { return number }
    }
    throw NeverTold()
  }

  private struct NeverTold: Error {}

  @Test func `events come in order with the end, while nothing blocks and the log is hardly read`() throws {
    let (owner, other) = (client(), client())
    defer { for client in [owner, other] { client.close() } }
    let runs = (1...50).map { "run-\($0)" }
    let logs = runs.map { makeLog(owner, $0) }
    let readers = runs.map { _ in FeedRecorder() }
    for (name, reader) in zip(runs, readers) {
      _ = other.follower.follow(RunID(name)!, source: .gateway, handler: reader)
    }
    let first = try appendUntilTold(to: logs, readers)
    let before = try calls("xrange")
    let last = first + 100
    for number in first + 1...last {
      for log in logs { append(number...number, to: log) }
      if number % 10 == 0 { test.run(until: { readers.allSatisfy { $0.blocks.count == number } }) }
    }
    for log in logs { log.finish(end) }
    test.run(until: { readers.allSatisfy { $0.end == end } })
    for reader in readers { #expect(reader.blocks == (1...last).map(block)) }
    #expect(try calls("xread") == 0)
    // On a busy machine one may look whether it has missed something.
    #expect(try calls("xrange") - before <= 50)
    #expect(try calls("evalsha") > calls("eval"))
    for log in logs { log.close() }
  }

  @Test func `a batch of several events and its end are told as one`() throws {
    let (owner, other) = (client(), client())
    defer { for client in [owner, other] { client.close() } }
    let reader = FeedRecorder()
    _ = other.follower.follow(run, source: .gateway, handler: reader)
    let log = makeLog(owner)
    let first = try appendUntilTold(to: [log], [reader])
    let before = try calls("xrange")
    append(first + 1...4000, to: log)
    log.finish(end)
    test.run(until: { reader.end != nil })
    #expect(reader.blocks == (1...4000).map(block))
    #expect(try calls("xrange") == before)
    log.close()
  }

  @Test func `an entry that does not follow the last one has the log read`() throws {
    let client = client()
    defer { client.close() }
    let reader = FeedRecorder()
    try server.cli("XADD", key, "1-0", "b", block(1))
    _ = client.follower.follow(run, source: .gateway, handler: reader)
    test.run(until: { reader.blocks.count == 1 })
    test.run(until: { (try? server.cli("pubsub", "numsub", channel))?.hasSuffix("1") == true })
    test.run(for: .milliseconds(100))
    try server.cli("XADD", key, "2-0", "b", block(2))
    try server.cli("XADD", key, "3-0", "b", block(3))
    func told(_ preceding: String, _ id: String, _ text: String) -> String {
      "*2\r\n$\(preceding.utf8.count)\r\n\(preceding)\r\n*2\r\n$\(id.utf8.count)\r\n\(id)\r\n"
        + "*2\r\n$1\r\nb\r\n$\(text.utf8.count)\r\n\(text)\r\n"
    }
    try server.cli("PUBLISH", channel, told("2-0", "3-0", block(3)))
    test.run(until: { reader.blocks.count == 3 })
    // Told twice, and told what is no entry: nothing comes of it.
    for message in [
      told("2-0", "3-0", block(3)), "", "*2\r\n", "*1\r\n$1\r\nx\r\n", "$-1\r\n", "*2\r\n:1\r\n:2\r\n", "junk",
    ] {
      try server.cli("PUBLISH", channel, message)
    }
    try server.cli("XADD", key, "4-0", "b", block(4))
    try server.cli("PUBLISH", channel, told("3-0", "4-0", block(4)))
    test.run(until: { reader.blocks.count == 4 })
    test.run(for: .milliseconds(200))
    #expect(reader.blocks == (1...4).map(block) && reader.log.isEmpty)
  }

  @Test func `what is stored and told to nobody is found all the same`() throws {
    let client = client()
    defer { client.close() }
    let reader = FeedRecorder()
    try server.cli("SET", "ai:run:run-1:owner", "somebody")
    try server.cli("XADD", key, "1-0", "b", block(1))
    _ = client.follower.follow(run, source: .gateway, handler: reader)
    test.run(until: { reader.blocks.count == 1 })
    test.run(for: .milliseconds(300))
    try server.cli("XADD", key, "2-0", "b", block(2))
    test.run(until: { reader.blocks.count == 2 })
    #expect(reader.log.isEmpty)
  }

  @Test func `an account that may use no channel reads all the same`() throws {
    try server.cli(["acl", "setuser", "mute", "on", ">word", "~*", "resetchannels", "+@all"])
    let (owner, other) = (client(user: "mute"), client(user: "mute"))
    defer { for client in [owner, other] { client.close() } }
    let reader = FeedRecorder()
    _ = other.follower.follow(run, source: .gateway, handler: reader)
    let log = makeLog(owner)
    for number in 1...20 {
      append(number...number, to: log)
      test.run(until: { reader.blocks.count == number })
    }
    log.finish(end)
    test.run(until: { reader.end == end })
    #expect(reader.blocks == (1...20).map(block))
    log.close()
  }

  @Test(arguments: ["SCRIPT FLUSH", "CLIENT KILL TYPE pubsub", "CLIENT KILL TYPE normal SKIPME yes"])
  func `nothing is lost when Redis forgets the script or drops connections`(command: String) throws {
    let (owner, other) = (client(), client())
    defer { for client in [owner, other] { client.close() } }
    let reader = FeedRecorder()
    _ = other.follower.follow(run, source: .gateway, handler: reader)
    let log = makeLog(owner)
    for number in 1...60 {
      append(number...number, to: log)
      if number % 20 == 10 { try server.cli(command.split(separator: " ").map(String.init)) }
      test.run(for: .milliseconds(5))
    }
    log.finish(end)
    test.run(until: { reader.end == end })
    #expect(reader.blocks == (1...60).map(block))
    #expect(!reader.log.contains("vanished"), "\(reader.log)")
    log.close()
  }
}
