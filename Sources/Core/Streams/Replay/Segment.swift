import Bytes
import SSE

/// A piece of memory with whole entries. An entry is a word of eight bytes (`Word`) and its block.
struct Segment: ~Copyable {
  static let headSize = 8

  /// The log's offset of the first byte.
  let start: UInt64
  /// The number of the last event before this segment.
  let precedingNumber: UInt64
  /// The number of the first event in it.
  private(set) var firstEvent: UInt64?
  private var buffer = ByteBuffer()
  /// Bytes of memory held; 0 for one that takes nothing.
  private(set) var allocated: Int

  init(size: Int, start: UInt64, following number: UInt64) {
    self.start = start
    precedingNumber = number
    allocated = size
    if size > 0 { buffer.reserve(size) }
  }

  /// The log's offset behind the last byte.
  var end: UInt64 { start + UInt64(buffer.count) }

  /// Whether an entry of that number with a block of `count` bytes has room here.
  func takes(_ count: Int, number: UInt64) -> Bool {
    buffer.count + Self.headSize + count <= allocated && number >= precedingNumber
      && number - precedingNumber <= Word.largestNumber
  }

  mutating func append(_ block: Span<UInt8>, _ head: EntryHead) {
    let word = Word(length: block.count, number: head.number &- precedingNumber, kind: head.kind, mark: head.mark)
    word.write(to: &buffer)
    buffer.append(block)
    if firstEvent == nil, head.kind.isEvent { firstEvent = head.number }
  }

  /// Gives back the memory behind the last entry.
  ///
  /// - Returns: how many bytes that was.
  mutating func trim() -> Int {
    let spare = allocated - buffer.count
    guard spare > 0 else { return 0 }
    var exact = ByteBuffer()
    exact.reserve(buffer.count)
    exact.append(buffer)
    buffer = exact
    allocated -= spare
    return spare
  }

  /// Lends the entries from the log's `offset` up to `limit` and moves `offset` behind the last one lent.
  ///
  /// - Returns: whether `body` wants more.
  func read(_ offset: inout UInt64, upTo limit: UInt64, _ body: (Span<UInt8>, EntryHead) -> Bool) -> Bool {
    var index = Int(offset - start)
    defer { offset = start + UInt64(index) }
    return buffer.withSpan { bytes in
      let end = Int(min(UInt64(bytes.count), limit - start))
      while index < end {
        let word = Word(reading: bytes, at: index)
        let first = index + Self.headSize
        index = first + word.length
        if !body(bytes.extracting(first..<index), head(word)) { return false }
      }
      return true
    }
  }

  /// The log's offset behind the event `number`, or in front of the first event after it.
  func offset(after number: UInt64) -> UInt64 {
    var found = start
    var offset = start
    _ = read(&offset, upTo: end) { block, head in
      if head.number > number { return false }
      found += UInt64(Self.headSize + block.count)
      return head.number < number || !head.kind.isEvent
    }
    return found
  }

  /// The log's offset behind the last event with this `id` of its own.
  func offset(afterBackendID id: Span<UInt8>) -> UInt64? {
    var found: UInt64?
    var behind = start
    var offset = start
    _ = read(&offset, upTo: end) { block, head in
      behind += UInt64(Self.headSize + block.count)
      if head.kind != .partial, Event.id(of: block, equals: id) { found = behind }
      return true
    }
    return found
  }

  private func head(_ word: Word) -> EntryHead {
    EntryHead(number: precedingNumber + word.number, kind: word.kind, mark: word.mark)
  }

  /// What stands before a block: its length (32 bits), its number counted from the segment's (24), its mark (5), its
  /// kind (3).
  private struct Word {
    static let largestNumber: UInt64 = (1 << 24) - 1
    private let bits: UInt64

    init(length: Int, number: UInt64, kind: EntryKind, mark: EventMark) {
      let flags = UInt64(mark.rawValue & 0x1F) << 3 | UInt64(kind.rawValue)
      bits = UInt64(UInt32(truncatingIfNeeded: length)) | (number & Self.largestNumber) << 32 | flags << 56
    }

    init(reading bytes: Span<UInt8>, at index: Int) {
      bits = bytes.word(at: index)
    }

    func write(to buffer: inout ByteBuffer) {
      buffer.append(word: bits, count: 8)
    }

    var length: Int { Int(bits & 0xFFFF_FFFF) }
    var number: UInt64 { bits >> 32 & Self.largestNumber }
    var mark: EventMark { EventMark(rawValue: UInt8(truncatingIfNeeded: bits >> 59)) }
    var kind: EntryKind { EntryKind(rawValue: UInt8(truncatingIfNeeded: bits >> 56 & 7)) ?? .event }
  }
}

/// A segment that nothing is added to any more.
final class SealedSegment {
  let segment: Segment

  init(_ segment: consuming Segment) { self.segment = segment }
}
