import Bytes
import EventSamples
import SSE
import Streams
import Synchronization
import Testing

/// A budget that keeps count.
final class CountingBudget: ByteBudget {
  private let state: Mutex<(free: Int, most: Int, taken: Int)>

  init(_ size: Int) { state = Mutex((size, 0, 0)) }

  var taken: Int { state.withLock { $0.taken } }
  var most: Int { state.withLock { $0.most } }

  func take(_ count: Int) -> Bool {
    state.withLock { state in
      guard count <= state.free else { return false }
      state.free -= count
      state.taken += count
      state.most = max(state.most, state.taken)
      return true
    }
  }

  func giveBack(_ count: Int) {
    state.withLock { state in
      state.free += count
      state.taken -= count
    }
  }
}

/// An entry as a test sees it.
struct SeenEntry: Equatable, CustomStringConvertible {
  var metadata: EntryMetadata
  var bytes: [UInt8]

  init(_ metadata: EntryMetadata, _ bytes: [UInt8]) {
    self.metadata = metadata
    self.bytes = bytes
  }

  init(event number: UInt64, _ text: String, mark: EventMark = []) {
    self.init(EntryMetadata(number: number, mark: mark), Array(text.utf8))
  }

  var description: String { "\(metadata.number)\(metadata.kind)[\(bytes.count)]" }
}

extension EventLog {
  @discardableResult
  func append(_ entry: SeenEntry) -> AppendResult { append(entry.bytes.span, entry.metadata) }

  func entries(from position: LogPosition, atMost count: Int = .max) -> (seen: [SeenEntry], position: LogPosition?) {
    var seen: [SeenEntry] = []
    let position = read(from: position) { block, metadata in
      seen.append(SeenEntry(metadata, block.withUnsafeBufferPointer { Array($0) }))
      return seen.count < count
    }
    return (seen, position)
  }
}

struct MemoryLogTests {
  static let end = EndRecord(outcome: .completed, reason: "why", events: 1, bytes: 2, upstreamIsComplete: true)

  @Test func `an empty log has nothing, and costs nothing`() {
    let log = MemoryLog(of: Play.stream)
    #expect(log.oldest == nil)
    #expect(log.last == 0)
    #expect(log.bytes == 0)
    #expect(log.start == .beginning)
    #expect(log.frontier == .beginning)
    #expect(log.position(after: 0) == .found(.beginning))
    #expect(log.position(after: 1) == .ahead(last: 0))
    #expect(log.entries(from: .beginning).position == .beginning)
  }

  @Test func `a short run costs a kilobyte, and no more than its entries when it has ended`() {
    let budget = CountingBudget(1 << 20)
    let log = MemoryLog(of: Play.stream, budget: budget)
    log.append(SeenEntry(event: 1, "data: x\n\n"))
    #expect(log.bytes == 1024)
    #expect(log.finish(Self.end))
    // Its id, its bytes and a word are 46 bytes; no memory is smaller than 64.
    #expect(log.bytes == 64)
    #expect(budget.taken == 64)
    #expect(log.entries(from: .beginning).seen == [SeenEntry(event: 1, "data: x\n\n")])
  }

  @Test func `what an entry is comes back with it`() {
    let log = MemoryLog(of: Play.stream)
    var entries = [
      SeenEntry(EntryMetadata(number: 0, kind: .filler), [0xEF, 0xBB, 0xBF]),
      SeenEntry(EntryMetadata(number: 0, kind: .other), Array(":c\n\n".utf8)),
      SeenEntry(event: 1, "data: x\n\n", mark: EventMark(rawValue: 0x1F)),
      SeenEntry(EntryMetadata(number: 1, kind: .other), Array("id: 4\n\n".utf8)),
      SeenEntry(event: 2, "event: error\ndata: x\n\n", mark: .error),
      SeenEntry(EntryMetadata(number: 3, kind: .unterminated), Array("data: y".utf8)),
    ]
    for entry in entries { #expect(log.append(entry) == .kept) }
    #expect(log.entries(from: .beginning).seen == entries)
    #expect(log.last == 3)
    let partial = SeenEntry(EntryMetadata(number: 3, kind: .partial), Array("data".utf8))
    log.append(partial)
    entries.append(partial)
    #expect(log.entries(from: .beginning).seen == entries)
    #expect(log.last == 3)
  }

  @Test func `nothing comes after the end, and the first end stays`() {
    let log = MemoryLog(of: Play.stream)
    log.append(SeenEntry(event: 1, "data: x\n\n"))
    #expect(log.finish(Self.end))
    var other = Self.end
    other.outcome = .cancelled
    #expect(!log.finish(other))
    #expect(log.end == Self.end)
    #expect(log.append(SeenEntry(event: 2, "data: x\n\n")) == .ended)
    #expect(log.last == 1)
  }

  @Test func `a run may hold so much, and not one byte more`() {
    let log = MemoryLog(of: Play.stream, limits: .init(run: 100))
    let half = SeenEntry(event: 1, String(repeating: "x", count: 50))
    #expect(log.append(half) == .kept)
    #expect(log.append(SeenEntry(event: 2, String(repeating: "x", count: 51))) == .full(.run))
    // A later entry that fits would leave a gap.
    #expect(log.append(SeenEntry(event: 2, "x")) == .full(.run))
    #expect(log.entries(from: .beginning).seen == [half])
    #expect(LogLimit.run.outcome == .runTooLarge)
  }

  @Test func `all runs together may hold so much, and who goes leaves room`() {
    let budget = CountingBudget(3000)
    var logs = (0..<2).map { _ in MemoryLog(of: Play.stream, budget: budget) }
    for log in logs { #expect(log.append(SeenEntry(event: 1, "data: x\n\n")) == .kept) }
    let third = MemoryLog(of: Play.stream, budget: budget)
    #expect(third.append(SeenEntry(event: 1, "data: x\n\n")) == .full(.process))
    #expect(third.bytes == 0)
    logs.removeAll()
    #expect(budget.taken == 0)
    #expect(MemoryLog(of: Play.stream, budget: budget).append(SeenEntry(event: 1, "data: x\n\n")) == .kept)
    #expect(budget.taken == 0)
  }

  @Test func `a block larger than a segment has one of its own`() {
    let log = MemoryLog(of: Play.stream)
    let large = SeenEntry(event: 2, String(repeating: "x", count: 1 << 20))
    log.append(SeenEntry(event: 1, "data: x\n\n"))
    log.append(large)
    log.append(SeenEntry(event: 3, "data: y\n\n"))
    #expect(log.bytes == 1024 + (1 << 20) + EventIDLine.longest + 16 + (16 << 10))
    #expect(log.entries(from: .beginning).seen.map(\.metadata.number) == [1, 2, 3])
    #expect(log.entries(from: .beginning).seen[1] == large)
  }

  @Test func `what is behind the window is told as evicted, and never skipped`() {
    let log = MemoryLog(of: Play.stream, limits: .init(window: 8 << 10))
    var first: LogPosition?
    for number in 1...1000 {
      log.append(SeenEntry(event: UInt64(number), "data: \(number) \(String(repeating: "x", count: 90))\n\n"))
      if number == 1 { first = log.frontier }
      log.trim(keeping: log.frontier)
    }
    let oldest = log.oldest ?? 0
    #expect(oldest > 1 && oldest < 1000)
    #expect(log.position(after: 0) == .evicted(oldest: oldest))
    #expect(log.position(after: oldest - 2) == .evicted(oldest: oldest))
    #expect(log.position(after: oldest - 1) == .found(log.start))
    #expect(log.read(from: first ?? .beginning) { _, _ in true } == nil)
    #expect(log.position(after: 1000) == .found(log.frontier))
    #expect(log.position(after: 1001) == .ahead(last: 1000))
    #expect(log.entries(from: log.start).seen.map(\.metadata.number) == Array(oldest...1000))
  }

  @Test func `what is pinned stays, whatever the window says`() {
    let log = MemoryLog(of: Play.stream, limits: .init(window: 2 << 10))
    log.pin = .beginning
    for number in 1...200 { log.append(SeenEntry(event: UInt64(number), String(repeating: "x", count: 100))) }
    #expect(log.isOver)
    log.trim(keeping: log.frontier)
    #expect(log.entries(from: .beginning).seen.count == 200)
    log.pin = nil
    for number in 201...1000 { log.append(SeenEntry(event: UInt64(number), String(repeating: "x", count: 100))) }
    #expect(log.oldest == 1, "nothing is dropped before readers could have it")
    log.trim(keeping: .beginning)
    #expect(log.oldest ?? 0 > 200, "the window does not wait for the slow")
  }

  @Test func `a log that begins later has what was before it as evicted`() {
    let log = MemoryLog(of: Play.stream)
    let first: UInt64 = 1 << 40
    for number in first...first + 5 { log.append(SeenEntry(event: number, "data: x\n\n")) }
    #expect(log.oldest == first)
    #expect(log.position(after: 0) == .evicted(oldest: first))
    #expect(log.position(after: first - 1) == .found(.beginning))
    #expect(log.entries(from: .beginning).seen.last?.metadata.number == first + 5)
  }

  @Test func `an id of the backend's own is found where it came last`() {
    let log = MemoryLog(of: Play.stream)
    let blocks = ["id: a\ndata: 1\n\n", "id: b\ndata: 2\n\n", "id: a\r\ndata: 3\r\n\r\n", "data: 4\n\n"]
    for (index, text) in blocks.enumerated() {
      log.append(SeenEntry(event: UInt64(index + 1), text))
    }
    func next(_ id: String) -> UInt64? {
      log.position(afterBackendID: Array(id.utf8).span).flatMap { log.entries(from: $0).seen.first?.metadata.number }
    }
    #expect(next("a") == 4)
    #expect(next("b") == 3)
    #expect(next("") == nil)
    #expect(next("ab") == nil)
    // Also in a later segment.
    for number in 5...300 {
      log.append(SeenEntry(event: UInt64(number), "\(number == 200 ? "id: b\n" : "")data: \(number)\n\n"))
    }
    #expect(next("b") == 201 && next("a") == 4)
  }

  @Test func `entries are lent as they are kept, with a word for each`() {
    let log = MemoryLog(of: Play.stream)
    var entries: [SeenEntry] = []
    func append(_ entry: SeenEntry) {
      entries.append(entry)
      log.append(entry)
    }
    append(SeenEntry(EntryMetadata(number: 0, kind: .other), Array(":c\n\n".utf8)))
    for number in 1...3000 {
      let own = number % 7 == 0 ? "id: own\n" : ""
      let mark: EventMark = number % 5 == 0 ? [.terminal, .completion] : []
      append(SeenEntry(event: UInt64(number), "\(own)data: \(number)\n\n", mark: mark))
      if number % 11 == 0 { append(SeenEntry(EntryMetadata(number: UInt64(number), kind: .filler), [0x0A])) }
    }
    append(SeenEntry(EntryMetadata(number: 3001, kind: .unterminated, mark: .error), Array("data: z".utf8)))
    var position = LogPosition.beginning
    var seen: [SeenEntry] = []
    while position < log.frontier {
      let before = seen.count
      let next = log.lend(from: position, atMost: LogRoom(entries: 100, bytes: 3000)) { piece, bytes, words in
        let first = seen.count
        read(bytes, words, piece.precedingNumber, into: &seen)
        var again: [SeenEntry] = []
        let isWhole = LogPiece.read(bytes, words: words, after: piece.precedingNumber) { block, metadata in
          again.append(SeenEntry(metadata, [UInt8](copying: block)))
          return true
        }
        #expect(isWhole && again == Array(seen[first...]))
        let others = seen[first...].reversed().prefix { !$0.metadata.kind.isEvent }.count
        #expect(piece.others == others && piece.hasEvent == (others < seen.count - first))
        #expect(piece.lastNumber == seen.last?.metadata.number)
      }
      position = next ?? log.frontier
      #expect(seen.count > before && seen.count - before <= 100)
    }
    #expect(seen == entries)
  }

  @Test func `a piece whose words are anything is refused, or read within its bytes`() {
    var random = SeededGenerator(seed: 11)
    let bytes = (0..<64).map { UInt8($0) }
    var refused = 0
    for _ in 0..<20_000 {
      // Words as they may be, and some of their bits turned.
      var words: [UInt8] = []
      for _ in 0..<Int.random(in: 0...4, using: &random) {
        var word = UInt64.random(in: 0...24, using: &random) | UInt64.random(in: 0...3, using: &random) << 32
        if Int.random(in: 0...3, using: &random) == 0 { word ^= 1 << UInt64.random(in: 0..<64, using: &random) }
        words += (0..<8).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) }
      }
      if Int.random(in: 0...9, using: &random) == 0 { words.append(0) }
      var lent = 0
      let number = Int.random(in: 0...9, using: &random) == 0 ? UInt64.max - 1 : 7
      let isWhole = LogPiece.read(bytes.span, words: words.span, after: number) { block, _ in
        lent += block.count
        return true
      }
      #expect(lent <= bytes.count)
      if !isWhole { refused += 1 }
    }
    #expect(refused > 10_000 && refused < 20_000)
  }

  /// As docs/protocol.md describes them.
  private func read(_ bytes: Span<UInt8>, _ words: Span<UInt8>, _ preceding: UInt64, into seen: inout [SeenEntry]) {
    var offset = 0
    for place in stride(from: words.count - 8, through: 0, by: -8) {
      let word = words.word(at: place)
      let (length, line) = (Int(word & 0xFFFF_FFFF), Int(word >> 48 & 0x3F))
      let metadata = EntryMetadata(
        number: preceding + (word >> 32 & 0xFFFF), kind: EntryKind(rawValue: UInt8(word >> 59)) ?? .event,
        mark: EventMark(rawValue: UInt8(word >> 54 & 0x1F)))
      let block = [UInt8](copying: bytes.extracting(offset + line..<offset + length))
      let text = String(decoding: block, as: UTF8.self)
      let isFramed = metadata.kind == .event && !text.hasPrefix("id:")
      let expected = isFramed ? "id: \(Play.streamText).\(metadata.number)\n" : ""
      #expect(String(copying: bytes.extracting(offset..<offset + line)) == expected)
      seen.append(SeenEntry(metadata, block))
      offset += length
    }
    #expect(offset == bytes.count)
  }

  @Test func `what a log gives up serves the next one, and what nobody needs goes back`() {
    let pool = SegmentPool(limit: 256 << 10)
    let budget = CountingBudget(.max)
    func fill() -> MemoryLog {
      let log = MemoryLog(of: Play.stream, budget: budget, pool: pool)
      for number in 1...4000 { log.append(SeenEntry(event: UInt64(number), String(repeating: "x", count: 100))) }
      return log
    }
    let log = fill()
    #expect(pool.bytes == 0)
    log.retire()
    #expect(log.bytes == 0 && budget.taken == 0)
    #expect(log.append(SeenEntry(event: 4001, "x")) != .kept)
    #expect(log.read(from: .beginning) { _, _ in true } == nil)
    // No more than its limit.
    #expect(pool.bytes == 256 << 10)
    let next = fill()
    #expect(pool.bytes == 0)
    #expect(next.entries(from: .beginning).seen.count == 4000)
    next.retire()
    // Some of it was needed since it was there; in the time that follows none is.
    pool.trim()
    #expect(pool.bytes == 256 << 10)
    pool.trim()
    #expect(pool.bytes == 0)
  }

  @Test func `a log that was closed takes no more, and has no end of its own`() {
    let log = MemoryLog(of: Play.stream)
    log.append(SeenEntry(event: 1, "data: x\n\n"))
    log.close()
    #expect(log.append(SeenEntry(event: 2, "data: x\n\n")) == .ended)
    #expect(log.breach == nil && log.end == nil && log.last == 1)
  }
}
