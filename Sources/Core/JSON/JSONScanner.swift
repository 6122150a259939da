internal import Bytes

/// Splits a JSON text into tokens and checks their order: the part of the grammar that has places.
///
/// Foundation's decoder gives neither the order of members nor duplicate names nor positions, so the structure is
/// scanned here, without recursion, and only what a scalar *means* (escapes, digits) is left to the decoder.
struct JSONScanner {
  enum TokenKind: Equatable {
    case beginObject, endObject, beginArray, endArray
    case name, bareName, string, number
    case null, `true`, `false`
  }

  struct Token: Equatable {
    var kind: TokenKind
    var start: Int
    var end: Int
  }

  private enum Expectation {
    case value, valueOrEnd, name, nameOrEnd, colon, commaOrEnd, nothing
  }

  private let text: [UInt8]
  private let dialect: JSONDialect
  private let limits: JSONLimits
  private var index = 0
  private var tokens: [Token] = []
  /// Whether each open container is an object.
  private var containers: [Bool] = []
  private var expectation = Expectation.value

  /// The tokens of `text`, or the first place where it breaks the grammar.
  static func tokens(
    of text: [UInt8], dialect: JSONDialect, limits: JSONLimits
  ) throws(JSONError) -> [Token] {
    var scanner = JSONScanner(text: text, dialect: dialect, limits: limits)
    return try scanner.scan()
  }

  private init(text: [UInt8], dialect: JSONDialect, limits: JSONLimits) {
    self.text = text
    self.dialect = dialect
    self.limits = limits
  }

  private mutating func scan() throws(JSONError) -> [Token] {
    guard text.count <= limits.bytes else { throw fault("larger than \(limits.bytes) bytes", at: limits.bytes) }
    while true {
      try skipBlanks()
      guard index < text.count else { break }
      try step(text[index])
      guard tokens.count <= limits.tokens else { throw fault("more than \(limits.tokens) values") }
    }
    guard expectation == .nothing else {
      throw fault(tokens.isEmpty ? "the text is empty" : "the text ends too early")
    }
    return tokens
  }

  private mutating func step(_ byte: UInt8) throws(JSONError) {
    switch expectation {
    case .nothing: throw fault("text after the end of the document")
    case .colon:
      guard byte == UInt8(ascii: ":") else { throw fault("expected ':' after a member's name") }
      index += 1
      expectation = .value
    case .commaOrEnd:
      if byte == UInt8(ascii: ",") {
        index += 1
        expectation = containers.last == true ? afterComma(.name, .nameOrEnd) : afterComma(.value, .valueOrEnd)
      } else {
        try close(byte, otherwise: "expected ',' or the end of the \(containers.last == true ? "object" : "array")")
      }
    case .name: try name(byte)
    case .nameOrEnd:
      if byte == UInt8(ascii: "}") { try close(byte, otherwise: "") } else { try name(byte) }
    case .valueOrEnd:
      if byte == UInt8(ascii: "]") { try close(byte, otherwise: "") } else { try value(byte) }
    case .value: try value(byte)
    }
  }

  private func afterComma(_ strict: Expectation, _ relaxed: Expectation) -> Expectation {
    dialect == .json5 ? relaxed : strict
  }

  private mutating func close(_ byte: UInt8, otherwise message: String) throws(JSONError) {
    switch (byte, containers.last) {
    case (UInt8(ascii: "}"), true): append(.endObject, length: 1)
    case (UInt8(ascii: "]"), false): append(.endArray, length: 1)
    default: throw fault(message)
    }
    containers.removeLast()
    expectation = containers.isEmpty ? .nothing : .commaOrEnd
  }

  private mutating func name(_ byte: UInt8) throws(JSONError) {
    if byte == UInt8(ascii: "\"") || (dialect == .json5 && byte == UInt8(ascii: "'")) {
      append(.name, length: try stringLength(quote: byte))
    } else if dialect == .json5, Self.isIdentifier(byte), !byte.isASCIIDigit {
      append(.bareName, length: run { Self.isIdentifier($0) })
    } else {
      throw fault("expected a member's name in double quotes")
    }
    expectation = .colon
  }

  private mutating func value(_ byte: UInt8) throws(JSONError) {
    switch byte {
    case UInt8(ascii: "{"): try open(.beginObject, isObject: true)
    case UInt8(ascii: "["): try open(.beginArray, isObject: false)
    default:
      try scalar(byte)
      expectation = containers.isEmpty ? .nothing : .commaOrEnd
    }
  }

  private mutating func open(_ kind: TokenKind, isObject: Bool) throws(JSONError) {
    guard containers.count < limits.depth else { throw fault("nested deeper than \(limits.depth) levels") }
    append(kind, length: 1)
    containers.append(isObject)
    expectation = isObject ? .nameOrEnd : .valueOrEnd
  }

  private mutating func scalar(_ byte: UInt8) throws(JSONError) {
    if byte == UInt8(ascii: "\"") || (dialect == .json5 && byte == UInt8(ascii: "'")) {
      return append(.string, length: try stringLength(quote: byte))
    }
    if byte.isASCIIDigit || byte == UInt8(ascii: "-") || (dialect == .json5 && "+.".utf8.contains(byte)) {
      return append(
        .number, length: run { $0.isASCIIDigit || $0.asciiLowercased &- 0x61 < 26 || "+-.".utf8.contains($0) })
    }
    let length = run { $0.asciiLowercased &- 0x61 < 26 }
    switch String(decoding: text[index..<index + length], as: UTF8.self) {
    case "null": append(.null, length: length)
    case "true": append(.true, length: length)
    case "false": append(.false, length: length)
    default: throw fault("expected a value")
    }
  }

  /// The bytes of the string that starts here, both quotes included.
  private func stringLength(quote: UInt8) throws(JSONError) -> Int {
    var end = index + 1
    while end < text.count {
      switch text[end] {
      case quote: return end + 1 - index
      case UInt8(ascii: "\\"): end += 1
      case 0..<0x20: throw fault("a control character inside a string; write it as an escape", at: end)
      default: break
      }
      if end < text.count, text[end] < 0x20 { throw fault("a line break inside a string", at: end) }
      end += 1
    }
    throw fault("a string without its closing quote")
  }

  private func run(while belongs: (UInt8) -> Bool) -> Int {
    var end = index
    while end < text.count, belongs(text[end]) { end += 1 }
    return end - index
  }

  private static func isIdentifier(_ byte: UInt8) -> Bool {
    byte.isASCIIDigit || byte.asciiLowercased &- 0x61 < 26 || byte == UInt8(ascii: "_") || byte == UInt8(ascii: "$")
  }

  private mutating func append(_ kind: TokenKind, length: Int) {
    tokens.append(Token(kind: kind, start: index, end: index + length))
    index += length
  }

  private mutating func skipBlanks() throws(JSONError) {
    while index < text.count {
      switch text[index] {
      case 0x20, 0x09, 0x0A, 0x0D: index += 1
      case 0x0B where dialect == .json5, 0x0C where dialect == .json5: index += 1
      case UInt8(ascii: "/") where dialect == .json5: try skipComment()
      default: return
      }
    }
  }

  private mutating func skipComment() throws(JSONError) {
    let next = index + 1 < text.count ? text[index + 1] : 0
    if next == UInt8(ascii: "/") {
      index += run { $0 != 0x0A }
    } else if next == UInt8(ascii: "*") {
      var end = index + 2
      while end + 1 < text.count, text[end] != UInt8(ascii: "*") || text[end + 1] != UInt8(ascii: "/") { end += 1 }
      guard end + 1 < text.count else { throw fault("a comment without its end") }
      index = end + 2
    } else {
      throw fault("expected a value")
    }
  }

  private func fault(_ message: String, at offset: Int? = nil) -> JSONError {
    JSONError(position: JSONPosition(of: offset ?? index, in: text), message: message)
  }
}
