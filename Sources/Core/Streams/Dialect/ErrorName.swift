import Bytes
import SSE

/// The name that a backend gives its error: `overloaded_error`, `rate_limit_exceeded`, 429. It is a word for people and
/// machines, and never the error's message, which may quote what a user wrote.
enum ErrorName {
  /// The most that a name has, in bytes. What is longer is none.
  static let limit = 64
  /// How far a payload is looked at, in bytes.
  private static let reach = 4096

  /// - Parameter payload: JSON, maybe spread over several lines of data.
  /// - Returns: the type of the innermost error, or its code where it has no type that says more than that it is one;
  ///   empty when there is neither.
  static func read(_ payload: Span<UInt8>) -> String {
    let bytes = payload.extracting(first: min(payload.count, reach))
    var cursor = PayloadCursor(bytes)
    return cursor.enterObject() ? read(&cursor, in: bytes, depth: 0) : ""
  }

  private static func read(_ cursor: inout PayloadCursor, in bytes: Span<UInt8>, depth: Int) -> String {
    var type = ""
    var code = ""
    while let name = cursor.nextMember() {
      let member = bytes.extracting(name)
      if member.equals("type") {
        type = word(&cursor, in: bytes)
      } else if member.equals("code") {
        code = word(&cursor, in: bytes)
      } else if depth < 2, member.equals("error") || member.equals("response") {
        var inner = cursor
        let found = inner.enterObject() ? read(&inner, in: bytes, depth: depth + 1) : word(&inner, in: bytes)
        if !found.isEmpty { return found }
        _ = cursor.skipValue()
      } else {
        _ = cursor.skipValue()
      }
    }
    return type.isEmpty || type == "error" || type.hasPrefix("response.") ? code : type
  }

  /// The string or number that stands here, stepped over, if it looks like a name.
  private static func word(_ cursor: inout PayloadCursor, in bytes: Span<UInt8>) -> String {
    guard let range = cursor.stringOrNumber(), !range.isEmpty, range.count <= limit else { return "" }
    let text = bytes.extracting(range)
    for index in text.indices where !isNameByte(text[index]) { return "" }
    return String(copying: text)
  }

  private static func isNameByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "."):
      true
    default: false
    }
  }
}

extension EventClassifier {
  /// The name of the error that `event` tells of; empty when it has none.
  func errorName(of event: Event, in bytes: Span<UInt8>) -> String {
    // Bare JSON is no field of an event: the block itself is the payload.
    let payload = event.isDispatched ? event.data.lowerBound..<event.blankLine : event.range
    return ErrorName.read(bytes.extracting(payload))
  }
}
