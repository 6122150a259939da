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
  /// Bytes of the block as the backend sent it. Not those of `range` when the parser kept only the block's beginning or
  /// completed its end.
  package internal(set) var length = 0

  /// Whether a client dispatches it: a block without `data` only sets the id or the reconnection time.
  package var isDispatched: Bool { fields.rawValue & Fields.data.rawValue != 0 }
  /// Whether it has an `id` line.
  package var hasID: Bool { fields.rawValue & Fields.id.rawValue != 0 }
  /// Whether it is nothing but comments.
  package var isComment: Bool { fields == .comment }
}

extension Event {
  /// Reads the lines of the block that starts at `start`.
  ///
  /// - Returns: the block, or `nil` with `end` at the first byte of the line that is not finished.
  // Part of its callers: as a call it hands its result, which is large, over in memory.
  @inline(__always)
  static func read(_ bytes: Span<UInt8>, from start: Int, end: inout Int) -> Event? {
    var event = Event(range: start..<start, blankLine: start)
    var position = start
    while position < bytes.count {
      let first = bytes[position]
      if first == 0x0A || first == 0x0D {
        event.blankLine = position
        end = lineStart(bytes, behind: position)
        event.range = start..<end
        event.length = end - start
        return event
      }
      let lineEnd = bytes.firstIndex(ofEither: 0x0A, or: 0x0D, from: position)
      guard lineEnd < bytes.count else { break }
      event.note(bytes, line: position..<lineEnd)
      position = lineStart(bytes, behind: lineEnd)
    }
    end = position
    return nil
  }

  /// Reads a block of which only the beginning is known, and no blank line.
  static func readPrefix(_ bytes: Span<UInt8>) -> Event {
    var event = Event(range: 0..<bytes.count, blankLine: bytes.count)
    var position = 0
    while position < bytes.count {
      let lineEnd = bytes.firstIndex(ofEither: 0x0A, or: 0x0D, from: position)
      // Of a line that breaks off only data is of use: half a type or half an id is another one.
      if lineEnd == bytes.count, bytes[position] != UInt8(ascii: "d"), bytes[position] != UInt8(ascii: ":") {
        event.fields.insert(.other)
      } else if lineEnd > position {
        event.note(bytes, line: position..<lineEnd)
      }
      position = lineEnd + 1
    }
    return event
  }

  /// Where the line starts that follows the line ending at `position`: CR, LF or CRLF.
  static func lineStart(_ bytes: Span<UInt8>, behind position: Int) -> Int {
    let isPair = bytes[position] == 0x0D && position + 1 < bytes.count && bytes[position + 1] == 0x0A
    return position + (isPair ? 2 : 1)
  }

  /// Takes in one line that is not empty (without its ending).
  private mutating func note(_ bytes: Span<UInt8>, line: Range<Int>) {
    // The first byte tells nearly all lines apart; the name is compared only where it can match.
    switch bytes[line.lowerBound] {
    case UInt8(ascii: "d"):
      guard let value = Self.value(bytes, line, of: "data") else { return fields.formUnion(.other) }
      if !fields.contains(.data) { data = value }
      fields.insert(.data)
    case UInt8(ascii: "e"):
      guard let value = Self.value(bytes, line, of: "event") else { return fields.formUnion(.other) }
      type = value
      fields.insert(.type)
    case UInt8(ascii: "i"):
      // An id with a NUL in it is no id (WHATWG HTML, 9.2.6).
      guard let value = Self.value(bytes, line, of: "id"), bytes.extracting(value).firstIndex(of: 0) == nil
      else { return fields.formUnion(.other) }
      id = value
      fields.insert(.id)
    case UInt8(ascii: "r"):
      fields.formUnion(Self.value(bytes, line, of: "retry") == nil ? .other : .retry)
    case UInt8(ascii: ":"): fields.insert(.comment)
    default: fields.insert(.other)
    }
  }

  /// The value of a line whose field is `name`: behind the colon and one space, or nothing when there is no colon.
  @inline(__always)
  private static func value(_ bytes: Span<UInt8>, _ line: Range<Int>, of name: StaticString) -> Range<Int>? {
    let length = name.utf8CodeUnitCount
    guard line.count >= length else { return nil }
    for index in 1..<length where unsafe bytes[line.lowerBound + index] != name.utf8Start[index] { return nil }
    var start = line.lowerBound + length
    if start == line.upperBound { return start..<start }
    guard bytes[start] == UInt8(ascii: ":") else { return nil }
    start += 1
    if start < line.upperBound, bytes[start] == 0x20 { start += 1 }
    return start..<line.upperBound
  }
}

extension Event {
  /// Reads a block that is known to be one, alone in `block`; one that lacks its end is read as far as it goes.
  package init(reading block: Span<UInt8>) {
    var end = 0
    self = Event.read(block, from: 0, end: &end) ?? Event.readPrefix(block)
    length = block.count
  }

  /// Whether the block in `block` has an `id` line with the value `id`.
  package static func id(of block: Span<UInt8>, equals id: Span<UInt8>) -> Bool {
    let event = Event(reading: block)
    return event.fields.contains(.id) && block.extracting(event.id).equals(id)
  }
}
