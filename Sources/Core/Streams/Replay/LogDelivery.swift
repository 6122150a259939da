package import Bytes
import SSE

/// One client's way through a log: entries become what its mode makes of them.
package struct LogDelivery {
  private let reader: any Reader
  private let isRaw: Bool
  /// What `Reader.finish` needs when the log has been read to its end.
  package private(set) var tail = LoggedTail()
  private var tally = StreamTally()

  package init(to reader: any Reader) {
    self.reader = reader
    isRaw = reader.mode == .legacy
  }

  /// What the client got since this was last asked.
  package mutating func takeTally() -> StreamTally {
    defer { tally = StreamTally() }
    return tally
  }

  package mutating func deliver(_ block: Span<UInt8>, _ head: EntryHead, into out: inout ByteBuffer) {
    tally.count(head, length: block.count)
    if isRaw { return out.append(block) }
    if !head.kind.isEvent { tail.note(head) }
    switch head.kind {
    case .event, .other:
      reader.deliver(Event(reading: block), block, mark: head.mark, number: head.number, into: &out)
    case .unterminated, .partial: tail.take(block, head)
    case .filler: break
    }
  }

  /// Whether events go to the client as the log has framed them: see `Reader.takesFramed`.
  var takesFramed: Bool { reader.takesFramed }

  /// Takes note of such events, which are on their way; `number` is the last one's.
  mutating func tookFramed(_ events: StreamTally, upTo number: UInt64) {
    tally.add(events)
    reader.tookFramed(upTo: number)
  }

  /// Ends the response of a run whose log ends with `end`, which the reader has had all of, or of a reader that leaves.
  package mutating func finish(_ ending: Ending, counts: EndRecord, into out: inout ByteBuffer) -> BodyEnd {
    tail.events = counts.events
    tail.eventBytes = counts.bytes
    return reader.finish(ending, run: tail, into: &out)
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
  mutating func count(_ head: EntryHead, length: Int) {
    if head.kind.isEvent { return countEvent(head.mark, length: length) }
    // What is no whole block has no bytes that count.
    if head.kind == .other { bytes += UInt64(length) }
    marks.formUnion(head.mark)
  }

  mutating func countEvent(_ mark: EventMark, length: Int) {
    bytes += UInt64(length)
    events += 1
    if marks.contains(.completion) { eventsAfterCompletion += 1 }
    marks.formUnion(mark)
  }

  /// Adds what came after it.
  package mutating func add(_ later: StreamTally) {
    eventsAfterCompletion += marks.contains(.completion) ? later.events : later.eventsAfterCompletion
    events += later.events
    bytes += later.bytes
    marks.formUnion(later.marks)
  }

  package var hasTerminal: Bool { marks.contains(.terminal) }
}
