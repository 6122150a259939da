internal import Bytes

/// A version by Semantic Versioning 2.0, kept as its text and the places of its parts: parsing and comparing
/// allocate nothing, and numbers have no upper bound. Build metadata does not count, in equality neither.
package struct SemanticVersion: Comparable, Sendable, CustomStringConvertible {
  /// How strictly a text is read.
  package enum Form: Sendable {
    /// Exactly the grammar of the standard: `1.2.3-rc.1+build`.
    case full
    /// As flagd's `sem_ver`: one `v` or `V` may stand in front, `1` and `1.2` are whole versions; pre-release and
    /// build metadata need all three numbers.
    case flagd
  }

  package let description: String
  private var numbers: [3 of Part]
  private var prerelease: Part

  /// A half-open range of bytes; an absent part is empty.
  private struct Part: Sendable {
    var start = 0
    var end = 0
    var isEmpty: Bool { start == end }
  }

  /// `nil` when `text` is not a version in `form`.
  package init?(_ text: String, form: Form = .full) {
    self.description = text
    self.numbers = [Part(), Part(), Part()]
    self.prerelease = Part()
    let bytes = text.utf8Span.span
    var index = 0
    if form == .flagd, index < bytes.count, bytes[index].asciiLowercased == UInt8(ascii: "v") { index += 1 }
    var count = 0
    while true {
      guard let end = Self.endOfNumber(bytes, from: index) else { return nil }
      numbers[count] = Part(start: index, end: end)
      count += 1
      index = end
      guard count < 3, index < bytes.count, bytes[index] == UInt8(ascii: ".") else { break }
      index += 1
    }
    guard count == 3 || (form == .flagd && index == bytes.count) else { return nil }
    if index < bytes.count, bytes[index] == UInt8(ascii: "-") {
      guard let end = Self.endOfIdentifiers(bytes, from: index + 1, zerosAllowed: false) else { return nil }
      prerelease = Part(start: index + 1, end: end)
      index = end
    }
    if index < bytes.count, bytes[index] == UInt8(ascii: "+") {
      guard let end = Self.endOfIdentifiers(bytes, from: index + 1, zerosAllowed: true) else { return nil }
      index = end
    }
    guard index == bytes.count else { return nil }
  }

  package static func == (left: Self, right: Self) -> Bool { left.compared(to: right) == 0 }
  package static func < (left: Self, right: Self) -> Bool { left.compared(to: right) < 0 }

  package func hasSameMajor(as other: Self) -> Bool { comparedNumber(0, to: other) == 0 }
  package func hasSameMajorAndMinor(as other: Self) -> Bool {
    hasSameMajor(as: other) && comparedNumber(1, to: other) == 0
  }

  package var isPrerelease: Bool { !prerelease.isEmpty }

  /// Negative, zero or positive, by precedence (section 11 of the standard).
  private func compared(to other: Self) -> Int {
    for index in 0..<3 {
      let order = comparedNumber(index, to: other)
      if order != 0 { return order }
    }
    switch (isPrerelease, other.isPrerelease) {
    case (false, false): return 0
    case (true, false): return -1
    case (false, true): return 1
    case (true, true): return comparedPrerelease(to: other)
    }
  }

  private func comparedNumber(_ index: Int, to other: Self) -> Int {
    Self.compareNumbers(
      Self.bytes(of: description, numbers[index]), Self.bytes(of: other.description, other.numbers[index]))
  }

  private func comparedPrerelease(to other: Self) -> Int {
    let (left, right) = (
      Self.bytes(of: description, prerelease), Self.bytes(of: other.description, other.prerelease)
    )
    var (i, j) = (0, 0)
    while i < left.count, j < right.count {
      let (endLeft, endRight) = (Self.endOfIdentifier(left, from: i), Self.endOfIdentifier(right, from: j))
      let order = Self.compareIdentifiers(left.extracting(i..<endLeft), right.extracting(j..<endRight))
      if order != 0 { return order }
      (i, j) = (endLeft + 1, endRight + 1)
    }
    // All equal so far: the one with more identifiers is the later.
    return (i < left.count ? 1 : 0) - (j < right.count ? 1 : 0)
  }
}

extension SemanticVersion {
  @_lifetime(borrow text)
  private static func bytes(of text: borrowing String, _ part: Part) -> Span<UInt8> {
    text.utf8Span.span.extracting(part.start..<part.end)
  }

  private static func endOfNumber(_ bytes: Span<UInt8>, from start: Int) -> Int? {
    var end = start
    while end < bytes.count, bytes[end].isASCIIDigit { end += 1 }
    guard end > start, end == start + 1 || bytes[start] != UInt8(ascii: "0") else { return nil }
    return end
  }

  private static func endOfIdentifier(_ bytes: Span<UInt8>, from start: Int) -> Int {
    bytes.firstIndex(of: UInt8(ascii: "."), from: start) ?? bytes.count
  }

  /// The end of dot-separated identifiers up to `+` or the end; numeric ones may begin with zero only in build metadata.
  private static func endOfIdentifiers(_ bytes: Span<UInt8>, from start: Int, zerosAllowed: Bool) -> Int? {
    var (index, first, isNumeric) = (start, start, true)
    while true {
      let byte = index < bytes.count ? bytes[index] : UInt8(ascii: "+")
      let isLetter = byte.asciiLowercased &- 0x61 < 26 || byte == UInt8(ascii: "-")
      if isLetter || byte.isASCIIDigit {
        isNumeric = isNumeric && !isLetter
        index += 1
        continue
      }
      guard index > first else { return nil }
      if !zerosAllowed, isNumeric, index > first + 1, bytes[first] == UInt8(ascii: "0") { return nil }
      guard byte == UInt8(ascii: ".") else { return index }
      index += 1
      (first, isNumeric) = (index, true)
    }
  }

  /// Digits without leading zeros: the longer is the greater. No digits mean zero.
  private static func compareNumbers(_ left: Span<UInt8>, _ right: Span<UInt8>) -> Int {
    if left.isEmpty || right.isEmpty {
      return (isZero(left) ? 0 : 1) - (isZero(right) ? 0 : 1)
    }
    return left.count != right.count ? left.count - right.count : compareBytes(left, right)
  }

  private static func isZero(_ digits: Span<UInt8>) -> Bool {
    digits.isEmpty || (digits.count == 1 && digits[0] == UInt8(ascii: "0"))
  }

  /// Numbers come before words (section 11.4).
  private static func compareIdentifiers(_ left: Span<UInt8>, _ right: Span<UInt8>) -> Int {
    switch (isNumeric(left), isNumeric(right)) {
    case (true, true): compareNumbers(left, right)
    case (true, false): -1
    case (false, true): 1
    case (false, false): compareBytes(left, right)
    }
  }

  private static func isNumeric(_ bytes: Span<UInt8>) -> Bool {
    for index in bytes.indices where !bytes[index].isASCIIDigit { return false }
    return true
  }

  private static func compareBytes(_ left: Span<UInt8>, _ right: Span<UInt8>) -> Int {
    for index in 0..<min(left.count, right.count) where left[index] != right[index] {
      return Int(left[index]) - Int(right[index])
    }
    return left.count - right.count
  }
}
