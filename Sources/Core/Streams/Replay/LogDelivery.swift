package import Bytes
import SSE

/// One client's way through a log: entries become what its mode makes of them.
package struct LogDelivery {
  private let reader: any Reader
  private let isRaw: Bool
  /// What `Reader.finish` needs when the log has been read to its end.
  package private(set) var tail = LoggedTail()
  private var tally = StreamTally()
  private var lineEnd = LineEnd()

  package init(to reader: any Reader) {
    self.reader = reader
    isRaw = reader.mode == .legacy
  }

  /// What the client got since this was last asked.
  package mutating func takeTally() -> StreamTally {
    defer { tally = StreamTally() }
    return tally
  }

  package mutating func deliver(_ block: Span<UInt8>, _ metadata: EntryMetadata, into out: inout ByteBuffer) {
    tally.count(metadata, length: block.count)
    if metadata.kind == .filler { return deliverFiller(block, metadata, into: &out) }
    if isRaw {
      out.append(block)
      return lineEnd.blockEnded(inCR: block.endsInCR, isSent: true, out: out)
    }
    if !metadata.kind.isEvent { tail.note(metadata) }
    switch metadata.kind {
    case .event, .other:
      let event = Event(reading: block)
      reader.deliver(event, block, mark: metadata.mark, number: metadata.number, into: &out)
      lineEnd.blockEnded(inCR: block.endsInCR, isSent: reader.keepsFiller || !event.isComment, out: out)
    case .unterminated, .partial: tail.take(block, metadata)
    case .filler: break
    }
  }

  /// What stands between blocks: for clients that get the backend's bytes. The others get the LF of a CRLF, whose CR
  /// ended the last block.
  private mutating func deliverFiller(_ bytes: Span<UInt8>, _ metadata: EntryMetadata, into out: inout ByteBuffer) {
    if !isRaw { tail.note(metadata) }
    let keepsFiller = isRaw || reader.keepsFiller
    let wasCompleted = lineEnd.isCompleted
    let isContinued = !bytes.isEmpty && bytes[0] == 0x0A
    if isContinued, lineEnd.takesLineFeed { takeLineFeed(isSent: !keepsFiller, into: &out) }
    if keepsFiller {
      passFiller(bytes.extracting(droppingFirst: isContinued && wasCompleted ? 1 : 0), metadata, into: &out)
    }
    lineEnd.fillerEnded(inCR: bytes.endsInCR, isSent: keepsFiller, out: out)
  }

  private mutating func takeLineFeed(isSent: Bool, into out: inout ByteBuffer) {
    if !lineEnd.isOfFiller { tally.countLineFeed() }
    if isSent { lineEnd.lineFeedCame(into: &out) }
  }

  private func passFiller(_ bytes: Span<UInt8>, _ metadata: EntryMetadata, into out: inout ByteBuffer) {
    if isRaw {
      out.append(bytes)
    } else if reader.keepsFiller, !bytes.isEmpty, bytes[0] == 0x0A || bytes[0] == 0x0D {
      // Not what an end left of a comment: it would swallow the first line of what is held back.
      reader.deliverFiller(bytes, after: metadata.number, into: &out)
    }
  }

  /// Ends the line that a comment is put behind.
  package mutating func completeLine(into out: inout ByteBuffer) { lineEnd.complete(into: &out) }

  /// Whether events go to the client as the log has framed them: see `Reader.takesFramed`.
  var takesFramed: Bool { reader.takesFramed }

  /// Takes note of such events, which are on their way; `number` is the last one's.
  mutating func tookFramed(_ events: StreamTally, upTo number: UInt64, endsInCR: Bool) {
    tally.add(events)
    lineEnd.blocksWereSent(endsInCR: endsInCR)
    reader.tookFramed(upTo: number)
  }

  /// Ends the response of a run whose log ends with `end`, which the reader has had all of, or of a reader that leaves.
  package mutating func finish(_ ending: Ending, counts: EndRecord, into out: inout ByteBuffer) -> BodyEnd {
    tail.events = counts.events
    tail.eventBytes = counts.bytes
    return reader.finish(ending, tail: tail, into: &out)
  }
}

/// What one client got of a run.
package struct StreamTally {
  package private(set) var events: UInt64 = 0
  package private(set) var bytes: UInt64 = 0
  package private(set) var marks: EventMark = []
  package private(set) var eventsAfterCompletion: UInt64 = 0

  package init() {}

  /// Events without marks.
  init(events: UInt64, bytes: UInt64) {
    self.events = events
    self.bytes = bytes
  }

  /// - Parameter length: bytes of the block as the backend sent it.
  mutating func count(_ metadata: EntryMetadata, length: Int) {
    if metadata.kind.isEvent { return countEvent(metadata.mark, length: length) }
    // What is no whole block has no bytes that count.
    if metadata.kind == .other { bytes += UInt64(length) }
    marks.formUnion(metadata.mark)
  }

  mutating func countEvent(_ mark: EventMark, length: Int) {
    bytes += UInt64(length)
    events += 1
    if marks.contains(.completion) { eventsAfterCompletion += 1 }
    marks.formUnion(mark)
  }

  /// Counts the LF of a CRLF whose CR was counted with its block.
  mutating func countLineFeed() { bytes += 1 }

  /// Adds what came after it.
  package mutating func add(_ later: StreamTally) {
    eventsAfterCompletion += marks.contains(.completion) ? later.events : later.eventsAfterCompletion
    events += later.events
    bytes += later.bytes
    marks.formUnion(later.marks)
  }

  package var hasTerminal: Bool { marks.contains(.terminal) }
}
