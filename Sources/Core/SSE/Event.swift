import Bytes

/// One block of an event stream, as positions in the bytes it was found in: from its first line to the blank
/// line that ends it (WHATWG HTML, 9.2.6). Nothing is copied.
package struct Event {
  /// The fields that a block has.
  package struct Fields: OptionSet, Sendable {
    package let rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }

    package static let comment = Fields(rawValue: 1)
    package static let type = Fields(rawValue: 2)
    package static let data = Fields(rawValue: 4)
    package static let id = Fields(rawValue: 8)
    package static let retry = Fields(rawValue: 16)
    /// A field with another name: ignored by clients, passed on by us.
    package static let other = Fields(rawValue: 32)
  }

  /// The whole block, its blank line included.
  package internal(set) var range: Range<Int>
  package internal(set) var fields: Fields = []
  /// The value of the last `event` line.
  package internal(set) var type: Range<Int> = 0..<0
  /// The value of the first `data` line.
  package internal(set) var data: Range<Int> = 0..<0
  /// The value of the last `id` line.
  package internal(set) var id: Range<Int> = 0..<0
  /// Where the first byte of the closing blank line stands.
  package internal(set) var blankLine: Int
  /// Whether the bytes are the parser's own (`EventParser.carried`), because the block came in pieces.
  package internal(set) var isCarried = false

  /// Whether a client dispatches it: a block without `data` only sets the id or the reconnection time.
  package var isDispatched: Bool { fields.contains(.data) }
  /// Whether it is nothing but comments.
  package var isComment: Bool { fields == .comment }
}

extension Event {
  /// Reads the lines of the block that starts at `start`.
  ///
  /// - Returns: the block, or `nil` with `end` at the first byte of the line that is not finished.
  static func read(_ bytes: Span<UInt8>, from start: Int, end: inout Int) -> Event? {
    var event = Event(range: start..<start, blankLine: start)
    var position = start
    while position < bytes.count {
      let lineEnd = bytes.firstIndex(ofEither: 0x0A, or: 0x0D, from: position)
      guard lineEnd < bytes.count else { break }
      let next = lineEnd + (bytes[lineEnd] == 0x0D && lineEnd + 1 < bytes.count && bytes[lineEnd + 1] == 0x0A ? 2 : 1)
      if lineEnd == position {
        event.blankLine = position
        event.range = start..<next
        end = next
        return event
      }
      event.note(bytes, line: position..<lineEnd)
      position = next
    }
    end = position
    return nil
  }

  /// Takes in one line (without its ending).
  mutating func note(_ bytes: Span<UInt8>, line: Range<Int>) {
    let first = bytes[line.lowerBound]
    // The first byte tells nearly all lines apart; the name is compared only where it can match.
    switch first {
    case UInt8(ascii: "d"):
      guard let value = Self.value(bytes, line, of: "data") else { return fields.formUnion(.other) }
      if !fields.contains(.data) { data = value }
      fields.insert(.data)
    case UInt8(ascii: "e"):
      guard let value = Self.value(bytes, line, of: "event") else { return fields.formUnion(.other) }
      type = value
      fields.insert(.type)
    case UInt8(ascii: "i"):
      guard let value = Self.value(bytes, line, of: "id") else { return fields.formUnion(.other) }
      id = value
      fields.insert(.id)
    case UInt8(ascii: "r"):
      fields.formUnion(Self.value(bytes, line, of: "retry") == nil ? .other : .retry)
    case UInt8(ascii: ":"): fields.insert(.comment)
    default: fields.insert(.other)
    }
  }

  /// The value of a line whose field is `name`: behind the colon and one space, or nothing when there is no colon.
  private static func value(_ bytes: Span<UInt8>, _ line: Range<Int>, of name: StaticString) -> Range<Int>? {
    let content = bytes.extracting(line)
    guard content.hasPrefix(name) else { return nil }
    var start = line.lowerBound + name.utf8CodeUnitCount
    if start == line.upperBound { return start..<start }
    guard bytes[start] == UInt8(ascii: ":") else { return nil }
    start += 1
    if start < line.upperBound, bytes[start] == 0x20 { start += 1 }
    return start..<line.upperBound
  }
}
