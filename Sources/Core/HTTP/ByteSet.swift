import Bytes

/// A set of ASCII characters as two words of bits: membership is a shift, not a table in memory.
package struct ByteSet: Sendable {
  private let low: UInt64
  private let high: UInt64

  /// `tchar` of RFC 9110 5.6.2: letters, digits and ``!#$%&'*+-.^_`|~``.
  package static var token: ByteSet { ByteSet(low: 0x03ff_6cfa_0000_0000, high: 0x57ff_ffff_c7ff_fffe) }

  /// What a `reg-name` of RFC 3986 3.2.2 may hold unescaped: letters, digits, `-._~` and `!$&'()*+,;=`.
  package static var registeredName: ByteSet { ByteSet(low: 0x2bff_7fd2_0000_0000, high: 0x47ff_fffe_87ff_fffe) }

  /// What a request target may hold: every visible ASCII character but `#`.
  ///
  /// Wider than RFC 3986 (``"<>[\]^`{|}``), because browsers send those unescaped and no HTTP/1.1 reader
  /// takes any of them for a delimiter of the request line.
  package static var target: ByteSet { ByteSet(low: 0xffff_fff6_0000_0000, high: 0x7fff_ffff_ffff_ffff) }

  package static var hexadecimal: ByteSet { ByteSet(low: 0x03ff_0000_0000_0000, high: 0x0000_007e_0000_007e) }

  package func contains(_ byte: UInt8) -> Bool {
    guard byte < 0x80 else { return false }
    let word = byte < 0x40 ? low : high
    return word >> (UInt64(byte) & 0x3F) & 1 == 1
  }

  /// Whether every one of `bytes` is in the set; true when there are none.
  package func containsAll(_ bytes: Span<UInt8>) -> Bool {
    for index in bytes.indices where !contains(bytes[index]) { return false }
    return true
  }
}

extension UInt8 {
  static var carriageReturn: UInt8 { 0x0D }
  static var lineFeed: UInt8 { 0x0A }
  static var space: UInt8 { 0x20 }
  static var tab: UInt8 { 0x09 }

  /// The value of a hexadecimal digit of either case, or `nil`.
  package var hexadecimalValue: Int? {
    if isASCIIDigit { return Int(self &- 0x30) }
    let letter = (self | 0x20) &- 0x61
    return letter < 6 ? Int(letter) + 10 : nil
  }
}
