import Bytes

/// Splits the bytes of an event stream into its blocks, however they are cut into pieces.
///
/// One pass; a block that came in one piece is reported as positions in that piece, only one that was cut is put
/// together in memory of the parser's own, which is given back as soon as it was delivered. Line endings are CR,
/// LF and CRLF, mixed as they like; a byte order mark at the very start belongs to no block (WHATWG HTML, 9.2.5).
///
/// Nothing a backend sends is an error: broken fields are the client's business and pass through.
package struct EventParser: ~Copyable {
  /// What `next` found.
  package enum Step {
    case event(Event)
    /// All bytes are taken in.
    case needsMore
    /// The block that is arriving has grown past the limit. The parser goes on: it forgets what lies beyond the
    /// limit and finds the block's end all the same. Reported once for each such block: its bytes so far are the
    /// first `kept` ones of `carried` and those of the piece from `start` on.
    case tooLarge(kept: Int, start: Int)
  }

  /// Where in the carried block the next byte falls.
  private enum Position { case lineStart, lineStartAfterCR, inLine }

  /// The most bytes of one block that are kept.
  package let limit: Int
  private var carry = ByteBuffer()
  private var position = Position.lineStart
  private var carriedLength = 0
  private var carryIsDelivered = false
  private var skipsLineFeed = false
  private var markBytesSeen: UInt8 = 0

  /// - Parameter limit: bytes; see `Step.tooLarge`.
  package init(limit: Int) {
    self.limit = limit
  }

  /// The bytes of an event whose `isCarried` is true, and, between pieces, of the block that is arriving.
  package var carried: Span<UInt8> {
    @_lifetime(borrow self)
    get { carry.span }
  }

  /// Lends `carried` to `body`. For parsers that are stored in a class.
  package borrowing func withCarried<Result: ~Copyable>(_ body: (Span<UInt8>) -> Result) -> Result {
    body(carry.span)
  }

  /// Whether the last byte taken in ended a block (or none came yet): here a comment line may be put in.
  package var isBetweenEvents: Bool { carriedLength == 0 || carryIsDelivered }

  /// Bytes of the block that is arriving, the forgotten ones included.
  package var partialLength: Int { carryIsDelivered ? 0 : carriedLength }

  /// Bytes of memory held.
  package var allocated: Int { carry.allocated }

  /// Finds the next block at or after `offset` and moves `offset` behind what was taken in.
  package mutating func next(in input: Span<UInt8>, at offset: inout Int) -> Step {
    if carryIsDelivered { dropCarry() }
    if markBytesSeen < 3 { skipByteOrderMark(input, &offset) }
    if carriedLength > 0 { return continueCarried(input, &offset) }
    return nextWhole(input, &offset)
  }

  /// Ends the block that is arriving with the line endings that it lacks, as if the backend had sent them.
  ///
  /// - Returns: the block, or `nil` when nothing is arriving or its end was forgotten (`tooLarge`).
  package mutating func completePartial() -> Event? {
    guard partialLength > 0, carriedLength <= limit else { return nil }
    if position != .lineStart { carry.append(0x0A) }
    carry.append(0x0A)
    return deliverCarry()
  }

  // MARK: - Blocks in one piece

  private mutating func nextWhole(_ input: Span<UInt8>, _ offset: inout Int) -> Step {
    while offset < input.count {
      if skipsLineFeed {
        skipsLineFeed = false
        if input[offset] == 0x0A {
          offset += 1
          continue
        }
      }
      let start = offset
      guard let event = Event.read(input, from: start, end: &offset) else {
        return keep(input.extracting(start..<input.count), unfinishedLine: offset - start, &offset, end: input.count)
      }
      noteEnding(input, offset)
      // A blank line with nothing before it is no block.
      if !event.fields.isEmpty { return .event(event) }
    }
    return .needsMore
  }

  /// The second half of a CRLF may come with the next piece.
  private mutating func noteEnding(_ input: Span<UInt8>, _ end: Int) {
    skipsLineFeed = end == input.count && input[end - 1] == 0x0D
  }

  private mutating func keep(_ rest: Span<UInt8>, unfinishedLine: Int, _ offset: inout Int, end: Int) -> Step {
    let start = end - rest.count
    offset = end
    if unfinishedLine < rest.count {
      position = .inLine
    } else {
      position = rest[rest.count - 1] == 0x0D ? .lineStartAfterCR : .lineStart
    }
    return store(rest, start: start)
  }

  // MARK: - Blocks in pieces

  private mutating func continueCarried(_ input: Span<UInt8>, _ offset: inout Int) -> Step {
    let start = offset
    guard let end = findEnd(input, from: start) else {
      offset = input.count
      return store(input.extracting(start..<input.count), start: start)
    }
    offset = end
    noteEnding(input, end)
    let stored = store(input.extracting(start..<end), start: start)
    if case .tooLarge = stored {
      carryIsDelivered = true
      return stored
    }
    return deliverCarry().map { .event($0) } ?? .needsMore
  }

  /// The offset behind the blank line that ends the carried block. Only line endings are looked at; the fields are
  /// read when the block is whole, so no byte is looked at more than twice.
  private mutating func findEnd(_ input: Span<UInt8>, from start: Int) -> Int? {
    var index = start
    while index < input.count {
      if position == .lineStartAfterCR {
        position = .lineStart
        if input[index] == 0x0A {
          index += 1
          continue
        }
      }
      let lineEnd = input.firstIndex(ofEither: 0x0A, or: 0x0D, from: index)
      guard lineEnd < input.count else {
        position = .inLine
        return nil
      }
      let next = lineEnd + (input[lineEnd] == 0x0D && lineEnd + 1 < input.count && input[lineEnd + 1] == 0x0A ? 2 : 1)
      if position == .lineStart, lineEnd == index { return next }
      position = next == input.count && input[next - 1] == 0x0D ? .lineStartAfterCR : .lineStart
      index = next
    }
    return nil
  }

  private mutating func store(_ bytes: Span<UInt8>, start: Int) -> Step {
    let wasWithin = carriedLength <= limit
    let kept = carry.count
    let room = max(0, limit - carriedLength)
    carriedLength += bytes.count
    carry.append(bytes.count <= room ? bytes : bytes.extracting(first: room))
    return wasWithin && carriedLength > limit ? .tooLarge(kept: kept, start: start) : .needsMore
  }

  /// The carried block as an event; one whose end was forgotten is read as far as it is known.
  private mutating func deliverCarry() -> Event? {
    carryIsDelivered = true
    var end = 0
    var event: Event
    if let whole = Event.read(carry.span, from: 0, end: &end) {
      event = whole
    } else {
      event = Event.readPrefix(carry.span)
    }
    event.isCarried = true
    return event.fields.isEmpty ? nil : event
  }

  private mutating func dropCarry() {
    carry.release()
    carriedLength = 0
    carryIsDelivered = false
    position = .lineStart
  }

  // MARK: - Byte order mark

  /// Skips U+FEFF (EF BB BF) at the start of the stream. One that comes in pieces and turns out to be something
  /// else is put back in front of the first block.
  private mutating func skipByteOrderMark(_ input: Span<UInt8>, _ offset: inout Int) {
    while markBytesSeen < 3, offset < input.count {
      guard input[offset] == Self.mark(markBytesSeen) else {
        for index in 0..<markBytesSeen { carry.append(Self.mark(index)) }
        carriedLength = Int(markBytesSeen)
        if markBytesSeen > 0 { position = .inLine }
        markBytesSeen = 3
        return
      }
      markBytesSeen += 1
      offset += 1
    }
  }

  private static func mark(_ index: UInt8) -> UInt8 {
    index == 0 ? 0xEF : index == 1 ? 0xBB : 0xBF
  }
}

extension Event {
  /// The fields of a block of which only the beginning is known.
  static func readPrefix(_ bytes: Span<UInt8>) -> Event {
    var event = Event(range: 0..<bytes.count, blankLine: bytes.count)
    var position = 0
    while position < bytes.count {
      let lineEnd = bytes.firstIndex(ofEither: 0x0A, or: 0x0D, from: position)
      if lineEnd > position { event.note(bytes, line: position..<lineEnd) }
      position = lineEnd + 1
    }
    return event
  }
}
