extension ByteBuffer {
  /// Appends `bytes` as a JSON string, quotes included (RFC 8259, section 7).
  ///
  /// Anything may come in: control characters are escaped, what is not UTF-8 becomes U+FFFD, so the result is always
  /// one line of valid JSON.
  /// - Parameter limit: the most bytes taken of `bytes`; a longer text ends in `…`.
  package mutating func append(jsonString bytes: Span<UInt8>, limit: Int = .max) {
    if bytes.count <= limit, Self.plainRun(bytes, from: 0, to: bytes.count) == bytes.count {
      return append(quoted: bytes)
    }
    append(UInt8(ascii: "\""))
    var index = 0
    let end = min(bytes.count, limit)
    while index < end {
      let byte = bytes[index]
      let plain = Self.plainRun(bytes, from: index, to: end)
      if plain > index {
        append(bytes.extracting(index..<plain))
        index = plain
      } else if byte >= 0x80 {
        index += appendScalar(bytes, at: index)
      } else {
        append(jsonCharacter: byte)
        index += 1
      }
    }
    if end < bytes.count { append("…") }
    append(UInt8(ascii: "\""))
  }

  package mutating func append(jsonString text: String, limit: Int = .max) {
    text.withSpan { append(jsonString: $0, limit: limit) }
  }

  /// The end of the run of bytes at `start` that stand for themselves.
  private static func plainRun(_ bytes: Span<UInt8>, from start: Int, to end: Int) -> Int {
    var index = bytes.endOfPlainWords(from: start, to: end)
    while index < end {
      let byte = bytes[index]
      guard byte >= 0x20, byte < 0x7F, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\") else { break }
      index += 1
    }
    return index
  }

  private mutating func append(jsonCharacter byte: UInt8) {
    switch byte {
    case UInt8(ascii: "\""): append("\\\"")
    case UInt8(ascii: "\\"): append("\\\\")
    case 0x0A: append("\\n")
    case 0x0D: append("\\r")
    case 0x09: append("\\t")
    case 0x00..<0x20, 0x7F:
      append("\\u00")
      if byte < 0x10 { append(UInt8(ascii: "0")) }
      append(hexadecimal: Int(byte))
    default: append(byte)
    }
  }

  /// Appends the scalar that starts at `index`, or U+FFFD, and returns how many bytes it took.
  private mutating func appendScalar(_ bytes: Span<UInt8>, at index: Int) -> Int {
    let lead = bytes[index]
    let length = lead >= 0xF0 && lead < 0xF5 ? 4 : lead >= 0xE0 && lead < 0xF0 ? 3 : lead >= 0xC2 && lead < 0xE0 ? 2 : 0
    guard length > 0, index + length <= bytes.count, Self.isScalar(bytes.extracting(index..<index + length)) else {
      append("\u{FFFD}")
      return 1
    }
    append(bytes.extracting(index..<index + length))
    return length
  }

  private static func isScalar(_ bytes: Span<UInt8>) -> Bool {
    for index in 1..<bytes.count where bytes[index] & 0xC0 != 0x80 { return false }
    // Overlong forms, surrogates and what lies beyond U+10FFFF (RFC 3629, section 4).
    switch bytes[0] {
    case 0xE0: return bytes[1] >= 0xA0
    case 0xED: return bytes[1] < 0xA0
    case 0xF0: return bytes[1] >= 0x90
    case 0xF4: return bytes[1] < 0x90
    default: return true
    }
  }
}

extension Span where Element == UInt8 {
  /// The end of the words of 8 bytes at `start` that hold neither controls, nor quotes, nor backslashes, nor anything
  /// beyond ASCII; `end` when all is well up to there.
  fileprivate func endOfPlainWords(from start: Int, to end: Int) -> Int {
    unsafe withUnsafeBytes { bytes in
      var index = start
      while index + 8 <= end {
        let word = unsafe bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)
        if word.hasByteToEscape { return index }
        index += 8
      }
      if index == end || end - start < 4 { return index }
      if index == start {
        // Four to seven bytes: the first and the last four make a word.
        let first = unsafe bytes.loadUnaligned(fromByteOffset: start, as: UInt32.self)
        let last = unsafe bytes.loadUnaligned(fromByteOffset: end - 4, as: UInt32.self)
        return (UInt64(first) | UInt64(last) << 32).hasByteToEscape ? start : end
      }
      // What is left of a word lies in the last eight bytes too.
      let last = unsafe bytes.loadUnaligned(fromByteOffset: end - 8, as: UInt64.self)
      return last.hasByteToEscape ? index : end
    }
  }
}

extension UInt64 {
  /// Whether one of the eight bytes can't stand in a JSON string as it is.
  fileprivate var hasByteToEscape: Bool {
    let ones: UInt64 = 0x0101_0101_0101_0101
    let highs: UInt64 = 0x8080_8080_8080_8080
    let quote = self ^ (ones &* 0x22)
    let backslash = self ^ (ones &* 0x5C)
    // A byte's high bit gets set by a borrow where it is below 0x20, or was zeroed by its comparison; by a carry at
    // 0x7F; or is set already. One that is marked for its neighbour's sake is looked at more closely, and passes.
    let marks = (self &- ones &* 0x20) | (quote &- ones) | (backslash &- ones) | (self &+ ones) | self
    return marks & highs != 0
  }
}
