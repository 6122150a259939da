package import Bytes
package import SSE

/// The reader that a run has before all others: what the backend sends goes into the log.
package final class LogFeed: Reader {
  private let log: any EventLog
  /// The same, if it is one that can be called without a detour.
  private let memory: MemoryLog?
  /// The limit at which the log has stopped taking entries.
  package private(set) var breach: LogLimit?

  package init(log: any EventLog) {
    self.log = log
    memory = log as? MemoryLog
  }

  package var mode: Mode { .graceful }
  package var isVerbatim: Bool { false }
  package var keepsFiller: Bool { true }

  package func open(into out: inout ByteBuffer) {}

  package func deliver(
    _ event: Event, _ bytes: Span<UInt8>, mark: EventMark, number: UInt64, into out: inout ByteBuffer
  ) {
    let head = EntryHead(number: number, kind: event.isDispatched ? .event : .other, mark: mark)
    _ = append(bytes.extracting(event.range), head)
  }

  package func deliverFiller(_ bytes: Span<UInt8>, after number: UInt64, into out: inout ByteBuffer) {
    _ = append(bytes, EntryHead(number: number, kind: .filler))
  }

  /// Whether the log has kept it.
  fileprivate func append(_ block: Span<UInt8>, _ head: EntryHead) -> Bool {
    switch memory?.append(block, head) ?? log.append(block, head) {
    case .kept: return true
    case .full(let limit): breach = limit
    case .ended: break
    }
    return false
  }

  package func survivesLargeEvent(_ kept: Span<UInt8>, _ rest: Span<UInt8>, into out: inout ByteBuffer) -> Bool {
    false
  }

  package func finish(_ ending: Ending, run: some RunTail, into out: inout ByteBuffer) -> BodyEnd { ending.framing }

  /// Keeps what the end of the backend's body left of an event.
  ///
  /// - Returns: the outcome of that end.
  package func close(_ run: Run, _ end: UpstreamEnd) -> Outcome {
    var bytes = ByteBuffer()
    run.writePartialEvent(to: &bytes)
    // It sees a terminal that the backend left without its blank line, which has a number then.
    let outcome = run.outcome(of: end)
    guard !bytes.isEmpty else { return outcome }
    let head: EntryHead
    if end != .clean {
      head = EntryHead(number: run.events, kind: .partial)
    } else if let mark = run.finalEventMark {
      head = EntryHead(number: run.events, kind: .unterminated, mark: mark)
    } else {
      // Comments, or an id alone: no client notices.
      head = EntryHead(number: run.events, kind: .filler, mark: run.hasBareError ? .error : [])
    }
    _ = append(bytes.span, head)
    return outcome
  }
}

/// The feed, and behind it one client that has everything so far: it gets each event in the moment in which the log has
/// kept it.
package final class LiveFeed: Reader {
  // What every event passes is constant, so that none of it is retained for the event.
  private let feed: LogFeed
  package let delivery: LogDelivery
  private var tally = StreamTally()

  package init(_ feed: LogFeed, to delivery: LogDelivery) {
    self.feed = feed
    self.delivery = delivery
  }

  package var mode: Mode { .graceful }
  package var isVerbatim: Bool { false }
  package var keepsFiller: Bool { true }

  package func open(into out: inout ByteBuffer) {}

  package func deliver(
    _ event: Event, _ bytes: Span<UInt8>, mark: EventMark, number: UInt64, into out: inout ByteBuffer
  ) {
    let head = EntryHead(number: number, kind: event.isDispatched ? .event : .other, mark: mark)
    guard feed.append(bytes.extracting(event.range), head) else { return }
    delivery.deliver(event, bytes, head, into: &out)
    tally.count(head, length: event.length)
  }

  package func deliverFiller(_ bytes: Span<UInt8>, after number: UInt64, into out: inout ByteBuffer) {
    guard feed.append(bytes, EntryHead(number: number, kind: .filler)) else { return }
    delivery.deliverFiller(bytes, into: &out)
  }

  package func survivesLargeEvent(_ kept: Span<UInt8>, _ rest: Span<UInt8>, into out: inout ByteBuffer) -> Bool {
    false
  }

  package func finish(_ ending: Ending, run: some RunTail, into out: inout ByteBuffer) -> BodyEnd { ending.framing }

  /// What the client got since this was last asked.
  package func takeTally() -> StreamTally {
    defer { tally = StreamTally() }
    return tally
  }
}

/// What one client got of a run.
package struct StreamTally {
  package private(set) var events: UInt64 = 0
  package private(set) var bytes: UInt64 = 0
  package private(set) var marks: EventMark = []
  package private(set) var eventsAfterCompletion: UInt64 = 0

  package init() {}

  /// - Parameter length: bytes of the block as the backend sent it.
  package mutating func count(_ head: EntryHead, length: Int) {
    bytes += UInt64(length)
    if head.kind.isEvent {
      events += 1
      if marks.contains(.completion) { eventsAfterCompletion += 1 }
    }
    marks.formUnion(head.mark)
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

/// One client's way through a log: entries become what its mode makes of them.
package final class LogDelivery {
  private let reader: any Reader
  private let isRaw: Bool
  /// What `Reader.finish` needs when the log has been read to its end.
  package private(set) var tail = LoggedTail()

  package init(to reader: any Reader) {
    self.reader = reader
    isRaw = reader.mode == .legacy
  }

  package func deliver(_ block: Span<UInt8>, _ head: EntryHead, into out: inout ByteBuffer) {
    if isRaw { return out.append(block) }
    if !head.kind.isEvent { tail.note(head) }
    switch head.kind {
    case .event, .other:
      reader.deliver(Event(reading: block), block, mark: head.mark, number: head.number, into: &out)
    case .unterminated, .partial: tail.take(block, head)
    case .filler: break
    }
  }

  /// The same for an event that has just been read and kept.
  package func deliver(_ event: Event, _ bytes: Span<UInt8>, _ head: EntryHead, into out: inout ByteBuffer) {
    if isRaw { return out.append(bytes.extracting(event.range)) }
    if !head.kind.isEvent { tail.note(head) }
    reader.deliver(event, bytes, mark: head.mark, number: head.number, into: &out)
  }

  package func deliverFiller(_ bytes: Span<UInt8>, into out: inout ByteBuffer) {
    if isRaw { out.append(bytes) }
  }

  /// Ends the response of a run whose log ends with `end`, which the reader has had all of, or of a reader that leaves.
  package func finish(_ ending: Ending, counts: EndRecord, into out: inout ByteBuffer) -> BodyEnd {
    tail.events = counts.events
    tail.eventBytes = counts.bytes
    return reader.finish(ending, run: tail, into: &out)
  }
}
