#if canImport(FoundationEssentials)
  public import FoundationEssentials
#else
  public import Foundation
#endif

/// Any JSON value.
public enum JSONValue: Sendable, Hashable, Decodable {
  /// Nothing.
  case null
  /// True or false.
  case bool(Bool)
  /// A whole number that fits.
  case integer(Int)
  /// Any other number.
  case number(Double)
  /// A text.
  case string(String)
  /// Values in a row.
  case array([JSONValue])
  /// Values by their names.
  case object([String: JSONValue])

  /// Reads any JSON.
  ///
  /// - Throws: `DecodingError` if it is none.
  public init(from decoder: any Decoder) throws {
    let value = try decoder.singleValueContainer()
    if value.decodeNil() {
      self = .null
    } else if let found = try? value.decode(Bool.self) {
      self = .bool(found)
    } else if let found = try? value.decode(Int.self) {
      self = .integer(found)
    } else if let found = try? value.decode(Double.self) {
      self = .number(found)
    } else if let found = try? value.decode(String.self) {
      self = .string(found)
    } else if let found = try? value.decode([JSONValue].self) {
      self = .array(found)
    } else {
      self = .object(try value.decode([String: JSONValue].self))
    }
  }

  /// The text, if this is a string.
  public var string: String? { if case .string(let text) = self { text } else { nil } }
  /// The number, if this is a whole one.
  public var integer: Int? { if case .integer(let number) = self { number } else { nil } }
  /// The number, if this is one.
  var double: Double? {
    switch self {
    case .integer(let number): Double(number)
    case .number(let number): number
    default: nil
    }
  }
  /// The members, if this is an object.
  public var object: [String: JSONValue]? { if case .object(let members) = self { members } else { nil } }

  /// Whether JavaScript would call it true.
  var isTruthy: Bool {
    switch self {
    case .null: false
    case .bool(let value): value
    case .integer(let value): value != 0
    case .number(let value): value != 0
    case .string(let value): !value.isEmpty
    case .array, .object: true
    }
  }

  /// The JSON object that a text is, or nil.
  static func object(in text: String) -> [String: JSONValue]? {
    guard text.utf8.first(where: { $0 != 0x20 && $0 != 0x0A && $0 != 0x09 && $0 != 0x0D }) == 0x7B else { return nil }
    return (try? JSONDecoder().decode(JSONValue.self, from: Data(text.utf8)))?.object
  }
}

extension ServerEvent {
  /// The data as JSON.
  ///
  /// - Throws: `DecodingError` if it is not such JSON.
  public func decode<T: Decodable>(_ type: T.Type, decoder: JSONDecoder = JSONDecoder()) throws -> T {
    try decoder.decode(type, from: Data(data.utf8))
  }
}
