import Bytes

/// The two members of a JSON payload that say what an event is, found without parsing the payload: a gateway must
/// not stumble over JSON that it need not understand.
struct PayloadSketch {
  /// Members that are looked for.
  struct Members: OptionSet {
    let rawValue: UInt8
    static let type = Members(rawValue: 1)
    static let error = Members(rawValue: 2)
  }

  /// The text of a top-level `"type"` that is a string, without quotes; empty when there is none.
  private(set) var type = 0..<0
  /// Whether there is a top-level `"error"` that says something: not `null`, `false`, 0 or empty.
  private(set) var hasError = false

  /// How far the members are looked for. What a dialect puts there stands at the beginning.
  static let reach = 1024

  init(_ payload: Span<UInt8>, seeking members: Members) {
    let bytes = payload.extracting(first: min(payload.count, Self.reach))
    // Most payloads don't have these words anywhere, which is told much faster than their structure.
    var missing = Self.mentioned(members, in: bytes)
    var depth = 0
    var index = 0
    while !missing.isEmpty, index < bytes.count {
      switch bytes[index] {
      case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
      case UInt8(ascii: "}"), UInt8(ascii: "]"):
        depth -= 1
        if depth <= 0 { return }
      case UInt8(ascii: "\""):
        guard let end = Self.endOfString(bytes, from: index + 1) else { return }
        if depth == 1 { note(bytes, key: index + 1..<end, &missing) }
        index = end
      default: break
      }
      index += 1
    }
  }

  /// Those of `members` whose names stand somewhere in `bytes`.
  private static func mentioned(_ members: Members, in bytes: Span<UInt8>) -> Members {
    let (letterT, letterE) = (UInt8(ascii: "t"), UInt8(ascii: "e"))
    let first = members.contains(.type) ? letterT : letterE
    let second = members.contains(.error) ? letterE : letterT
    var found: Members = []
    var index = 0
    while found != members {
      index = bytes.firstIndex(of: UInt8(ascii: "\""), before: first, or: second, from: index)
      guard index < bytes.count else { break }
      let rest = bytes.extracting(droppingFirst: index)
      if bytes[index + 1] == letterT {
        if rest.hasPrefix("\"type\"") { found.insert(.type) }
      } else if rest.hasPrefix("\"error\"") {
        found.insert(.error)
      }
      index += 1
    }
    return found
  }

  /// Looks at a top-level string: a member's name if a colon follows it.
  private mutating func note(_ bytes: Span<UInt8>, key: Range<Int>, _ missing: inout Members) {
    let name = bytes.extracting(key)
    let isType = name.equals("type")
    guard isType || name.equals("error") else { return }
    var index = Self.skipSpace(bytes, from: key.upperBound + 1)
    guard index < bytes.count, bytes[index] == UInt8(ascii: ":") else { return }
    index = Self.skipSpace(bytes, from: index + 1)
    guard index < bytes.count else { return }
    missing.remove(isType ? .type : .error)
    if !isType {
      hasError = !Self.isNothing(bytes.extracting(droppingFirst: index))
    } else if bytes[index] == UInt8(ascii: "\""), let end = Self.endOfString(bytes, from: index + 1) {
      type = index + 1..<end
    }
  }

  /// Whether a value begins as those do that stand for "no error".
  private static func isNothing(_ value: Span<UInt8>) -> Bool {
    switch value[0] {
    // A line break: the value is missing, or on the next line of data.
    case UInt8(ascii: "n"), UInt8(ascii: "f"), UInt8(ascii: "0"), 0x0A, 0x0D: true
    // An opening character alone: what it opens has not come.
    case UInt8(ascii: "\""), UInt8(ascii: "{"), UInt8(ascii: "["):
      value.count < 2 || value.hasPrefix("\"\"") || value.hasPrefix("{}") || value.hasPrefix("[]")
    default: false
    }
  }

  /// The position of the quote that ends the string whose first character is at `start`.
  static func endOfString(_ bytes: Span<UInt8>, from start: Int) -> Int? {
    var index = start
    while index <= bytes.count {
      index = bytes.firstIndex(ofEither: UInt8(ascii: "\""), or: UInt8(ascii: "\\"), from: index)
      guard index < bytes.count else { return nil }
      if bytes[index] == UInt8(ascii: "\"") { return index }
      index += 2
    }
    return nil
  }

  private static func skipSpace(_ bytes: Span<UInt8>, from start: Int) -> Int {
    var index = start
    while index < bytes.count, bytes[index] == 0x20 || bytes[index] == 0x09 { index += 1 }
    return index
  }
}
