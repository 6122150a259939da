import Bytes
import Glibc
import Loop
import RedisLog
import Runs
import SSE
import Streams
import Testing
import Time

@Suite(.enabled(if: RedisServer.isAvailable), .serialized) struct RedisLogTests {
  let test: TestLoop
  let server: RedisServer
  let redis: RedisConnection
  let run = RunID("run-1")!

  init() throws {
    test = try TestLoop()
    server = try RedisServer(["--appendonly", "yes", "--appendfsync", "always"])
    var limits = RedisConnection.Limits()
    limits.command = .milliseconds(800)
    redis = test.connection(server.port, limits: limits)
  }

  private func makeLog(
    limits: MemoryLog.Limits = MemoryLog.Limits(), _ change: (inout RedisSettings) -> Void = { _ in }
  ) -> RedisLog {
    var settings = RedisSettings()
    change(&settings)
    let memory = MemoryLog(of: StreamID(random: (1, 2)), limits: limits)
    return RedisLog(run: run, store: RunRecords(redis: redis, settings: settings), memory: memory)
  }

  /// Every third has an id of its own.
  private func block(_ number: Int) -> String {
    (number % 3 == 0 ? "id: \(number)\n" : "") + "data: event \(number)\n\n"
  }

  private func append(_ numbers: ClosedRange<Int>, to log: RedisLog) {
    for number in numbers {
      #expect(log.append(Array(block(number).utf8).span, EntryMetadata(number: UInt64(number))) == .kept)
    }
  }

  private let end = EndRecord(
    outcome: .completed, reason: "the backend ended its stream", events: 3, bytes: 99, upstreamIsComplete: true)

  /// What lies in Redis, read beside the log.
  private func entries() throws -> [StoredBlock] {
    let reader = test.connection(server.port)
    defer { reader.close() }
    var answer: Result<[StoredBlock], any Error>?
    reader.send { command in
      for word in ["XRANGE", "ai:run:run-1:events", "-", "+"] { command.append(word) }
    } completion: { result in
      answer = Result { try StoredBlock.read(try result.get()) }
    }
    test.run(until: { answer != nil })
    return try #require(answer).get()
  }

  private func stored(_ numbers: ClosedRange<Int>) -> [StoredBlock] {
    numbers.map { StoredBlock("\($0)-0", block($0)) }
  }

  private func close(_ log: RedisLog) {
    log.close()
    redis.close()
  }

  private func visible(_ log: RedisLog) -> [String] {
    var blocks: [String] = []
    _ = log.read(from: log.start) { block, _ in
      blocks.append(String(copying: block))
      return true
    }
    return blocks
  }

  @Test func `entries lie in Redis as the schema says`() throws {
    let log = makeLog()
    defer { close(log) }
    let blocks: [(String, EntryMetadata)] = [
      (": hello\n\n", EntryMetadata(number: 0, kind: .other)), ("\u{FEFF}", EntryMetadata(number: 0, kind: .filler)),
      ("data: one\n\n", EntryMetadata(number: 1)), (": a\n\n", EntryMetadata(number: 1, kind: .other)),
      (": b\n\n", EntryMetadata(number: 1, kind: .other)),
      ("data: two\r\n\r\n", EntryMetadata(number: 2, mark: [.terminal, .completion])),
      ("data: three", EntryMetadata(number: 3, kind: .unterminated)), ("da", EntryMetadata(number: 3, kind: .partial)),
    ]
    for (text, metadata) in blocks { #expect(log.append(Array(text.utf8).span, metadata) == .kept) }
    #expect(log.finish(end))
    #expect(!log.finish(end))
    #expect(log.end == nil && visible(log).isEmpty)
    test.run(until: { log.end != nil })
    #expect(visible(log) == blocks.map(\.0))
    let record = """
      {"outcome":"completed","reason":"the backend ended its stream","events":3,"bytes":99,"complete":true}
      """
    #expect(
      try entries() == [
        StoredBlock("0-1", ": hello\n\n"), StoredBlock("0-2", "\u{FEFF}", kind: "f"),
        StoredBlock("1-0", "data: one\n\n"), StoredBlock("1-1", ": a\n\n"), StoredBlock("1-2", ": b\n\n"),
        StoredBlock("2-0", "data: two\r\n\r\n", mark: 3), StoredBlock("3-0", "data: three", kind: "u"),
        StoredBlock("3-1", "da", kind: "p"), StoredBlock(end: record, id: "4-0"),
      ])
    #expect(
      try server.cli("XLEN", "ai:run:run-1:events") == "2", "together one, and the end")
    #expect((Int(try server.cli("TTL", "ai:run:run-1:events")) ?? 0) > 3500)
    #expect(log.append(Array("x".utf8).span, EntryMetadata(number: 4)) == .ended)
  }

  @Test func `nobody sees an event before Redis has it`() throws {
    let log = makeLog()
    defer { close(log) }
    let observer = LogObserver()
    log.observer = observer
    append(1...1, to: log)
    #expect(log.last == 1)
    #expect(log.frontier == .beginning)
    #expect(log.position(after: 1) == .ahead(last: 1))
    test.run(until: { observer.moves > 0 })
    #expect(visible(log) == [block(1)])
    #expect(log.position(after: 1) == .found(log.frontier))
  }

  @Test func `ten thousand events arrive in order, in batches`() throws {
    let log = makeLog()
    defer { close(log) }
    append(1...10_000, to: log)
    log.finish(end)
    test.run(until: { log.end != nil })
    let kept = try entries()
    #expect(kept.count == 10_001)
    #expect(kept.dropLast() == stored(1...10_000)[...])
  }

  @Test func `entries of every kind find their places among many plain ones`() throws {
    let log = makeLog()
    defer { close(log) }
    var expected: [StoredBlock] = []
    for number in 1...1500 {
      if number % 100 == 0 {
        // Its bytes are anything, also what separates the parts of a command.
        let text = "; 1 2-0 u 3;\r\n$5\r\n\0\u{1}"
        #expect(log.append(Array(text.utf8).span, EntryMetadata(number: UInt64(number - 1), kind: .filler)) == .kept)
        expected.append(StoredBlock("\(number - 1)-1", text, kind: "f"))
      }
      let mark: EventMark = number % 250 == 0 ? .error : []
      #expect(log.append(Array(block(number).utf8).span, EntryMetadata(number: UInt64(number), mark: mark)) == .kept)
      expected.append(StoredBlock("\(number)-0", block(number), mark: Int(mark.rawValue)))
    }
    log.finish(end)
    test.run(until: { log.end != nil })
    #expect(try entries().dropLast() == expected[...])
  }

  @Test func `connections that are killed lose nothing and double nothing`() throws {
    let log = makeLog()
    defer { close(log) }
    var number = 0
    var expected: [StoredBlock] = []
    for _ in 0..<25 {
      for _ in 0..<40 {
        number += 1
        append(number...number, to: log)
        expected += stored(number...number)
        for low in 0..<number % 4 {
          _ = log.append(Array(": \(low)\n\n".utf8).span, EntryMetadata(number: UInt64(number), kind: .other))
          expected.append(StoredBlock("\(number)-\(low + 1)", ": \(low)\n\n"))
          if low == 1 { test.run(for: .milliseconds(1)) }
        }
        if number % 7 == 0 { test.run(for: .milliseconds(1)) }
      }
      if let id = redis.clientID { try server.cli("CLIENT", "KILL", "ID", String(id)) }
    }
    log.finish(end)
    test.run(until: { log.end != nil })
    let kept = try entries()
    #expect(kept.dropLast() == expected[...])
    #expect(kept.last?.end != nil && visible(log).count == expected.count)
  }

  @Test func `a pause is waited for, even beyond the deadline of a command`() throws {
    let log = makeLog()
    defer { close(log) }
    append(1...5, to: log)
    test.run(until: { visible(log).count == 5 })
    try server.cli("CLIENT", "PAUSE", "2000")
    append(6...10, to: log)
    test.run(for: .milliseconds(300))
    append(11...15, to: log)
    test.run(until: { visible(log).count == 15 })
    #expect(try entries() == stored(1...15))
  }

  @Test func `Redis killed and restarted has everything that was acknowledged, and gets the rest`() throws {
    let log = makeLog()
    defer { close(log) }
    append(1...100, to: log)
    test.run(until: { visible(log).count == 100 })
    append(101...110, to: log)
    server.kill()
    append(111...120, to: log)
    test.run(for: .milliseconds(500))
    try server.start()
    log.finish(end)
    test.run(until: { log.end != nil })
    #expect(try entries().dropLast() == stored(1...120)[...])
  }

  @Test func `an entry that comes while the connection is given up leaves as soon as there is another`() throws {
    let log = makeLog { $0.patience = .seconds(30) }
    defer { close(log) }
    append(1...5, to: log)
    test.run(until: { visible(log).count == 5 })
    server.kill()
    // Longer than commands are taken for.
    test.run(until: { !redis.hasRoom(for: "k") })
    append(6...6, to: log)
    test.run(for: .milliseconds(300))
    #expect(visible(log).count == 5)
    try server.start()
    let back = test.loop.readClock()
    test.run(until: { visible(log).count == 6 })
    #expect(test.loop.readClock() - back < .seconds(10))
    #expect(try entries() == stored(1...6))
  }

  @Test func `what a restarted Redis has lost is sent again, and readers see no step back`() throws {
    let log = makeLog()
    defer { close(log) }
    append(1...50, to: log)
    test.run(until: { visible(log).count == 50 })
    try server.cli("FLUSHALL")
    // The next batch is taken as if nothing had happened; only a failure makes the log look.
    try server.cli("CLIENT", "KILL", "ID", String(try #require(redis.clientID)))
    append(51...60, to: log)
    #expect(visible(log).count == 50)
    test.run(until: { visible(log).count == 60 })
    #expect(try entries() == stored(1...60))
  }

  @Test func `a batch that Redis refuses leaves no gap`() throws {
    let log = makeLog()
    defer { close(log) }
    append(1...3, to: log)
    test.run(until: { visible(log).count == 3 })
    try server.cli("CONFIG", "SET", "maxmemory", "1")
    append(4...6, to: log)
    test.run(for: .milliseconds(300))
    #expect(visible(log).count == 3)
    append(7...9, to: log)
    try server.cli("CONFIG", "SET", "maxmemory", "0")
    test.run(until: { visible(log).count == 9 })
    #expect(try entries() == stored(1...9))
  }

  @Test func `a store that only answers questions is away too`() throws {
    let log = makeLog { $0.patience = .milliseconds(500) }
    defer { close(log) }
    let observer = LogObserver()
    log.observer = observer
    append(1...3, to: log)
    test.run(until: { visible(log).count == 3 })
    try server.cli("CONFIG", "SET", "maxmemory", "1")
    append(4...6, to: log)
    test.run(until: { observer.log == ["lost"] })
    try server.cli("CONFIG", "SET", "maxmemory", "0")
    test.run(until: { observer.log == ["lost", "recovered"] })
    #expect(try entries() == stored(1...6))
  }

  @Test func `a store that is away is told once, and once that it is back`() throws {
    let log = makeLog { $0.patience = .milliseconds(500) }
    defer { close(log) }
    let observer = LogObserver()
    log.observer = observer
    append(1...3, to: log)
    test.run(until: { visible(log).count == 3 })
    test.run(for: .milliseconds(800))
    #expect(observer.log.isEmpty)
    server.kill()
    append(4...6, to: log)
    test.run(until: { !observer.log.isEmpty })
    #expect(visible(log).count == 3)
    log.goOnWithoutStore()
    append(7...8, to: log)
    #expect(visible(log).count == 8)
    test.run(for: .milliseconds(700))
    #expect(observer.log == ["lost"])
    try server.start()
    test.run(until: { observer.log.count > 1 })
    #expect(observer.log == ["lost", "recovered"])
    append(9...9, to: log)
    #expect(visible(log).count == 8)
    log.finish(end)
    test.run(until: { log.end != nil })
    #expect(try entries().dropLast() == stored(1...9)[...])
  }

  @Test func `more than may wait is a loss too, and what memory has dropped is never sent with a gap`() throws {
    let log = makeLog(limits: MemoryLog.Limits(window: 2000)) { $0.pendingLimit = 20_000 }
    defer { close(log) }
    let observer = LogObserver()
    log.observer = observer
    append(1...1, to: log)
    test.run(until: { visible(log).count == 1 })
    server.kill()
    append(2...2000, to: log)
    log.memory.trim(keeping: log.frontier)
    #expect(log.oldest == 1 || log.oldest == 2)
    test.run(until: { observer.log == ["lost"] })
    log.goOnWithoutStore()
    append(2001...4000, to: log)
    log.memory.trim(keeping: log.frontier)
    #expect((log.oldest ?? 0) > 2)
    try server.start()
    test.run(for: .milliseconds(500))
    #expect(observer.log == ["lost"])
    #expect(try entries() == stored(1...1))
    log.finish(end)
    #expect(log.end == end)
  }

  @Test func `the end that somebody else has given a run is the end`() throws {
    let log = makeLog()
    defer { close(log) }
    let observer = LogObserver()
    log.observer = observer
    append(1...2, to: log)
    test.run(until: { visible(log).count == 2 })
    try server.cli("XADD", "ai:run:run-1:events", "3-0", "end", "{\"outcome\":\"gateway_error\",\"reason\":\"gone\"}")
    append(3...3, to: log)
    test.run(until: { !observer.log.isEmpty })
    #expect(observer.log == ["ownership"])
    #expect(log.end?.outcome == .gatewayError && log.end?.reason == "gone")
    #expect(visible(log).count == 2)
    #expect(!log.finish(end))
    #expect(log.append(Array("x".utf8).span, EntryMetadata(number: 4)) == .ended)
    #expect(try entries().count == 3)
  }

  @Test func `the acknowledgement of the end may be lost`() throws {
    let log = makeLog()
    defer { close(log) }
    append(1...2, to: log)
    log.finish(end)
    test.run(until: { log.end != nil })
    let again = makeLog()
    append(1...2, to: again)
    again.finish(end)
    test.run(until: { again.end != nil })
    #expect(again.end == end)
    #expect(try entries().count == 3)
    again.close()
  }
}

private final class LogObserver: EventLogObserver {
  var moves = 0
  var log: [String] = []
  func frontierMoved() { moves += 1 }
  func storeLost() { log.append("lost") }
  func storeRecovered() { log.append("recovered") }
  func ownershipLost() { log.append("ownership") }
}
