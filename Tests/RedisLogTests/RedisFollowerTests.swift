import Bytes
import Glibc
import Harness
import Loop
import RedisLog
import Runs
import SSE
import Streams
import Testing
import Time

@Suite(.enabled(if: RedisServer.isAvailable), .serialized) struct RedisFollowerTests {
  let test: TestLoop
  let server: RedisServer
  let run = RunID("run-1")!

  init() throws {
    test = try TestLoop()
    server = try RedisServer(["--appendonly", "yes", "--appendfsync", "always"])
  }

  private func client(_ change: (inout RedisSettings) -> Void = { _ in }) -> RedisClient {
    var settings = RedisSettings()
    settings.port = server.port
    settings.commandTimeout = .seconds(2)
    change(&settings)
    return RedisClient(loop: test.loop, dialer: test.dialer, settings: settings)
  }

  private func block(_ number: Int) -> String { "data: event \(number)\n\n" }

  private func makeLog(_ client: RedisClient, _ run: RunID? = nil) -> RedisLog {
    RedisLog(run: run ?? self.run, store: client.store, memory: MemoryLog(of: StreamID(random: (1, 2))))
  }

  private func append(_ numbers: ClosedRange<Int>, to log: RedisLog) {
    for number in numbers { _ = log.append(Array(block(number).utf8).span, EntryMetadata(number: UInt64(number))) }
  }

  private let end = EndRecord(outcome: .completed, reason: "r", events: 3, bytes: 9, upstreamIsComplete: true)

  @Test func `a run that is held comes no further, and misses nothing when it goes on`() throws {
    let (owner, other) = (client(), client())
    defer { for client in [owner, other] { client.close() } }
    let log = makeLog(owner)
    append(1...3000, to: log)
    test.run(until: { log.position(after: 3000).isFound })
    let reader = FeedRecorder()
    let feed = other.follower.follow(run, source: .gateway, handler: reader)
    test.run(until: { !reader.blocks.isEmpty })
    #expect(feed.hold())
    test.run(for: .milliseconds(300))
    let held = reader.blocks.count
    append(3001...3100, to: log)
    test.run(for: .milliseconds(300))
    #expect(reader.blocks.count == held)
    feed.goOn()
    test.run(until: { reader.blocks.count == 3100 })
    // While the blocking command waits for it.
    test.run(for: .milliseconds(100))
    #expect(feed.hold())
    append(3101...3110, to: log)
    test.run(for: .milliseconds(300))
    #expect(reader.blocks.count == 3100)
    feed.goOn()
    append(3111...3120, to: log)
    test.run(until: { reader.blocks.count == 3120 })
    log.finish(end)
    test.run(until: { reader.end != nil })
    #expect(reader.blocks == (1...3120).map(block))
  }

  @Test func `what is there comes page by page, what follows comes at once, the end is last`() throws {
    let (owner, other) = (client(), client())
    defer { for client in [owner, other] { client.close() } }
    let log = makeLog(owner)
    append(1...5000, to: log)
    test.run(until: { log.frontier > log.start && log.position(after: 5000).isFound })
    let reader = FeedRecorder()
    _ = other.follower.follow(run, source: .gateway, handler: reader)
    test.run(until: { reader.blocks.count == 5000 })
    var slowest = Nanoseconds.zero
    for number in 5001...5050 {
      let begin = test.loop.readClock()
      append(number...number, to: log)
      test.run(until: { reader.blocks.count == number })
      slowest = max(slowest, test.loop.readClock() - begin - MachineDelay.since(begin))
    }
    #expect(slowest < .milliseconds(200))
    log.finish(end)
    test.run(until: { reader.end != nil })
    #expect(reader.blocks == (1...5050).map(block))
    #expect(reader.allMetadata.map(\.number) == Array(1...5050))
    #expect(reader.end == end)
    #expect(other.follower.count == 0)
    log.close()
  }

  @Test func `what is written again together with what follows is not delivered twice`() throws {
    let (owner, other) = (client(), client())
    defer { for client in [owner, other] { client.close() } }
    let log = makeLog(owner)
    defer { log.close() }
    let reader = FeedRecorder()
    _ = other.follower.follow(run, source: .gateway, handler: reader)
    append(1...3, to: log)
    test.run(until: { reader.blocks.count == 3 })
    // Redis has lost its data; its next batch begins with what the reader has.
    try server.cli("FLUSHALL")
    try server.cli("CLIENT", "KILL", "ID", String(try #require(owner.store.connection?.clientID)))
    append(4...6, to: log)
    test.run(until: { reader.blocks.count >= 6 })
    #expect(try server.cli("XLEN", "ai:run:run-1:events") == "1")
    log.finish(end)
    test.run(until: { reader.end != nil })
    #expect(reader.blocks == (1...6).map(block))
  }

  /// Adds an entry with anything in it.
  private func add(_ id: String, _ fields: [String]) {
    let connection = test.connection(server.port)
    defer { connection.close() }
    var isAdded = false
    connection.send { command in
      for word in ["XADD", "ai:run:run-1:events", id] + fields { command.append(word) }
    } completion: {
      isAdded = (try? $0.get())?.isError == false
    }
    // Not what the script that stores would tell, but those who follow look then.
    connection.send("PUBLISH", "ai:run:run-1:news", "look") { _ in }
    test.run(until: { isAdded })
  }

  /// The fields of an entry with the events of these numbers.
  private func together(_ numbers: [Int], after id: String) -> [String] {
    let words = numbers.reversed().map { number in
      // All below 128, so that they are the same as text.
      String(decoding: [UInt8(block(number).utf8.count), 0, 0, 0, UInt8(number), 0, 0, 0], as: UTF8.self)
    }
    return ["a", id, "n", "0", "b", numbers.map(block).joined(), "w", words.joined()]
  }

  @Test(arguments: [
    ["a", "0-0", "n", "0", "b", "data: x\n\n", "w", "12345678"], ["a", "0-0", "n", "0", "b", "data: x\n\n", "w", "1"],
    ["a", "0-0", "b", "data: x\n\n", "w", ""], ["a", "0-0", "n", "0", "b", "data: x\n\n", "w", ""],
    ["a", "0-0", "n", "x", "b", "", "w", ""], ["a", "0-0", "n", "0", "b", "", "w", ""], ["a", "0-0"], ["z", "0-0"],
    // The largest id, and one more.
    ["a", "0-18446744073709551615", "n", "0", "b", "x", "w", "\u{1}\0\0\0\0\0\0\u{8}"],
  ]) func `an entry that no gateway writes is never passed over`(fields: [String]) throws {
    let client = client()
    defer { client.close() }
    let reader = FeedRecorder()
    add("1-0", fields)
    _ = client.follower.follow(run, source: .gateway, handler: reader)
    test.run(until: { !reader.log.isEmpty })
    // A block whose id turns out to be wrong has been delivered by then.
    #expect(reader.log == ["vanished"] && reader.blocks.count <= (fields.contains("x") ? 1 : 0))
  }

  @Test func `an event that is missing among some that were written together is never passed over`() throws {
    let client = client()
    defer { client.close() }
    for (entries, seen) in [([[1, 2, 4]], 2), ([[1, 2], [4, 5]], 2), ([[3, 4], [5, 7]], 3)] {
      try server.cli("DEL", "ai:run:run-1:events")
      let reader = FeedRecorder()
      for numbers in entries {
        add("\(numbers.last ?? 0)-0", together(numbers, after: "\((numbers.first ?? 1) - 1)-0"))
      }
      _ = client.follower.follow(run, source: .gateway, handler: reader)
      test.run(until: { !reader.log.isEmpty })
      #expect(reader.blocks == Array(entries.joined()).prefix(seen).map(block) && reader.log == ["vanished"])
    }
  }

  @Test func `a batch that was carried out late, and again with what follows, is delivered once`() throws {
    let client = client()
    defer { client.close() }
    let reader = FeedRecorder()
    add("3-0", together([1, 2, 3], after: "0-0"))
    add("5-0", together([1, 2, 3, 4, 5], after: "0-0"))
    add("6-0", ["b", block(6)])
    add("7-0", ["end", "{\"outcome\":\"completed\",\"reason\":\"r\",\"events\":6}"])
    _ = client.follower.follow(run, source: .gateway, handler: reader)
    test.run(until: { reader.end != nil })
    #expect(reader.blocks == (1...6).map(block) && reader.end?.outcome == .completed)
  }

  @Test func `runs join and leave while others are waited for`() throws {
    let client = client()
    defer { client.close() }
    var (logs, readers, feeds): ([RedisLog], [FeedRecorder], [FollowedRun]) = ([], [], [])
    for index in 0..<20 {
      let run = try #require(RunID("run-\(index)"))
      logs.append(makeLog(client, run))
      readers.append(FeedRecorder())
      feeds.append(client.follower.follow(run, source: .gateway, handler: readers[index]))
      let begin = test.loop.readClock()
      for (place, log) in logs.enumerated() { append(index - place + 1...index - place + 1, to: log) }
      test.run(until: { readers.enumerated().allSatisfy { $1.blocks.count == index - $0 + 1 } })
      // Far below the five seconds that the others' waiting takes.
      #expect(test.loop.readClock() - begin < .seconds(1) + MachineDelay.since(begin))
    }
    for feed in feeds[0..<10] { feed.cancel() }
    for (place, log) in logs.enumerated() { append(20 - place + 1...20 - place + 1, to: log) }
    test.run(until: { readers[10...].enumerated().allSatisfy { $1.blocks.count == 11 - $0 } })
    #expect(readers[0].blocks.count == 20)
    for log in logs { log.close() }
  }

  @Test func `what a worker writes becomes events`() throws {
    let client = client()
    defer { client.close() }
    let reader = FeedRecorder()
    _ = client.follower.follow(run, source: .worker, handler: reader)
    test.run(for: .milliseconds(100))
    let key = "ai:run:run-1:events"
    try server.cli("XADD", key, "*", "event", "delta", "data", "one")
    try server.cli("XADD", key, "*", "data", "{\"a\":1}\n{\"b\":2}\r\nc\rd")
    try server.cli("XADD", key, "*", "event", "x\ndata: forged", "data", "y", "id", "7\n")
    try server.cli("XADD", key, "*", "event", "status", "id", "42", "other", "field")
    try server.cli("XADD", key, "*", "end", "completed", "reason", "all done")
    test.run(until: { reader.end != nil })
    #expect(
      reader.blocks == [
        "event: delta\ndata: one\n\n", "data: {\"a\":1}\ndata: {\"b\":2}\ndata: c\ndata: d\n\n", "data: y\n\n",
        "event: status\nid: 42\ndata: \n\n",
      ])
    #expect(reader.allMetadata == (1...4).map { EntryMetadata(number: $0) })
    let bytes = UInt64(reader.blocks.reduce(0) { $0 + $1.utf8.count })
    #expect(
      reader.end
        == EndRecord(outcome: .completed, reason: "all done", events: 4, bytes: bytes, upstreamIsComplete: true))
  }

  @Test(arguments: [
    ("cancelled", Outcome.cancelled), ("upstream_error", .upstreamError), ("finished", .incomplete), ("", .incomplete),
    ("{\"outcome\":\"nonsense\"}", .gatewayError), ("{broken", .incomplete),
  ]) func `an end that a worker words otherwise is an end all the same`(text: String, outcome: Outcome) throws {
    let client = client()
    defer { client.close() }
    let reader = FeedRecorder()
    _ = client.follower.follow(run, source: .worker, handler: reader)
    try server.cli("XADD", "ai:run:run-1:events", "*", "end", text)
    test.run(until: { reader.end != nil })
    #expect(reader.end?.outcome == outcome)
  }

  @Test func `connections that are killed cost a follower nothing`() throws {
    let (owner, other) = (client(), client { $0.clientName = "follower" })
    defer { for client in [owner, other] { client.close() } }
    let log = makeLog(owner)
    let reader = FeedRecorder()
    _ = other.follower.follow(run, source: .gateway, handler: reader)
    for round in 0..<20 {
      append(round * 50 + 1...round * 50 + 50, to: log)
      test.run(for: .milliseconds(5))
      for line in try server.cli("CLIENT", "LIST").split(separator: "\n") where line.contains(" name=follower-") {
        guard round % 3 > 0 || line.contains("blocking"), let id = line.dropFirst(3).split(separator: " ").first
        else { continue }
        try server.cli("CLIENT", "KILL", "ID", String(id))
      }
    }
    log.finish(end)
    test.run(until: { reader.end != nil })
    #expect(reader.blocks == (1...1000).map(block))
    #expect(reader.log.isEmpty)
    log.close()
  }

  @Test func `Redis paused, then killed and restarted: nothing is missed, nothing comes twice`() throws {
    let (owner, other) = (client(), client())
    defer { for client in [owner, other] { client.close() } }
    let log = makeLog(owner)
    let reader = FeedRecorder()
    _ = other.follower.follow(run, source: .gateway, handler: reader)
    append(1...10, to: log)
    test.run(until: { reader.blocks.count == 10 })
    try server.cli("CLIENT", "PAUSE", "5000")
    append(11...20, to: log)
    test.run(until: { reader.blocks.count == 20 })
    server.kill()
    append(21...30, to: log)
    test.run(for: .milliseconds(300))
    try server.start()
    append(31...40, to: log)
    log.finish(end)
    test.run(until: { reader.end != nil })
    #expect(reader.blocks == (1...40).map(block))
    #expect(reader.log.isEmpty)
    log.close()
  }

  @Test func `a store that is away for long is told, and that it is back`() throws {
    let client = client { $0.patience = .milliseconds(400) }
    defer { client.close() }
    let reader = FeedRecorder()
    _ = client.follower.follow(run, source: .worker, handler: reader)
    try server.cli("XADD", "ai:run:run-1:events", "*", "data", "one")
    test.run(until: { reader.blocks.count == 1 })
    server.kill()
    test.run(until: { !reader.log.isEmpty })
    try server.start()
    try server.cli("XADD", "ai:run:run-1:events", "*", "data", "two")
    test.run(until: { reader.blocks.count == 2 })
    #expect(reader.log == ["lost", "back"])
  }

  @Test func `a run that is deleted has vanished; one that has not begun yet has not`() throws {
    let client = client()
    defer { client.close() }
    let (reader, early) = (FeedRecorder(), FeedRecorder())
    _ = client.follower.follow(run, source: .worker, handler: reader)
    _ = client.follower.follow(try #require(RunID("later")), source: .worker, handler: early)
    try server.cli("XADD", "ai:run:run-1:events", "*", "data", "one")
    test.run(until: { reader.blocks.count == 1 })
    try server.cli("DEL", "ai:run:run-1:events")
    test.run(until: { !reader.log.isEmpty })
    #expect(reader.log == ["vanished"])
    #expect(early.log.isEmpty)
    #expect(client.follower.count == 1)
  }

  @Test func `a key that is no stream ends its own run and no other`() throws {
    let client = client()
    defer { client.close() }
    let (good, bad) = (FeedRecorder(), FeedRecorder())
    _ = client.follower.follow(run, source: .worker, handler: good)
    _ = client.follower.follow(try #require(RunID("bad")), source: .worker, handler: bad)
    test.run(for: .milliseconds(100))
    try server.cli("SET", "ai:run:bad:events", "x")
    try server.cli("XADD", "ai:run:run-1:events", "*", "data", "one")
    test.run(until: { good.blocks.count == 1 && !bad.log.isEmpty })
    try server.cli("XADD", "ai:run:run-1:events", "*", "data", "two")
    test.run(until: { good.blocks.count == 2 })
    #expect(bad.log == ["vanished"])
  }

  @Test func `an event that is missing in a gateway's run is never passed over`() throws {
    let client = client()
    defer { client.close() }
    let reader = FeedRecorder()
    try server.cli("XADD", "ai:run:run-1:events", "1-0", "b", block(1))
    try server.cli("XADD", "ai:run:run-1:events", "3-0", "b", block(3))
    _ = client.follower.follow(run, source: .gateway, handler: reader)
    test.run(until: { !reader.log.isEmpty })
    #expect(reader.blocks == [block(1)] && reader.log == ["vanished"])
  }

  @Test func `a run whose owner is gone is ended for its followers`() throws {
    let (owner, other) = (
      client {
        $0.lease = .milliseconds(500)
        $0.renewal = .milliseconds(200)
      },
      client { $0.renewal = .milliseconds(200) }
    )
    defer { for client in [owner, other] { client.close() } }
    let token = StreamID(random: (1, 1))
    let meta = RunMeta(principal: Digest([]), stream: token, created: WallTime(milliseconds: 1))
    var isClaimed = false
    owner.store.claim(run, token: token, meta: meta) { isClaimed = $0 == .success(.mine) }
    test.run(until: { isClaimed })
    let lease = RunLease(store: owner.store, run: run, token: token, meta: meta) {}
    let log = makeLog(owner)
    let (reader, second) = (FeedRecorder(), FeedRecorder())
    _ = other.follower.follow(run, source: .gateway, handler: reader)
    _ = other.follower.follow(run, source: .gateway, handler: second)
    append(1...3, to: log)
    test.run(for: .milliseconds(1500))
    #expect(reader.blocks.count == 3 && reader.end == nil)
    // As if the process were gone: neither the lease nor the log says another word.
    log.close()
    owner.close()
    test.run(until: { reader.end != nil && second.end != nil })
    #expect(reader.end?.outcome == .gatewayError)
    #expect(reader.end?.events == 3)
    #expect(try server.cli("XLEN", "ai:run:run-1:events") == "2")
    lease.release()
  }
}

/// Writes down what a feed delivers.
final class FeedRecorder: RunFeedHandler {
  var blocks: [String] = []
  var allMetadata: [EntryMetadata] = []
  var end: EndRecord?
  var log: [String] = []

  func runReceived(_ block: Span<UInt8>, _ metadata: EntryMetadata) {
    blocks.append(String(copying: block))
    allMetadata.append(metadata)
    if end != nil { log.append("after the end") }
  }

  func runEnded(_ end: EndRecord) {
    if self.end != nil { log.append("second end") }
    self.end = end
  }

  func runVanished() { log.append("vanished") }
  func runStoreLost() { log.append("lost") }
  func runStoreBack() { log.append("back") }
}

extension LogLookup {
  var isFound: Bool { if case .found = self { true } else { false } }
}
