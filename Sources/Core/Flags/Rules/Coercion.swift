internal import Bytes
internal import JSON

/// How the Go engine turns values into truth, numbers and text.
enum Coercion {
  /// Null, false, zero, and empty strings, lists and objects are false; everything else is true.
  static func isTrue(_ value: JSONValue) -> Bool {
    switch value {
    case .null: false
    case .bool(let value): value
    case .number(let number): number != 0
    case .string(let text): !text.isEmpty
    case .array(let elements): !elements.isEmpty
    case .object(let object): !object.isEmpty
    }
  }

  /// The number a comparison sees: NaN, which equals nothing, for what is none.
  static func comparable(_ value: JSONValue) -> Double {
    switch value {
    case .null: 0
    case .bool(let value): value ? 1 : 0
    case .number(let number): number
    case .string(let text): isBlank(text) ? 0 : parse(text) ?? .nan
    case .array, .object: .nan
    }
  }

  /// The number that arithmetic sees: a text that is no number is 0, anything but text and numbers is an error.
  static func arithmetic(_ value: JSONValue, for name: String) throws(RuleError) -> Double {
    switch value {
    case .number(let number): return number
    case .string(let text): return parse(text) ?? 0
    default: throw .wrongArgument(name)
    }
  }

  /// The text that `cat` and `substr` see.
  static func text(_ value: JSONValue, for name: String) throws(RuleError) -> String {
    switch value {
    case .string(let text): return text
    case .number(let number): return decimal(number)
    case .null: return ""
    default: throw .wrongArgument(name)
    }
  }

  /// The shortest decimal text without an exponent: 1e21 is `1000000000000000000000`.
  static func decimal(_ number: Double) -> String {
    let text = JSONValue.text(of: number)
    guard let mark = text.utf8.firstIndex(of: UInt8(ascii: "e")),
      let exponent = Int(text[text.utf8.index(after: mark)...].drop { $0 == "+" })
    else { return text }
    let isNegative = text.utf8.first == UInt8(ascii: "-")
    let mantissa = text[..<mark].drop { $0 == "-" }.split(separator: ".").map(String.init)
    let digits = mantissa.joined() == "" ? "0" : trimmedFraction(mantissa)
    let point = (mantissa.first?.utf8.count ?? 0) + exponent
    let magnitude: String
    if point <= 0 {
      magnitude = "0." + String(repeating: "0", count: -point) + digits
    } else if point >= digits.utf8.count {
      magnitude = digits + String(repeating: "0", count: point - digits.utf8.count)
    } else {
      magnitude = "\(digits.prefix(point)).\(digits.dropFirst(point))"
    }
    return isNegative ? "-" + magnitude : magnitude
  }

  /// `["1", "0"]` is the digits of `1.0`: the zero that Swift writes for form's sake does not count.
  private static func trimmedFraction(_ mantissa: [String]) -> String {
    mantissa.count == 2 && mantissa[1] == "0" ? mantissa[0] : mantissa.joined()
  }

  /// Whether `left` comes before `right` by bytes.
  static func precedes(_ left: String, _ right: String) -> Bool {
    let (left, right) = (left.utf8Span.span, right.utf8Span.span)
    for index in 0..<min(left.count, right.count) where left[index] != right[index] {
      return left[index] < right[index]
    }
    return left.count < right.count
  }

  /// The number that the whole text is, in decimal.
  private static func parse(_ text: String) -> Double? {
    let bytes = text.utf8Span.span
    guard !bytes.isEmpty else { return nil }
    // Swift also reads names, blanks' absence aside, and hexadecimal; only decimal digits count here.
    for index in bytes.indices {
      switch bytes[index] {
      case 0x30...0x39, UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E"):
        continue
      default: return nil
      }
    }
    return Double(text)
  }

  private static func isBlank(_ text: String) -> Bool {
    text.unicodeScalars.allSatisfy(\.properties.isWhitespace)
  }
}
