import Bytes
import SSE

/// What the parser found, with the bytes in place of positions.
struct ParsedEvent: Equatable, CustomStringConvertible {
  /// The block. A CRLF at its very end is a CR here: whether its LF belongs to the block depends on the pieces.
  var block: [UInt8]
  var fields: UInt8
  var type: [UInt8]
  var data: [UInt8]
  var id: [UInt8]
  /// Bytes of what precedes the blank line.
  var content: Int

  init(block: [UInt8], fields: Event.Fields, type: [UInt8], data: [UInt8], id: [UInt8], content: Int) {
    self.block = block.suffix(2) == [0x0D, 0x0A] ? block.dropLast() : block
    self.fields = fields.rawValue
    self.type = type
    self.data = data
    self.id = id
    self.content = content
  }

  init(_ event: Event, _ bytes: Span<UInt8>) {
    self.init(
      block: [UInt8](copying: bytes.extracting(event.range)), fields: event.fields,
      type: [UInt8](copying: bytes.extracting(event.type)), data: [UInt8](copying: bytes.extracting(event.data)),
      id: [UInt8](copying: bytes.extracting(event.id)), content: event.blankLine - event.range.lowerBound)
  }

  var description: String { String(decoding: block, as: UTF8.self).debugDescription + " \(fields)" }
}

/// All that a parser told of a stream in pieces.
struct ParsedStream: Equatable {
  var events: [ParsedEvent] = []
  /// The bytes that the parser counts for the events.
  var lengths: [Int] = []
  /// For each block that was too large, what `tooLarge` gave: the bytes so far.
  var tooLarge: [[UInt8]] = []
  var partial: [UInt8] = []
  var isBetweenEvents = true
  var isInsideEvent = false
  var completed: ParsedEvent?
  /// The most memory held at the end of a piece after which nothing was arriving.
  var idleMemory = 0

  init(_ pieces: [[UInt8]], limit: Int = 1 << 20) {
    var parser = EventParser(limit: limit)
    for piece in pieces {
      var offset = 0
      taking: while true {
        switch parser.next(in: piece.span, at: &offset) {
        case .needsMore: break taking
        case .event(let event):
          events.append(event.isCarried ? ParsedEvent(event, parser.carried) : ParsedEvent(event, piece.span))
          lengths.append(event.length)
        case .tooLarge(let kept, let start):
          tooLarge.append([UInt8](copying: parser.carried.extracting(first: kept)) + piece[start...])
        }
      }
      if parser.partialLength == 0 { idleMemory = max(idleMemory, parser.allocated) }
    }
    partial = [UInt8](copying: parser.carried)
    isBetweenEvents = parser.isBetweenEvents
    isInsideEvent = parser.isInsideEvent
    if let event = parser.completePartial() { completed = ParsedEvent(event, parser.carried) }
  }
}

/// The same by the words of the standard, a line at a time.
struct ReferenceStream {
  var events: [ParsedEvent] = []
  var partial: [UInt8] = []

  init(_ stream: [UInt8]) {
    var bytes = stream[...]
    if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { bytes = bytes.dropFirst(3) }
    var block: [UInt8] = []
    var event = ParsedEvent(block: [], fields: [], type: [], data: [], id: [], content: 0)
    while let end = bytes.firstIndex(where: { $0 == 0x0A || $0 == 0x0D }) {
      let isPair = bytes[end] == 0x0D && bytes[end...].dropFirst().first == 0x0A
      let line = Array(bytes[..<end])
      let next = end + (isPair ? 2 : 1)
      let wasEmpty = block.isEmpty
      block += bytes[..<next]
      bytes = bytes[next...]
      guard line.isEmpty else {
        event.take(line)
        continue
      }
      if !wasEmpty {
        event.content = block.count - (isPair ? 2 : 1)
        event.block = isPair ? block.dropLast() : block
        events.append(event)
      }
      block = []
      event = ParsedEvent(block: [], fields: [], type: [], data: [], id: [], content: 0)
    }
    partial = block + bytes
  }
}

extension ParsedEvent {
  /// Takes in one line that is not empty.
  fileprivate mutating func take(_ line: [UInt8]) {
    let colon = line.firstIndex(of: 0x3A)
    let name = String(decoding: line[..<(colon ?? line.count)], as: UTF8.self)
    var value = Array(line[(colon.map { $0 + 1 } ?? line.count)...])
    if value.first == 0x20 { value.removeFirst() }
    var seen = Event.Fields(rawValue: fields)
    switch name {
    case "": seen.insert(colon == 0 ? .comment : .other)
    case "data":
      if !seen.contains(.data) { data = value }
      seen.insert(.data)
    case "event":
      type = value
      seen.insert(.type)
    case "id" where !value.contains(0):
      id = value
      seen.insert(.id)
    case "retry": seen.insert(.retry)
    default: seen.insert(.other)
    }
    fields = seen.rawValue
  }
}
