/// Parses one `text/event-stream` body (WHATWG HTML 9.2.5 and 9.2.6). Every byte is scanned once, whatever the size of
/// the pieces.
package struct EventParser {
  /// What one blank line ended.
  package struct Block: Equatable {
    /// Empty without an `event:` line.
    package var type = ""
    /// Nil without a `data:` line: such a block is no event.
    package var data: String?
    /// Nil without a valid `id:` line.
    package var id: String?
  }

  package enum Item: Equatable {
    case block(Block)
    case comment
    /// A `retry:` line, in milliseconds.
    case retry(Int)
    /// One event has more bytes than allowed. Nothing follows.
    case tooLarge
  }

  private static let mark: [UInt8] = [0xEF, 0xBB, 0xBF]
  private static let retryDigits = 15

  private let limit: Int
  private var start: [UInt8]? = []
  private var line: [UInt8] = []
  private var afterCarriageReturn = false
  private var isDead = false
  private var size = 0
  private var data: [UInt8]?
  private var type: [UInt8] = []
  private var id: [UInt8]?
  private var touched = false

  package init(maximumEventBytes: Int) { limit = maximumEventBytes }

  /// Adds a piece of the body and returns what it completed.
  package mutating func feed(_ piece: [UInt8]) -> [Item] {
    var items: [Item] = []
    guard !isDead, !piece.isEmpty else { return items }
    let bytes = start == nil ? piece : withoutMark(piece)
    var position = 0
    if afterCarriageReturn, let first = bytes.first {
      afterCarriageReturn = false
      if first == 0x0A { position = 1 }
    }
    while position < bytes.count, !isDead {
      guard let end = bytes[position...].firstIndex(where: { $0 == 0x0A || $0 == 0x0D }) else {
        hold(bytes[position...], &items)
        return items
      }
      take(bytes[position..<end], &items)
      position = end + 1
      guard bytes[end] == 0x0D else { continue }
      if position == bytes.count {
        afterCarriageReturn = true
      } else if bytes[position] == 0x0A {
        position += 1
      }
    }
    return items
  }

  /// The body ended cleanly: a last event without its blank line is completed.
  package mutating func finish() -> [Item] {
    var items: [Item] = []
    guard !isDead else { return items }
    if let start, !start.isEmpty { hold(start[...], &items) }
    if !line.isEmpty, !isDead { take([], &items) }
    if !isDead { dispatch(&items) }
    return items
  }

  private mutating func withoutMark(_ piece: [UInt8]) -> [UInt8] {
    let seen = (start ?? []) + piece
    if seen.count < Self.mark.count, Self.mark.starts(with: seen) {
      start = seen
      return []
    }
    start = nil
    return seen.starts(with: Self.mark) ? Array(seen.dropFirst(Self.mark.count)) : seen
  }

  private mutating func hold(_ piece: ArraySlice<UInt8>, _ items: inout [Item]) {
    // Nothing of a comment is needed but that it is one.
    if (line.first ?? piece.first) == 0x3A {
      line = [0x3A]
      return
    }
    line.append(contentsOf: piece)
    if line.count > limit - size { die(&items) }
  }

  private mutating func die(_ items: inout [Item]) {
    isDead = true
    line = []
    data = nil
    items.append(.tooLarge)
  }

  private mutating func take(_ rest: ArraySlice<UInt8>, _ items: inout [Item]) {
    guard !line.isEmpty else {
      read(rest, &items)
      return
    }
    line.append(contentsOf: rest)
    let whole = line
    line = []
    read(whole[...], &items)
  }

  private mutating func read(_ line: ArraySlice<UInt8>, _ items: inout [Item]) {
    guard let first = line.first else {
      dispatch(&items)
      return
    }
    guard first != 0x3A else {
      items.append(.comment)
      return
    }
    guard line.count <= limit - size else {
      die(&items)
      return
    }
    size += line.count
    let colon = line.firstIndex(of: 0x3A) ?? line.endIndex
    var value = line[colon...].dropFirst()
    if value.first == 0x20 { value = value.dropFirst() }
    field(line[..<colon], value, &items)
  }

  private mutating func field(_ name: ArraySlice<UInt8>, _ value: ArraySlice<UInt8>, _ items: inout [Item]) {
    if name.elementsEqual("data".utf8) {
      if data == nil { data = [] } else { data?.append(0x0A) }
      data?.append(contentsOf: value)
      touched = true
    } else if name.elementsEqual("event".utf8) {
      type = Array(value)
      touched = true
    } else if name.elementsEqual("id".utf8) {
      guard !value.contains(0) else { return }
      id = Array(value)
      touched = true
    } else if name.elementsEqual("retry".utf8), !value.isEmpty, value.allSatisfy({ (0x30...0x39).contains($0) }) {
      // A longer number is only larger than any that is kept.
      let digits = value.drop { $0 == 0x30 }.prefix(Self.retryDigits)
      items.append(.retry(Int(String(decoding: digits, as: UTF8.self)) ?? 0))
    }
  }

  private mutating func dispatch(_ items: inout [Item]) {
    size = 0
    guard touched else { return }
    items.append(
      .block(
        Block(
          type: String(decoding: type, as: UTF8.self), data: data.map { String(decoding: $0, as: UTF8.self) },
          id: id.map { String(decoding: $0, as: UTF8.self) })))
    data = nil
    type = []
    id = nil
    touched = false
  }
}
