import Bytes

/// The two members of a JSON payload that say what an event is, found without parsing the payload: a gateway must
/// not stumble over JSON that it need not understand.
struct PayloadSketch {
  /// The text of a top-level `"type"` that is a string, without quotes; empty when there is none.
  private(set) var type = 0..<0
  /// Whether there is a top-level `"error"` that is not `null`.
  private(set) var hasError = false

  /// How far the members are looked for. What a dialect puts there stands at the beginning.
  static let reach = 1024

  init(_ payload: Span<UInt8>) {
    let bytes = payload.extracting(first: min(payload.count, Self.reach))
    var depth = 0
    var index = 0
    while index < bytes.count {
      switch bytes[index] {
      case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
      case UInt8(ascii: "}"), UInt8(ascii: "]"):
        depth -= 1
        if depth <= 0 { return }
      case UInt8(ascii: "\""):
        guard let end = Self.endOfString(bytes, from: index + 1) else { return }
        if depth == 1 { note(bytes, key: index + 1..<end) }
        index = end
      default: break
      }
      index += 1
    }
  }

  /// Looks at a top-level string: a member's name if a colon follows it.
  private mutating func note(_ bytes: Span<UInt8>, key: Range<Int>) {
    let name = bytes.extracting(key)
    let isType = name.equals("type")
    guard isType || name.equals("error") else { return }
    var index = Self.skipSpace(bytes, from: key.upperBound + 1)
    guard index < bytes.count, bytes[index] == UInt8(ascii: ":") else { return }
    index = Self.skipSpace(bytes, from: index + 1)
    guard index < bytes.count else { return }
    if !isType {
      hasError = bytes[index] != UInt8(ascii: "n")
    } else if bytes[index] == UInt8(ascii: "\""), let end = Self.endOfString(bytes, from: index + 1) {
      type = index + 1..<end
    }
  }

  /// The position of the quote that ends the string whose first character is at `start`.
  private static func endOfString(_ bytes: Span<UInt8>, from start: Int) -> Int? {
    var index = start
    while true {
      index = bytes.firstIndex(ofEither: UInt8(ascii: "\""), or: UInt8(ascii: "\\"), from: index)
      guard index < bytes.count else { return nil }
      if bytes[index] == UInt8(ascii: "\"") { return index }
      index += 2
      if index > bytes.count { return nil }
    }
  }

  private static func skipSpace(_ bytes: Span<UInt8>, from start: Int) -> Int {
    var index = start
    while index < bytes.count, bytes[index] == 0x20 || bytes[index] == 0x09 { index += 1 }
    return index
  }
}
