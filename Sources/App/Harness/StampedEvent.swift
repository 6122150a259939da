package import Bytes
package import Time

/// An event of a given size whose data carries the time at which it was written, so that another process on the same
/// machine can tell how long it was on its way.
package enum StampedEvent {
  private static let front: StaticString = "data: {\"t\":"
  private static let middle: StaticString = ",\"p\":\""
  private static let back: StaticString = "\"}\n\n"
  /// Digits of the time, always as many.
  private static let digits = 19

  package static var minimumSize: Int {
    front.utf8CodeUnitCount + digits + middle.utf8CodeUnitCount + back.utf8CodeUnitCount
  }

  package static func write(at time: MonotonicTime, size: Int, to out: inout ByteBuffer) {
    out.append(front)
    // A leading 1 instead of zeros keeps the number valid JSON.
    out.append(decimal: 1_000_000_000_000_000_000 + time.nanoseconds % 1_000_000_000_000_000_000)
    out.append(middle)
    for _ in 0..<max(0, size - minimumSize) { out.append(UInt8(ascii: "x")) }
    out.append(back)
  }

  /// Calls `found` with the time in each event that begins in `bytes`, and returns where the last unfinished one may
  /// begin: the bytes from there on are to be offered again, with more behind them.
  package static func scan(_ bytes: Span<UInt8>, found: (MonotonicTime) -> Void) -> Int {
    let length = front.utf8CodeUnitCount + digits
    var index = 0
    while let start = bytes.firstRange(of: front, from: index) {
      guard start + length <= bytes.count else { return start }
      let number = bytes.extracting(start + front.utf8CodeUnitCount..<start + length)
      if let value = number.decimalValue, value >= 1_000_000_000_000_000_000 {
        found(MonotonicTime(nanoseconds: UInt64(value - 1_000_000_000_000_000_000)))
      }
      index = start + length
    }
    return max(index, bytes.count - front.utf8CodeUnitCount + 1)
  }
}
