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

extension Span where Element == UInt8 {
  /// Whether every byte is a visible ASCII character: 0x21 to 0x7E.
  package var isVisibleASCII: Bool {
    unsafe withUnsafeBytes { bytes in
      var index = 0
      while index + 8 <= bytes.count {
        let word = unsafe bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)
        if word.hasInvisibleByte { return false }
        index += 8
      }
      while index < bytes.count {
        guard unsafe (0x21...0x7E).contains(bytes[index]) else { return false }
        index += 1
      }
      return true
    }
  }
}

extension UInt64 {
  /// Whether one of the eight bytes is below 0x21 or above 0x7E.
  fileprivate var hasInvisibleByte: Bool {
    let ones: UInt64 = 0x0101_0101_0101_0101
    // The first such byte gets its high bit from a borrow, from a carry, or has it; none gets it without there being one.
    return ((self &- ones &* 0x21) | (self &+ ones) | self) & (ones &* 0x80) != 0
  }

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
