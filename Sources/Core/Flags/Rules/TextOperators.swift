internal import Bytes
internal import JSON

/// `cat`, `substr`, `starts_with` and `ends_with`.
enum TextOperators {
  /// Two or more parts are trimmed of white space at both ends of the result; one is left as it is.
  static func concatenate(_ arguments: JSONValue) throws(RuleError) -> JSONValue {
    if case .string = arguments { return arguments }
    guard case .array(let parts) = arguments else { throw .wrongArgument("cat") }
    var text = ""
    for part in parts {
      text += try Coercion.text(part, for: "cat")
      guard text.utf8.count <= RuleLimits.textBytes else { throw .tooLarge }
    }
    return .string(parts.count >= 2 ? trimmed(text) : text)
  }

  private static func trimmed(_ text: String) -> String {
    let scalars = text.unicodeScalars
    guard let first = scalars.firstIndex(where: { !$0.properties.isWhitespace }),
      let last = scalars.lastIndex(where: { !$0.properties.isWhitespace })
    else { return "" }
    return String(scalars[first...last])
  }

  /// By Unicode scalars: `[text, start]` or `[text, start, length]`; a start outside gives the whole text.
  static func substring(_ arguments: [JSONValue]) throws(RuleError) -> JSONValue {
    guard arguments.count >= 2 else { throw .wrongArgument("substr") }
    let text = try Coercion.text(arguments[0], for: "substr")
    let scalars = Array(text.unicodeScalars)
    var start = try whole(arguments[1])
    if start < 0 { start += scalars.count }
    guard start >= 0, start <= scalars.count else { return .string(text) }
    var end = scalars.count
    if arguments.count == 3 {
      let length = try whole(arguments[2])
      end = length < 0 ? scalars.count + length : min(start + length, scalars.count)
    }
    guard end >= start else { throw .wrongArgument("substr") }
    var result = ""
    result.unicodeScalars.append(contentsOf: scalars[start..<end])
    return .string(result)
  }

  /// A whole number, cut off far beyond any text's length.
  private static func whole(_ value: JSONValue) throws(RuleError) -> Int {
    let number = try Coercion.arithmetic(value, for: "substr")
    guard !number.isNaN else { throw .wrongArgument("substr") }
    return Int(max(-1e9, min(1e9, number)))
  }

  /// Of `[text, affix]`; null for anything else.
  static func hasAffix(_ arguments: JSONValue, atEnd: Bool) -> JSONValue {
    guard let values = arguments.array, values.count == 2 else { return .null }
    return hasAffix(values[0], values[1], atEnd: atEnd)
  }

  /// Null unless both are strings. By bytes: no case, no normalisation.
  static func hasAffix(_ text: JSONValue, _ affix: JSONValue, atEnd: Bool) -> JSONValue {
    guard case (.string(let text), .string(let affix)) = (text, affix) else { return .null }
    let (bytes, wanted) = (text.utf8Span.span, affix.utf8Span.span)
    guard bytes.count >= wanted.count else { return .bool(false) }
    return .bool(bytes.extracting(droppingFirst: atEnd ? bytes.count - wanted.count : 0).hasPrefix(wanted))
  }
}

/// The comparisons of `sem_ver`.
package enum SemanticComparison: String, Sendable, CaseIterable {
  case equal = "="
  case notEqual = "!="
  case less = "<"
  case lessOrEqual = "<="
  case greater = ">"
  case greaterOrEqual = ">="
  /// The same major and minor number, with no lower bound.
  case sameMinor = "~"
  /// The same major number, with no lower bound.
  case sameMajor = "^"

  package func holds(_ left: SemanticVersion, _ right: SemanticVersion) -> Bool {
    switch self {
    case .equal: left == right
    case .notEqual: left != right
    case .less: left < right
    case .lessOrEqual: left <= right
    case .greater: left > right
    case .greaterOrEqual: left >= right
    case .sameMinor: left.hasSameMajorAndMinor(as: right)
    case .sameMajor: left.hasSameMajor(as: right)
    }
  }

  /// Null unless `left` is a version.
  func result(_ left: JSONValue, _ right: SemanticVersion) -> JSONValue {
    guard let left = Self.version(left) else { return .null }
    return .bool(holds(left, right))
  }

  /// Null unless both are versions.
  func result(_ left: JSONValue, _ right: JSONValue) -> JSONValue {
    guard let right = Self.version(right) else { return .null }
    return result(left, right)
  }

  /// Numbers are printed first, as Go prints them: from a million on with an exponent, which is no version.
  private static func version(_ value: JSONValue) -> SemanticVersion? {
    switch value {
    case .string(let text): SemanticVersion(text, form: .flagd)
    case .number(let number) where number.magnitude < 1e6: SemanticVersion(Coercion.decimal(number), form: .flagd)
    default: nil
    }
  }
}
