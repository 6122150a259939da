import Bytes

/// Entries of a log that lie one behind the other, as they are kept: their bytes, events with the `id` lines that they got
/// there, and a word for each, the last one first.
package struct LogPiece {
  /// What the numbers in the entries' words are counted from.
  package let precedingNumber: UInt64
  /// The number of the last entry.
  package let lastNumber: UInt64
  /// How many of the last entries are no events.
  package let others: Int
  /// Whether there is an event in front of them.
  package let hasEvent: Bool

  /// Lends the entries of a piece that was written elsewhere, until `body` wants no more.
  ///
  /// - Parameter number: the piece's `precedingNumber`.
  /// - Returns: whether bytes and words belong together. What was lent before that turned out did.
  package static func read(
    _ bytes: Span<UInt8>, words: Span<UInt8>, after number: UInt64, _ body: (Span<UInt8>, EntryMetadata) -> Bool
  ) -> Bool {
    var offset = 0
    var place = words.count
    while place >= 8 {
      place -= 8
      let word = EntryWord(bits: words.word(at: place))
      guard word.length <= bytes.count - offset, word.blockLength >= 0, let metadata = word.metadata(after: number)
      else {
        return false
      }
      offset += word.length
      if !body(bytes.extracting(offset - word.blockLength..<offset), metadata) { return true }
    }
    return place == 0 && offset == bytes.count
  }
}

/// What is known of an entry beside its bytes. Its bits are, from the lowest: how many bytes there are (32), its number,
/// counted from its segment's (16), the length of the `id` line in front of its block (6, 0 when there is none), its mark
/// (5), its kind (3).
///
/// Lies in Redis too, the low byte first: see "Runs in Redis" in `docs/protocol.md`.
struct EntryWord {
  static let largestNumber: UInt64 = (1 << 16) - 1
  let bits: UInt64

  init(bits: UInt64) { self.bits = bits }

  init(length: Int, lineLength: Int, _ metadata: EntryMetadata, after preceding: UInt64) {
    bits =
      UInt64(UInt32(truncatingIfNeeded: length)) | (metadata.number &- preceding) << 32
      | UInt64(truncatingIfNeeded: lineLength) << 48 | UInt64(metadata.mark.rawValue & 0x1F) << 54
      | UInt64(metadata.kind.rawValue) << 59
  }

  /// Bytes of the entry with the line in front of it.
  var length: Int { Int(bits & 0xFFFF_FFFF) }
  var number: UInt64 { bits >> 32 & Self.largestNumber }
  /// Whether an `id` line stands in front of it.
  var isFramed: Bool { bits & 0x3F << 48 != 0 }
  var blockLength: Int { length &- Int(bits >> 48 & 0x3F) }
  var mark: EventMark { EventMark(rawValue: UInt8(truncatingIfNeeded: bits >> 54 & 0x1F)) }
  var kind: EntryKind { EntryKind(rawValue: UInt8(truncatingIfNeeded: bits >> 59)) ?? .event }

  /// `nil` when there is no such kind, or number.
  func metadata(after preceding: UInt64) -> EntryMetadata? {
    let (number, overflows) = preceding.addingReportingOverflow(number)
    guard !overflows, let kind = EntryKind(rawValue: UInt8(truncatingIfNeeded: bits >> 59)) else { return nil }
    return EntryMetadata(number: number, kind: kind, mark: mark)
  }
}

/// How much is lent at once.
package struct LogRoom {
  package private(set) var entries: Int
  package private(set) var bytes: Int

  package init(entries: Int, bytes: Int) {
    self.entries = entries
    self.bytes = bytes
  }

  var isLeft: Bool { entries > 0 && bytes > 0 }

  func takes(from first: LogPosition, to last: LogPosition) -> Bool {
    last.entry &- first.entry < UInt64(entries) && last.offset &- first.offset < UInt64(bytes)
  }

  mutating func fill(from first: LogPosition, to last: LogPosition) {
    entries = max(0, entries - Int(last.entry - first.entry))
    bytes = max(0, bytes - Int(last.offset - first.offset))
  }
}
