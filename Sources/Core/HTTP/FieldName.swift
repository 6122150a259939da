import Bytes

/// The name of a field, checked once: whoever holds one knows that it is a token (RFC 9110 5.1).
package struct FieldName: Sendable, Equatable {
  /// Longer names are refused in messages too.
  package static let maximumLength = 1024

  let bytes: [UInt8]
  package let known: KnownField?

  /// `nil` when `name` is not a token of 1 to ``maximumLength`` bytes.
  package init?(_ name: Span<UInt8>) {
    guard !name.isEmpty, name.count <= FieldName.maximumLength, ByteSet.token.containsAll(name) else { return nil }
    bytes = [UInt8](copying: name)
    known = KnownField(name)
  }

  package init?(_ name: String) {
    self.init(name.utf8Span.span)
  }

  package init(_ field: KnownField) {
    bytes = [UInt8](field.name)
    known = field
  }

  package var string: String { String(decoding: bytes, as: UTF8.self) }

  package static func == (left: FieldName, right: FieldName) -> Bool {
    left.known == right.known && left.bytes.span.equalsIgnoringASCIICase(right.bytes.span)
  }
}

/// The value of a field, checked once: no control character, so no line can be injected (RFC 9110 5.5).
/// Whitespace at either end is not part of a value and is dropped.
package struct FieldValue: Sendable, Equatable {
  let bytes: [UInt8]

  /// `nil` when `value` holds a control character other than tab.
  package init?(_ value: Span<UInt8>) {
    guard value.firstControl(from: 0) == value.count else { return nil }
    bytes = [UInt8](copying: value.trimmed)
  }

  package init?(_ value: String) {
    self.init(value.utf8Span.span)
  }

  /// For values in the program's own text, which must be valid.
  package init(literal value: StaticString) {
    bytes = [UInt8](value)
    assert(bytes.span.firstControl(from: 0) == bytes.count)
  }

  package init(decimal number: Int) {
    bytes = [UInt8](String(number).utf8)
  }

  package var string: String { String(decoding: bytes, as: UTF8.self) }
}

extension [UInt8] {
  init(_ text: StaticString) {
    self = unsafe [UInt8](UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
  }
}
