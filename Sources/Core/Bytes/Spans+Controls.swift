extension Span where Element == UInt8 {
  /// The position at or after `offset` of the first control character: below 0x20, tab excepted, or DEL;
  /// `count` when there is none. In well-formed text lines that is the CR which ends the line.
  package func firstControl(from offset: Int) -> Int {
    precondition(offset >= 0 && offset <= count)
    return unsafe withUnsafeBufferPointer { bytes in
      guard let base = bytes.baseAddress else { return 0 }
      let raw = unsafe UnsafeRawPointer(base)
      var index = offset
      while index + 8 <= bytes.count {
        let word = unsafe UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: index, as: UInt64.self))
        let hits = word.controlBytes
        if hits == 0 {
          index += 8
          continue
        }
        index += hits.trailingZeroBitCount / 8
        if unsafe bytes[index] != 0x09 { return index }
        index += 1
      }
      while index < bytes.count, unsafe !bytes[index].isControl { index += 1 }
      return index
    }
  }
}

extension UInt64 {
  /// The high bit of each byte that is below 0x20 or 0x7F. Exact for the lowest such byte; a borrow may mark
  /// bytes above it wrongly.
  fileprivate var controlBytes: UInt64 {
    let ones: UInt64 = 0x0101_0101_0101_0101
    let highs: UInt64 = 0x8080_8080_8080_8080
    let low = (self &- ones &* 0x20) & ~self
    let withoutDelete = self ^ (ones &* 0x7F)
    let delete = (withoutDelete &- ones) & ~withoutDelete
    return (low | delete) & highs
  }
}

extension UInt8 {
  /// Below 0x20, tab excepted, or DEL.
  package var isControl: Bool { (self < 0x20 && self != 0x09) || self == 0x7F }
}
