package import Bytes
package import Streams

/// The id of an entry in a stored log: two numbers that only grow.
package struct EntryID: Comparable, Hashable, Sendable, CustomStringConvertible {
  package var high: UInt64
  package var low: UInt64

  /// Before every entry.
  package static let zero = EntryID(0, 0)

  package init(_ high: UInt64, _ low: UInt64) {
    self.high = high
    self.low = low
  }

  /// Reads `<number>-<number>`; `nil` for anything else.
  package init?(parsing text: Span<UInt8>) {
    guard let dash = text.firstIndex(of: UInt8(ascii: "-")), let high = text.extracting(first: dash).unsignedValue,
      let low = text.extracting(droppingFirst: dash + 1).unsignedValue
    else { return nil }
    self.init(high, low)
  }

  package static func < (left: Self, right: Self) -> Bool {
    left.high == right.high ? left.low < right.low : left.high < right.high
  }

  /// The id right behind this one.
  package var next: EntryID { low == .max ? EntryID(high &+ 1, 0) : EntryID(high, low + 1) }

  package func write(to out: inout ByteBuffer) {
    out.append(decimal: high)
    out.append(UInt8(ascii: "-"))
    out.append(decimal: low)
  }

  package var description: String { "\(high)-\(low)" }
}

extension Span where Element == UInt8 {
  /// As `decimalValue`, up to `UInt64.max`.
  package var unsignedValue: UInt64? {
    guard !isEmpty else { return nil }
    var value: UInt64 = 0
    for index in indices {
      let digit = self[index] &- 0x30
      guard digit < 10 else { return nil }
      let (tenfold, overflowed) = value.multipliedReportingOverflow(by: 10)
      let (sum, overflowedAgain) = tenfold.addingReportingOverflow(UInt64(digit))
      if overflowed || overflowedAgain { return nil }
      value = sum
    }
    return value
  }
}

// How a gateway counts.
extension EntryID {
  /// The id of the block that follows this one. From what others may have written it can be anything, but for that the
  /// ids of a gateway's entry must fit together.
  package func id(ofNext metadata: EntryMetadata) -> EntryID {
    if metadata.kind.isEvent { return EntryID(metadata.number, 0) }
    return high == metadata.number ? EntryID(high, low &+ 1) : EntryID(metadata.number, 1)
  }

  /// The id of the last block of `piece`, when this is the one of the block in front of it.
  package func id(behind piece: LogPiece) -> EntryID {
    let others = UInt64(piece.others)
    let follows = !piece.hasEvent && high == piece.lastNumber
    return EntryID(piece.lastNumber, follows ? low &+ others : others)
  }

  /// The id of the run's end when this is the last block's.
  package var ofEnd: EntryID { EntryID(high &+ 1, 0) }
}
