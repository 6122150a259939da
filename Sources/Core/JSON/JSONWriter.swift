/// How written JSON is laid out. Both forms are deterministic: the same value gives the same bytes.
package enum JSONLayout: Sendable {
  /// One line without blanks.
  case compact
  /// Two spaces a level; arrays of scalars stay on one line when they fit into 100 columns.
  case pretty
  /// Compact with members sorted by the bytes of their names: the form that is hashed.
  case canonical
}

extension JSONValue {
  /// The value as UTF-8 text, without a final line break. Numbers are finite by construction of the parser; one that
  /// is not is written as `null`.
  package func serialized(_ layout: JSONLayout = .compact) -> [UInt8] {
    var writer = JSONWriter(layout: layout)
    writer.write(self, indent: 0)
    return writer.bytes
  }

  /// The same where another text goes on around it.
  ///
  /// - Parameters:
  ///   - indent: levels of two spaces that the lines after the first begin with.
  ///   - kept: a value, object or array, that is written as `bytes` wherever it stands inside.
  func serialized(
    _ layout: JSONLayout, indent: Int, keeping kept: JSONValue = .null, as bytes: ArraySlice<UInt8> = []
  ) -> [UInt8] {
    var writer = JSONWriter(layout: layout)
    if kept.object != nil || kept.array != nil { writer.kept = (kept, bytes) }
    writer.write(self, indent: indent)
    return writer.bytes
  }

  package func text(_ layout: JSONLayout = .compact) -> String {
    String(decoding: serialized(layout), as: UTF8.self)
  }

  /// The shortest decimal text that reads back as `number`, whole numbers below 2^53 without point or exponent.
  package static func text(of number: Double) -> String {
    if let whole = Int64(exactly: number), whole.magnitude < 1 << 53 { return String(whole) }
    return number.isFinite ? "\(number)" : "null"
  }
}

private struct JSONWriter {
  let layout: JSONLayout
  var bytes: [UInt8] = []
  /// What has bytes already.
  var kept: (value: JSONValue, bytes: ArraySlice<UInt8>)?

  private static let lineWidth = 100

  init(layout: JSONLayout) { self.layout = layout }

  mutating func write(_ value: JSONValue, indent: Int) {
    if let kept, kept.value == value {
      bytes += kept.bytes
      return
    }
    switch value {
    case .null: append("null")
    case .bool(let value): append(value ? "true" : "false")
    case .number(let number): append(JSONValue.text(of: number))
    case .string(let text): write(text)
    case .array(let elements): write(elements, indent: indent)
    case .object(let object): write(object, indent: indent)
    }
  }

  private mutating func write(_ elements: [JSONValue], indent: Int) {
    guard layout == .pretty, !elements.isEmpty, !fitsOneLine(elements, indent: indent) else {
      return list(elements, indent: indent, separator: layout == .pretty ? ", " : ",")
    }
    append("[")
    for (index, element) in elements.enumerated() {
      append(index == 0 ? "\n" : ",\n", indent: indent + 1)
      write(element, indent: indent + 1)
    }
    append("\n", indent: indent)
    append("]")
  }

  private mutating func list(_ elements: [JSONValue], indent: Int, separator: String) {
    append("[")
    for (index, element) in elements.enumerated() {
      if index > 0 { append(separator) }
      write(element, indent: indent)
    }
    append("]")
  }

  private func fitsOneLine(_ elements: [JSONValue], indent: Int) -> Bool {
    var length = 2 * indent + 2
    for element in elements {
      switch element {
      case .array(let inner) where !inner.isEmpty && !inner.allSatisfy(Self.isScalar): return false
      case .object(let inner) where !inner.isEmpty: return false
      default: length += element.serialized().count + 2
      }
    }
    return length <= Self.lineWidth
  }

  private static func isScalar(_ value: JSONValue) -> Bool {
    switch value {
    case .array, .object: false
    default: true
    }
  }

  private mutating func write(_ object: JSONObject, indent: Int) {
    guard !object.isEmpty else { return append("{}") }
    let members =
      layout == .canonical
      ? object.members.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) } : object.members
    append("{")
    for (index, member) in members.enumerated() {
      if index > 0 { append(",") }
      if layout == .pretty { append("\n", indent: indent + 1) }
      write(member.name)
      append(layout == .pretty ? ": " : ":")
      write(member.value, indent: indent + 1)
    }
    if layout == .pretty { append("\n", indent: indent) }
    append("}")
  }

  private mutating func write(_ text: String) {
    append("\"")
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "\""): append("\\\"")
      case UInt8(ascii: "\\"): append("\\\\")
      case 0x0A: append("\\n")
      case 0x0D: append("\\r")
      case 0x09: append("\\t")
      case 0..<0x20:
        append("\\u00")
        bytes.append(Self.hexadecimal(byte >> 4))
        bytes.append(Self.hexadecimal(byte & 15))
      default: bytes.append(byte)
      }
    }
    append("\"")
  }

  private static func hexadecimal(_ nibble: UInt8) -> UInt8 { nibble < 10 ? 0x30 + nibble : 0x57 + nibble }

  private mutating func append(_ text: String, indent: Int = 0) {
    bytes.append(contentsOf: text.utf8)
    for _ in 0..<2 * indent { bytes.append(0x20) }
  }
}
