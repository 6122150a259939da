import Bytes

/// Walks through the values of a JSON payload, member by member, and builds nothing. It is lenient: of what is not JSON
/// it says that there is nothing more.
///
/// The payload may be spread over several lines of data: what stands between two lines is skipped like blanks.
struct PayloadCursor: ~Escapable {
  private let bytes: Span<UInt8>
  private var index = 0

  @_lifetime(copy bytes)
  init(_ bytes: Span<UInt8>) {
    self.bytes = bytes
  }

  /// Steps into the object that stands here, if one does.
  mutating func enterObject() -> Bool { enter(UInt8(ascii: "{")) }

  /// Steps into the array that stands here, if one does.
  mutating func enterArray() -> Bool { enter(UInt8(ascii: "[")) }

  private mutating func enter(_ bracket: UInt8) -> Bool {
    skipSpace()
    guard index < bytes.count, bytes[index] == bracket else { return false }
    index += 1
    return true
  }

  /// The name of the next member of the object stepped into, without its quotes; its value stands here then. `nil` at
  /// the object's end, which is stepped over.
  mutating func nextMember() -> Range<Int>? {
    guard skipSeparator(closing: UInt8(ascii: "}")), let name = string() else { return nil }
    skipSpace()
    guard index < bytes.count, bytes[index] == UInt8(ascii: ":") else {
      index = bytes.count
      return nil
    }
    index += 1
    return name
  }

  /// Whether a next element of the array stepped into stands here. At the array's end that is stepped over.
  mutating func nextElement() -> Bool {
    skipSeparator(closing: UInt8(ascii: "]"))
  }

  /// Skips a comma, or the closing bracket.
  private mutating func skipSeparator(closing bracket: UInt8) -> Bool {
    skipSpace()
    if index < bytes.count, bytes[index] == UInt8(ascii: ",") {
      index += 1
      skipSpace()
    }
    guard index < bytes.count else { return false }
    if bytes[index] == bracket {
      index += 1
      return false
    }
    return true
  }

  /// The string that stands here, without its quotes, stepped over; `nil` if none does.
  mutating func string() -> Range<Int>? {
    skipSpace()
    guard index < bytes.count, bytes[index] == UInt8(ascii: "\""),
      let end = PayloadSketch.endOfString(bytes, from: index + 1)
    else { return nil }
    defer { index = end + 1 }
    return index + 1..<end
  }

  /// The string that stands here, without its quotes, or the number, stepped over. `nil` for any other value, which is
  /// stepped over too.
  mutating func stringOrNumber() -> Range<Int>? {
    if let text = string() { return text }
    let start = index
    _ = skipValue()
    guard start < index, bytes[start] == UInt8(ascii: "-") || Self.isDigit(bytes[start]) else { return nil }
    return start..<index
  }

  private static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

  /// Steps over the value that stands here.
  ///
  /// - Returns: whether it says something: not `null`, `false`, `""`, `{}` or `[]`.
  mutating func skipValue() -> Bool {
    skipSpace()
    guard index < bytes.count else { return false }
    switch bytes[index] {
    case UInt8(ascii: "\""):
      guard let text = string() else {
        index = bytes.count
        return false
      }
      return !text.isEmpty
    case UInt8(ascii: "{"), UInt8(ascii: "["): return skipNested()
    default: return skipWord()
    }
  }

  private mutating func skipNested() -> Bool {
    var depth = 0
    var saysSomething = false
    while index < bytes.count {
      switch bytes[index] {
      case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
      case UInt8(ascii: "}"), UInt8(ascii: "]"):
        depth -= 1
        if depth == 0 {
          index += 1
          return saysSomething
        }
      case UInt8(ascii: "\""):
        saysSomething = true
        guard string() != nil else {
          index = bytes.count
          return false
        }
        continue
      case 0x20, 0x09, 0x0A, 0x0D: break
      default: saysSomething = true
      }
      index += 1
    }
    return false
  }

  /// A number, `true`, `false` or `null`.
  private mutating func skipWord() -> Bool {
    let start = index
    while index < bytes.count, !Self.endsWord(bytes[index]) { index += 1 }
    if index == start {
      // Whatever is in the way, it must not be looked at for ever.
      index = bytes.count
      return false
    }
    return bytes[start] != UInt8(ascii: "n") && bytes[start] != UInt8(ascii: "f")
  }

  private static func endsWord(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x20, 0x09, 0x0A, 0x0D, UInt8(ascii: ","), UInt8(ascii: "}"), UInt8(ascii: "]"), UInt8(ascii: ":"): true
    default: false
    }
  }

  private mutating func skipSpace() {
    while index < bytes.count {
      switch bytes[index] {
      case 0x20, 0x09: index += 1
      case 0x0A, 0x0D: skipFieldName()
      default: return
      }
    }
  }

  /// The next line of the event: `data:` is skipped, and another field with its value.
  private mutating func skipFieldName() {
    index += 1
    let line = bytes.extracting(droppingFirst: index)
    if line.hasPrefix("data:") {
      index += 5
    } else if !line.isEmpty, line[0] != 0x0A, line[0] != 0x0D {
      index = bytes.firstIndex(ofEither: 0x0A, or: 0x0D, from: index)
    }
  }
}
