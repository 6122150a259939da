import Bytes

/// Splits the bytes of an event stream into its blocks, however they are cut into pieces.
///
/// One pass; a block that came in one piece is reported as positions in that piece, only one that was cut is put
/// together in memory of the parser's own, which is given back as soon as it was delivered. Line endings are CR,
/// LF and CRLF, mixed as they like; a byte order mark at the very start belongs to no block (WHATWG HTML, 9.2.5).
/// Nor do blank lines between blocks, or the LF of a CRLF that comes in the piece after the one in which its CR
/// ended a block.
///
/// Nothing a backend sends is an error: broken fields are the client's business and pass through.
package struct EventParser: ~Copyable {
  /// What `next` found.
  package enum Step {
    case event(Event)
    /// All bytes are taken in.
    case needsMore
    /// A block has grown past the limit. The parser goes on: it forgets what lies beyond the limit, finds the block's
    /// end all the same and then reports it as an event, as far as it is known. Reported once for each such block:
    /// its bytes so far are the first `kept` ones of `carried` and those of the piece from `start` on.
    case tooLarge(kept: Int, start: Int)
  }

  /// The blank line whose CR is the last byte taken in.
  package enum OpenLine {
    case none
    /// It ended a block.
    case block
    /// It ended a block of comments alone.
    case comments
    /// It belongs to no block.
    case filler
  }

  /// What `carry` is.
  private enum Phase {
    /// Nothing. → arriving, ended
    case idle
    /// The beginning of a block. → ended, delivered
    case arriving
    /// A block that was told to be too large and has come to its end since. → delivered
    case ended
    /// A block that was reported, and is forgotten with the next call. → idle
    case delivered
  }

  /// Where in the carried block the next byte falls.
  private enum Position { case lineStart, lineStartAfterCR, inLine }

  /// The most bytes of one block that are kept.
  package let limit: Int
  private var carry = ByteBuffer()
  private var phase = Phase.idle
  private var position = Position.lineStart
  private var carriedLength = 0
  private var skipsLineFeed = false
  private var openedLine = OpenLine.none
  private var markBytesSeen: UInt8 = 0

  /// - Parameter limit: bytes, at least 16; see `Step.tooLarge`.
  package init(limit: Int) {
    self.limit = max(limit, 16)
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

  /// Whether the last byte taken in ended a block, or none came yet: here a comment line may be put in. Not behind a
  /// CR whose LF may be on its way: the comment would make that LF a line of its own.
  package var isBetweenEvents: Bool { partialLength == 0 && !skipsLineFeed }

  /// What the last byte taken in belongs to, if it is a CR that ended a blank line: its LF may come next.
  package var openLine: OpenLine { skipsLineFeed ? openedLine : .none }

  /// Whether what comes is past the place where a byte order mark may stand.
  package var hasBegun: Bool { markBytesSeen == 3 }
  /// Whether the stream began with a byte order mark.
  package private(set) var hasByteOrderMark = false

  /// Bytes of the block that is arriving, the forgotten ones included.
  package var partialLength: Int { phase == .delivered ? 0 : carriedLength }

  /// Whether the block that is arriving is more than comments.
  package var isInsideEvent: Bool { partialLength > 0 && !Event.readPrefix(carry.span).isComment }

  /// Bytes of memory held.
  package var allocated: Int { carry.allocated }

  /// Finds the next block at or after `offset` and moves `offset` behind what was taken in.
  package mutating func next(in input: Span<UInt8>, at offset: inout Int) -> Step {
    if markBytesSeen < 3 { skipByteOrderMark(input, &offset) }
    switch phase {
    case .idle: return nextWhole(input, &offset)
    case .arriving: return continueCarried(input, &offset)
    case .ended: return .event(deliverCarry())
    case .delivered:
      dropCarry()
      return nextWhole(input, &offset)
    }
  }

  /// Ends the block that is arriving with the line endings that it lacks, as if the backend had sent them.
  ///
  /// - Returns: the block, or `nil` when nothing is arriving or its end was forgotten (`tooLarge`).
  package mutating func completePartial() -> Event? {
    guard phase == .arriving, carriedLength <= limit else { return nil }
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
        let lineStart = offset
        offset = input.count
        return keep(input, from: start, lineStart: lineStart)
      }
      noteEnding(input, offset)
      if skipsLineFeed { openedLine = event.fields.isEmpty ? .filler : event.isComment ? .comments : .block }
      // A blank line with nothing before it is no block.
      if event.fields.isEmpty { continue }
      if event.range.count <= limit { return .event(event) }
      phase = .ended
      return store(input.extracting(event.range), start: start)
    }
    return .needsMore
  }

  /// The second half of a CRLF may come with the next piece.
  private mutating func noteEnding(_ input: Span<UInt8>, _ end: Int) {
    skipsLineFeed = end == input.count && input[end - 1] == 0x0D
  }

  /// Keeps the beginning of a block, with which the piece ends. Its last line starts at `lineStart`.
  private mutating func keep(_ input: Span<UInt8>, from start: Int, lineStart: Int) -> Step {
    if lineStart < input.count {
      position = .inLine
    } else {
      position = input[input.count - 1] == 0x0D ? .lineStartAfterCR : .lineStart
    }
    phase = .arriving
    return store(input.extracting(start..<input.count), start: start)
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
    phase = .ended
    let stored = store(input.extracting(start..<end), start: start)
    if case .tooLarge = stored { return stored }
    return .event(deliverCarry())
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
      let next = Event.lineStart(input, behind: lineEnd)
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
  private mutating func deliverCarry() -> Event {
    phase = .delivered
    var end = 0
    var event = Event.read(carry.span, from: 0, end: &end) ?? Event.readPrefix(carry.span)
    event.isCarried = true
    event.length = carriedLength
    if skipsLineFeed { openedLine = event.isComment ? .comments : .block }
    return event
  }

  private mutating func dropCarry() {
    carry.release()
    carriedLength = 0
    phase = .idle
    position = .lineStart
  }

  // MARK: - Byte order mark

  /// Skips U+FEFF (EF BB BF) at the start of the stream. Until it is whole it is carried like the beginning of a block,
  /// which it is if something else follows.
  private mutating func skipByteOrderMark(_ input: Span<UInt8>, _ offset: inout Int) {
    while markBytesSeen < 3, offset < input.count {
      guard input[offset] == Self.mark(markBytesSeen) else {
        markBytesSeen = 3
        return
      }
      phase = .arriving
      position = .inLine
      carry.append(input[offset])
      carriedLength += 1
      markBytesSeen += 1
      offset += 1
      if markBytesSeen == 3 {
        hasByteOrderMark = true
        dropCarry()
      }
    }
  }

  private static func mark(_ index: UInt8) -> UInt8 {
    index == 0 ? 0xEF : index == 1 ? 0xBB : 0xBF
  }
}
