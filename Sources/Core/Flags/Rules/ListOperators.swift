internal import Bytes
internal import JSON

/// `in`, `merge` and the operators of the Go engine alone.
enum ListOperators {
  /// A text holds a text; a list holds an equal element, or a range `[low, high]` around a number.
  static func contains(_ needle: JSONValue, in haystack: JSONValue) throws(RuleError) -> Bool {
    switch haystack {
    case .string(let text):
      guard case .string(let part) = needle else { throw .wrongArgument("in") }
      return text.utf8Span.span.contains(part.utf8Span.span)
    case .array(let elements):
      for element in elements where try matches(needle, element) { return true }
      return false
    default: return false
    }
  }

  private static func matches(_ needle: JSONValue, _ element: JSONValue) throws(RuleError) -> Bool {
    switch (needle, element) {
    case (_, .array(let range)):
      guard range.count >= 2 else { throw .wrongArgument("in") }
      let number = try Coercion.arithmetic(needle, for: "in")
      guard number >= (try Coercion.arithmetic(range[0], for: "in")) else { return false }
      return number <= (try Coercion.arithmetic(range[1], for: "in"))
    case (.number(let number), _): return try Coercion.arithmetic(element, for: "in") == number
    case (.object, .object): throw .wrongArgument("in")
    default: return needle == element
    }
  }

  /// One level of lists flattened, everything else an element.
  static func merge(_ arguments: JSONValue) throws(RuleError) -> [JSONValue] {
    switch arguments {
    case .array(let values): return values.flatMap { $0.array ?? [$0] }
    case .null, .object: throw .wrongArgument("merge")
    default: return [arguments]
    }
  }

  /// `[object, name, value]`: the object with that member.
  static func set(_ arguments: [JSONValue]) throws(RuleError) -> JSONValue {
    guard arguments.count >= 3, case .string(let name) = arguments[1] else { throw .wrongArgument("set") }
    guard case .object(var object) = arguments[0] else { return arguments[0] }
    object[name] = arguments[2]
    return .object(object)
  }
}

extension Span where Element == UInt8 {
  /// Whether `part` stands anywhere in the bytes; nothing stands everywhere.
  fileprivate func contains(_ part: Span<UInt8>) -> Bool {
    guard !part.isEmpty else { return true }
    var index = 0
    while index + part.count <= count {
      guard let hit = firstIndex(of: part[0], from: index), hit + part.count <= count else { return false }
      if extracting(droppingFirst: hit).hasPrefix(part) { return true }
      index = hit + 1
    }
    return false
  }
}
