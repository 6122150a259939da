import Bytes

/// A host with an optional port (RFC 3986 3.2, without user information), as ranges into the text it was read from.
package struct Authority: Sendable, Equatable {
  /// The host as written; an IPv6 literal without its brackets.
  package let host: Range<Int>
  /// `nil` when none is written, or only its colon.
  package let port: UInt16?
  package let isIPv6Literal: Bool

  /// `nil` when `text` is anything but `host`, `host:`, `host:port` or the same with `[IPv6]`.
  package init?(parsing text: Span<UInt8>) {
    guard let end = Authority.endOfHost(text) else { return nil }
    isIPv6Literal = text[0] == UInt8(ascii: "[")
    host = isIPv6Literal ? 1..<end - 1 : 0..<end
    if end == text.count {
      port = nil
      return
    }
    guard text[end] == UInt8(ascii: ":") else { return nil }
    let digits = text.extracting(droppingFirst: end + 1)
    if digits.isEmpty {
      port = nil
      return
    }
    guard digits.count <= 5, let number = digits.decimalValue, let number = UInt16(exactly: number) else { return nil }
    port = number
  }

  /// The end of the host at the start of `text`, brackets included; `nil` when there is no valid one.
  private static func endOfHost(_ text: Span<UInt8>) -> Int? {
    guard !text.isEmpty else { return nil }
    if text[0] == UInt8(ascii: "[") {
      guard let bracket = text.firstIndex(of: UInt8(ascii: "]")) else { return nil }
      return IPv6Text.isValid(text.extracting(1..<bracket)) ? bracket + 1 : nil
    }
    var index = 0
    while index < text.count, text[index] != UInt8(ascii: ":") {
      if text[index] == UInt8(ascii: "%") {
        guard index + 2 < text.count, ByteSet.hexadecimal.contains(text[index + 1]),
          ByteSet.hexadecimal.contains(text[index + 2])
        else { return nil }
        index += 3
        continue
      }
      guard ByteSet.registeredName.contains(text[index]) else { return nil }
      index += 1
    }
    return index == 0 ? nil : index
  }
}

/// The textual form of IPv6 addresses (RFC 3986 3.2.2 `IPv6address`; no zone).
enum IPv6Text {
  static func isValid(_ text: Span<UInt8>) -> Bool {
    var groups = 0
    var isCompressed = false
    var index = 0
    if text.hasPrefix("::") {
      isCompressed = true
      index = 2
    }
    while index < text.count {
      let start = index
      while index < text.count, ByteSet.hexadecimal.contains(text[index]) { index += 1 }
      if index < text.count, text[index] == UInt8(ascii: ".") {
        guard isIPv4(text.extracting(droppingFirst: start)) else { return false }
        groups += 2
        index = text.count
        break
      }
      guard index > start, index - start <= 4 else { return false }
      groups += 1
      guard index < text.count else { break }
      guard text[index] == UInt8(ascii: ":"), index + 1 < text.count else { return false }
      index += 1
      if text[index] == UInt8(ascii: ":") {
        guard !isCompressed else { return false }
        isCompressed = true
        index += 1
      }
    }
    return isCompressed ? groups <= 7 : groups == 8
  }

  /// Four decimal numbers up to 255 without leading zeros.
  static func isIPv4(_ text: Span<UInt8>) -> Bool {
    var offset = 0
    for part in 0..<4 {
      let end = text.firstIndex(of: UInt8(ascii: "."), from: offset) ?? text.count
      let number = text.extracting(offset..<end)
      guard number.count <= 3, let value = number.decimalValue, value <= 255 else { return false }
      if number.count > 1, number[0] == UInt8(ascii: "0") { return false }
      if part == 3 { return end == text.count }
      guard end < text.count else { return false }
      offset = end + 1
    }
    return false
  }
}
