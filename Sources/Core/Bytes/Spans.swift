extension [UInt8] {
  /// The bytes of `span`, copied.
  package init(copying span: Span<UInt8>) {
    self = unsafe span.withUnsafeBufferPointer { unsafe Array($0) }
  }

  /// Appends the bytes of `span`.
  package mutating func append(copying span: Span<UInt8>) {
    unsafe span.withUnsafeBufferPointer { unsafe append(contentsOf: $0) }
  }
}

extension String {
  /// Lends the text's UTF-8 to `body`. Several times cheaper than `utf8Span` for the short texts of log lines and heads.
  func withSpan(_ body: (Span<UInt8>) -> Void) {
    let wasLent: Void? = unsafe utf8.withContiguousStorageIfAvailable { unsafe body(Span(_unsafeElements: $0)) }
    if wasLent == nil { body(utf8Span.span) }
  }

  /// The text of `span`; bytes that are not UTF-8 become U+FFFD.
  package init(copying span: Span<UInt8>) {
    self = unsafe span.withUnsafeBufferPointer { unsafe String(decoding: $0, as: UTF8.self) }
  }
}

extension Span where Element == UInt8 {
  /// The eight bytes from `index` on, which must be there, as one number with the lowest first.
  @inline(__always)
  package func word(at index: Int) -> UInt64 {
    precondition(index >= 0 && count >= 8 && index <= count - 8, "a word outside the bytes")
    return unsafe withUnsafeBytes { bytes in
      unsafe UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self))
    }
  }

  /// Whether the bytes are exactly `text`.
  package func equals(_ text: StaticString) -> Bool {
    count == text.utf8CodeUnitCount && hasPrefix(text)
  }

  /// Whether the bytes begin with `text`.
  package func hasPrefix(_ text: StaticString) -> Bool {
    let length = text.utf8CodeUnitCount
    guard count >= length else { return false }
    return unsafe withUnsafeBufferPointer { bytes in
      guard let base = bytes.baseAddress else { return length == 0 }
      return unsafe Self.same(base, text.utf8Start, length) == length
    }
  }

  /// Whether both spans hold the same bytes.
  package func equals(_ other: Span<UInt8>) -> Bool {
    guard count == other.count else { return false }
    var index = 0
    while index + 8 <= count {
      if word(at: index) != other.word(at: index) { return false }
      index += 8
    }
    while index < count {
      if self[index] != other[index] { return false }
      index += 1
    }
    return true
  }

  /// Whether the bytes begin with `other`.
  package func hasPrefix(_ other: Span<UInt8>) -> Bool {
    count >= other.count && extracting(first: other.count).equals(other)
  }

  /// Whether both hold the same bytes when ASCII letters are compared without case.
  package func equalsIgnoringASCIICase(_ other: Span<UInt8>) -> Bool {
    guard count == other.count else { return false }
    for index in indices where self[index].asciiLowercased != other[index].asciiLowercased { return false }
    return true
  }

  /// Whether the bytes are `text` when ASCII letters are compared without case. `text` must be lower case.
  package func equalsIgnoringASCIICase(_ text: StaticString) -> Bool {
    let length = text.utf8CodeUnitCount
    guard count == length else { return false }
    return unsafe withUnsafeBufferPointer { bytes in
      guard let base = bytes.baseAddress else { return length == 0 }
      // Most are written just so.
      var index = unsafe Self.same(base, text.utf8Start, length)
      while index < length, unsafe base[index].asciiLowercased == text.utf8Start[index] { index += 1 }
      return index == length
    }
  }

  /// A number of bytes at the beginning that are the same, and `length` if all are.
  @unsafe @inline(__always)
  private static func same(
    _ left: UnsafePointer<UInt8>, _ right: UnsafePointer<UInt8>, _ length: Int
  ) -> Int {
    let (left, right) = unsafe (UnsafeRawPointer(left), UnsafeRawPointer(right))
    var index = 0
    while index + 8 <= length {
      let difference =
        unsafe left.loadUnaligned(fromByteOffset: index, as: UInt64.self)
        ^ right.loadUnaligned(fromByteOffset: index, as: UInt64.self)
      if difference != 0 { return index }
      index += 8
    }
    while index < length,
      unsafe left.load(fromByteOffset: index, as: UInt8.self) == right.load(fromByteOffset: index, as: UInt8.self)
    {
      index += 1
    }
    return index
  }

  /// The number written in decimal digits alone, or `nil` (empty, other bytes, or beyond `Int.max`).
  package var decimalValue: Int? {
    guard !isEmpty else { return nil }
    var value = 0
    for index in indices {
      let digit = self[index] &- 0x30
      guard digit < 10 else { return nil }
      let (tenfold, overflowed) = value.multipliedReportingOverflow(by: 10)
      let (sum, overflowedAgain) = tenfold.addingReportingOverflow(Int(digit))
      if overflowed || overflowedAgain { return nil }
      value = sum
    }
    return value
  }

  /// The bytes without spaces and tabs at either end.
  package var trimmed: Span<UInt8> {
    @_lifetime(copy self)
    get {
      var (low, high) = (0, count)
      while low < high, self[low] == 0x20 || self[low] == 0x09 { low += 1 }
      while high > low, self[high - 1] == 0x20 || self[high - 1] == 0x09 { high -= 1 }
      return extracting(low..<high)
    }
  }
}

extension UInt8 {
  /// `A`…`Z` as `a`…`z`; every other byte as it is.
  package var asciiLowercased: UInt8 {
    self &- 0x41 < 26 ? self | 0x20 : self
  }

  package var isASCIIDigit: Bool { self &- 0x30 < 10 }
}
