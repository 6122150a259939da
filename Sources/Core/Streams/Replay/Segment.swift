import Bytes
import SSE

/// A piece of memory with whole entries: their bytes from the front, one after the other, and a word for each from the
/// back (`EntryWord`).
///
/// Events without an id of their own lie there with the `id` line that a graceful reader gets, so that any number of them
/// is sent to it as they lie.
struct Segment: ~Copyable {
  /// Bytes that an entry needs beyond its own: its word, and those that may be written past what is appended.
  static let overhead = 16

  /// The place in the log of the first entry.
  let start: LogPosition
  /// The number of the last event before this segment.
  let precedingNumber: UInt64
  /// The number of the first event in it.
  private(set) var firstEvent: UInt64?
  /// The place behind the last entry.
  private(set) var end: LogPosition
  /// The place behind the last entry that is not a framed event without marks.
  private var plainFrom: LogPosition
  private var buffer: ByteBuffer
  private var count = 0
  /// Whether an entry may have an id of the backend's own.
  private var mayHaveIDs = false
  /// Bytes of memory held; 0 for one that takes nothing.
  private(set) var allocated: Int

  /// One that takes nothing.
  init(at start: LogPosition) {
    self.init(ByteBuffer(), at: start, following: 0)
  }

  /// - Parameters:
  ///   - memory: empty; what it holds is not exceeded.
  ///   - number: the last event's before it.
  init(_ memory: consuming ByteBuffer, at start: LogPosition, following number: UInt64) {
    self.start = start
    end = start
    plainFrom = start
    precedingNumber = number
    allocated = memory.allocated
    buffer = memory
  }

  /// Whether an entry of that number with `length` bytes has room here.
  @inline(__always)
  func takes(_ length: Int, number: UInt64) -> Bool {
    buffer.count &+ length &+ Self.overhead &+ count &* 8 <= allocated
      && number &- precedingNumber <= EntryWord.largestNumber
  }

  mutating func append(_ block: Span<UInt8>, _ metadata: EntryMetadata) {
    buffer.append(block)
    add(EntryWord(length: block.count, lineLength: 0, metadata, after: precedingNumber), metadata)
    plainFrom = end
    mayHaveIDs = true
  }

  /// Appends an event that gets its id from `line`.
  @inline(__always)
  mutating func append(_ block: Span<UInt8>, _ metadata: EntryMetadata, _ line: inout EventIDLine) {
    let lineLength = line.write(metadata.number, to: &buffer)
    buffer.append(block)
    add(
      EntryWord(length: lineLength &+ block.count, lineLength: lineLength, metadata, after: precedingNumber), metadata)
    if !metadata.mark.isEmpty { plainFrom = end }
  }

  @inline(__always)
  private mutating func add(_ word: EntryWord, _ metadata: EntryMetadata) {
    buffer.put(word: word.bits, fromEnd: count)
    count &+= 1
    end.advance(over: word.length, word.blockLength)
    if firstEvent == nil, metadata.kind.isEvent { firstEvent = metadata.number }
  }

  /// Gives back the memory between the entries and their words, unless it is less than half of all.
  ///
  /// - Returns: how many bytes that was.
  mutating func trim() -> Int {
    let size = buffer.count + 8 * count
    guard size < allocated / 2 else { return 0 }
    var exact = ByteBuffer()
    if size > 0 { exact.reserve(size) }
    exact.append(buffer)
    for index in 0..<count { exact.put(word: buffer.word(fromEnd: index), fromEnd: index) }
    buffer = exact
    defer { allocated = buffer.allocated }
    return allocated - buffer.allocated
  }

  /// Takes nothing any more, and has nothing.
  mutating func takeMemory() -> ByteBuffer {
    var memory = ByteBuffer()
    swap(&memory, &buffer)
    self = Segment(at: end)
    return memory
  }

  private func word(at entry: UInt64) -> EntryWord { EntryWord(bits: buffer.word(fromEnd: Int(entry &- start.entry))) }

  private func metadata(_ word: EntryWord) -> EntryMetadata {
    EntryMetadata(number: precedingNumber + word.number, kind: word.kind, mark: word.mark)
  }

  // MARK: - Reading

  /// Lends the entries from `position` up to `limit` and moves `position` behind the last one lent.
  ///
  /// - Returns: whether `body` wants more.
  func read(
    _ position: inout LogPosition, upTo limit: LogPosition, _ body: (Span<UInt8>, EntryMetadata) -> Bool
  ) -> Bool {
    let last = min(limit, end).entry
    return buffer.withSpan { bytes in
      while position.entry < last {
        let (word, block) = next(&position)
        if !body(bytes.extracting(block), metadata(word)) { return false }
      }
      return true
    }
  }

  /// Bytes from which on it is cheaper to send them from here than to copy them first.
  private static let leastLent = 4096

  /// As `read`, to a reader; events that it takes as they lie here go to it together.
  ///
  /// - Parameter room: bytes that the reader may still get.
  /// - Returns: whether there is some left.
  func deliver(
    _ position: inout LogPosition, upTo limit: LogPosition, to delivery: inout LogDelivery, _ room: inout Int,
    into out: inout ByteBuffer, _ send: (inout ByteBuffer, Span<UInt8>) -> Void
  ) -> Bool {
    let last = min(limit, end)
    while position < last, room > 0 {
      if delivery.takesFramed {
        let first = position
        let events = skipFramed(&position, upTo: last, atMost: room)
        if position > first {
          let bytes = place(first)..<place(position)
          room -= bytes.count
          let endsInCR = buffer.withSpan {
            if bytes.count < Self.leastLent {
              out.append($0.extracting(bytes))
            } else {
              send(&out, $0.extracting(bytes))
            }
            return $0[bytes.upperBound - 1] == 0x0D
          }
          let number = precedingNumber + word(at: position.entry - 1).number
          delivery.tookFramed(events, upTo: number, endsInCR: endsInCR)
          continue
        }
      }
      let (word, block) = next(&position)
      let before = out.count
      buffer.withSpan { delivery.deliver($0.extracting(block), metadata(word), into: &out) }
      room -= out.count - before
    }
    return room > 0
  }

  /// Moves `position` over the framed events there: over at most `size` bytes and the event that exceeds them.
  private func skipFramed(_ position: inout LogPosition, upTo last: LogPosition, atMost size: Int) -> StreamTally {
    if position >= plainFrom, last.offset &- position.offset <= UInt64(size) {
      let events = StreamTally(events: last.entry &- position.entry, bytes: last.blockOffset &- position.blockOffset)
      position = last
      return events
    }
    var events = StreamTally()
    let behind = position.offset + UInt64(size)
    while position < last, position.offset < behind {
      let word = word(at: position.entry)
      guard word.isFramed else { break }
      position.advance(over: word.length, word.blockLength)
      events.countEvent(word.mark, length: word.blockLength)
    }
    return events
  }

  /// Moves `position` over the entry there.
  ///
  /// - Returns: what is known of it, and where its block lies.
  private func next(_ position: inout LogPosition) -> (word: EntryWord, block: Range<Int>) {
    let word = word(at: position.entry)
    let end = place(position) + word.length
    position.advance(over: word.length, word.blockLength)
    return (word, end - word.blockLength..<end)
  }

  /// Where in the memory the bytes at `position` lie.
  private func place(_ position: LogPosition) -> Int { Int(position.offset &- start.offset) }

  /// Lends the entries from `position` up to `limit` as they lie here, at most `room`, and moves `position` behind them.
  ///
  /// - Returns: whether there is room for more.
  func lend(
    _ position: inout LogPosition, upTo limit: LogPosition, _ room: inout LogRoom,
    _ body: (LogPiece, Span<UInt8>, Span<UInt8>) -> Void
  ) -> Bool {
    let first = position
    let last = min(limit, end)
    if room.takes(from: first, to: last) {
      position = last
    } else {
      while position < last, room.takes(from: first, to: position) { _ = next(&position) }
    }
    room.fill(from: first, to: position)
    guard position > first else { return room.isLeft }
    let piece = piece(from: first, to: position)
    let entries = Int(first.entry - start.entry)..<Int(position.entry - start.entry)
    buffer.withSpan { bytes in
      buffer.withWords(fromEnd: entries) { words in
        body(piece, bytes.extracting(place(first)..<place(position)), words)
      }
    }
    return room.isLeft
  }

  private func piece(from first: LogPosition, to last: LogPosition) -> LogPiece {
    var others = 0
    var entry = last.entry
    while entry > first.entry, !word(at: entry - 1).kind.isEvent {
      others += 1
      entry -= 1
    }
    return LogPiece(
      precedingNumber: precedingNumber, lastNumber: precedingNumber + word(at: last.entry - 1).number, others: others,
      hasEvent: entry > first.entry)
  }

  /// The place behind the event `number`, or in front of the first event after it.
  func position(after number: UInt64) -> LogPosition {
    var position = start
    while position < end {
      let before = position
      let word = next(&position).word
      let found = precedingNumber + word.number
      if found > number { return before }
      if found == number, word.kind.isEvent { break }
    }
    return position
  }

  /// The place behind the last event with this `id` of its own; adds the number of entries that it reads to `steps`.
  func position(afterBackendID id: Span<UInt8>, _ steps: inout Int) -> LogPosition? {
    var found: LogPosition?
    if mayHaveIDs { steps += count }
    visitIDs { own, position in
      if own.equals(id) { found = position }
    }
    return found
  }

  /// Tells which ids of the backend's own are in it.
  func makeFilter() -> IDFilter {
    var hashes: [UInt64] = []
    visitIDs { own, _ in hashes.append(IDFilter.hash(own)) }
    return IDFilter(hashes)
  }

  private func visitIDs(_ body: (Span<UInt8>, LogPosition) -> Void) {
    guard mayHaveIDs else { return }
    var position = start
    while position < end {
      let (word, block) = next(&position)
      if word.isFramed || word.kind == .partial { continue }
      buffer.withSpan {
        let bytes = $0.extracting(block)
        let event = Event(reading: bytes)
        if event.hasID { body(bytes.extracting(event.id), position) }
      }
    }
  }
}

/// A segment that nothing is added to any more.
final class SealedSegment {
  fileprivate(set) var segment: Segment
  /// Which ids of the backend's own are in it; `nil` when there was no memory for that.
  var filter: IDFilter?
  /// Bytes of memory held.
  var held: Int { segment.allocated + (filter?.size ?? 0) }

  init(_ segment: consuming Segment) { self.segment = segment }

  /// Has nothing any more.
  func takeMemory() -> ByteBuffer { segment.takeMemory() }
}
