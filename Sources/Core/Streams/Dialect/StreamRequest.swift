import Bytes

/// What a request's JSON body says about its answer.
package enum StreamRequest {
  /// Whether the body is an object with a top-level `"stream": true`, as model providers' APIs have it.
  ///
  /// Found without parsing the rest; a body that is no JSON asks for nothing.
  package static func asksForStream(_ body: Span<UInt8>) -> Bool {
    var depth = 0
    var index = 0
    while index < body.count {
      switch body[index] {
      case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
      case UInt8(ascii: "}"), UInt8(ascii: "]"): depth -= 1
      case UInt8(ascii: "\""):
        guard let end = endOfString(body, from: index + 1) else { return false }
        if depth == 1, body.extracting(index + 1..<end).equals("stream"),
          let value = valueStart(body, behind: end + 1)
        {
          return body.extracting(droppingFirst: value).hasPrefix("true")
        }
        index = end
      default:
        // Whatever stands before an object is no object.
        if depth == 0, !isSpace(body[index]) { return false }
      }
      index += 1
    }
    return false
  }

  /// Where the value of a member begins whose name ends before `index`; `nil` when it was no name.
  private static func valueStart(_ body: Span<UInt8>, behind index: Int) -> Int? {
    var index = skipSpace(body, from: index)
    guard index < body.count, body[index] == UInt8(ascii: ":") else { return nil }
    index = skipSpace(body, from: index + 1)
    return index < body.count ? index : nil
  }

  private static func endOfString(_ body: Span<UInt8>, from start: Int) -> Int? {
    var index = start
    while index < body.count {
      index = body.firstIndex(ofEither: UInt8(ascii: "\""), or: UInt8(ascii: "\\"), from: index)
      guard index < body.count else { return nil }
      if body[index] == UInt8(ascii: "\"") { return index }
      index += 2
    }
    return nil
  }

  private static func skipSpace(_ body: Span<UInt8>, from start: Int) -> Int {
    var index = start
    while index < body.count, isSpace(body[index]) { index += 1 }
    return index
  }

  private static func isSpace(_ byte: UInt8) -> Bool {
    byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09
  }
}
