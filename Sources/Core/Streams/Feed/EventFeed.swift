package import Bytes
package import SSE

/// One response that a backend produces, as far as its bytes tell: which events came, whether its terminal was among
/// them, what a client that hangs up at the completion event would have missed.
///
/// The same in every mode; in legacy it is the shadow, which counts and changes nothing.
package final class EventFeed: StreamTail {
  package let id: StreamID
  private let classifier: EventClassifier
  private var parser: EventParser

  /// Events with data, so far.
  package private(set) var events: UInt64 = 0
  /// The bytes of all blocks, so far.
  package private(set) var eventBytes: UInt64 = 0
  private var verdict = StreamVerdict()
  /// Whether an event bore content in the dialect's eyes.
  package private(set) var hasContent = false
  /// Whether the JSON text of an error stood in the body, bare, where no client of event streams sees it.
  package private(set) var hasBareError = false
  /// The name of the last error that the backend has told of and named; empty when there is none.
  package private(set) var errorName = ""
  /// Events with data behind the first completion event: what the old closing loses.
  package private(set) var eventsAfterCompletion: UInt64 = 0
  /// The event that a clean end left without its blank line; noted, and not delivered yet.
  private var finalEvent: (event: Event, mark: EventMark)?
  /// How what a reader was sent last ends; of use only while the parser awaits an LF.
  private var lineEnd = LineEnd()

  /// - Parameter eventLimit: bytes of one event that are kept while it arrives.
  package init(id: StreamID, classifier: EventClassifier, eventLimit: Int) {
    self.id = id
    self.classifier = classifier
    parser = EventParser(limit: eventLimit)
  }

  /// Whether a comment line may be put in here.
  package var isBetweenEvents: Bool { parser.isBetweenEvents }
  /// Whether the backend is in the middle of an event, or ended there.
  package var hasPartialEvent: Bool { finalEvent != nil || parser.isInsideEvent }
  /// All marks seen so far.
  package var marks: EventMark { verdict.marks }
  /// Whether the dialect's terminal came.
  package var hasTerminal: Bool { verdict.hasTerminal }

  /// What the event means that a clean end left without its blank line; known once `outcome(of:)` was asked.
  package var finalEventMark: EventMark? {
    guard let finalEvent, finalEvent.event.isDispatched else { return nil }
    return finalEvent.mark
  }

  /// Takes in the next piece of the body and hands `reader` what it delivers.
  package func receive(_ bytes: Span<UInt8>, for reader: some EventSink, into out: inout ByteBuffer) -> Delivery {
    let passesThrough = reader.isVerbatim
    let keepsFiller = reader.keepsFiller && !passesThrough
    var offset = 0
    // Where the bytes begin that may be filler. The first ones that are need more care.
    var fillerStart = 0
    // Bytes held of the block that is arriving.
    var held = keepsFiller ? parser.partialLength : 0
    let isBeginning = keepsFiller && !parser.hasBegun
    if parser.openLine != .none { fillerStart = takeLineFeed(bytes, for: reader, into: &out) }
    while true {
      let step = parser.next(in: bytes, at: &offset)
      if keepsFiller {
        if isBeginning, fillerStart == 0 { takeByteOrderMark(&held, &fillerStart, for: reader, into: &out) }
        deliverFiller(bytes, fillerStart..<offset, step, held: held, to: reader, into: &out)
        (held, fillerStart) = (0, offset)
      }
      switch step {
      case .needsMore:
        if parser.openLine != .none, !bytes.isEmpty { noteOpenLine(keepsFiller: keepsFiller, out) }
        return passesThrough ? .verbatim : .buffered
      case .event(let event) where event.isCarried:
        deliverCarried(event, to: reader, into: &out)
      case .event(let event):
        let mark = note(event, bytes)
        reader.deliver(event, bytes, mark: mark, number: events, into: &out)
      case .tooLarge(let kept, let start):
        let rest = bytes.extracting(droppingFirst: start)
        let survives = parser.withCarried { reader.survivesLargeEvent($0.extracting(first: kept), rest, into: &out) }
        if !survives { return .failed(.eventTooLarge) }
      }
    }
  }

  private func noteOpenLine(keepsFiller: Bool, _ out: borrowing ByteBuffer) {
    switch parser.openLine {
    case .none: break
    case .block: lineEnd.blockEnded(inCR: true, isSent: true, out: out)
    case .comments, .filler: lineEnd.blockEnded(inCR: true, isSent: keepsFiller, out: out)
    }
  }

  /// The last line ended in a CR with which its piece ended. An LF that comes next is that line's.
  ///
  /// - Returns: where the bytes begin that have still to be delivered.
  private func takeLineFeed(_ bytes: Span<UInt8>, for reader: some EventSink, into out: inout ByteBuffer) -> Int {
    guard !bytes.isEmpty else { return 0 }
    let wasCompleted = lineEnd.isCompleted
    guard bytes[0] == 0x0A else {
      lineEnd.close()
      return 0
    }
    if parser.openLine != .filler { eventBytes += 1 }
    if reader.isVerbatim || reader.keepsFiller { lineEnd.close() } else { lineEnd.lineFeedCame(into: &out) }
    return wasCompleted ? 1 : 0
  }

  /// Delivers the byte order mark with which the stream has begun, whole.
  private func takeByteOrderMark(
    _ held: inout Int, _ start: inout Int, for reader: some EventSink, into out: inout ByteBuffer
  ) {
    guard parser.hasByteOrderMark else { return }
    let mark: [UInt8] = [0xEF, 0xBB, 0xBF]
    reader.deliverFiller(mark.span, after: 0, into: &out)
    // The parser held some of its bytes as if they were a block's.
    start = mark.count - held
    held = 0
  }

  @inline(__always)
  private func deliverFiller(
    _ bytes: Span<UInt8>, _ taken: Range<Int>, _ step: EventParser.Step, held: Int, to reader: some EventSink,
    into out: inout ByteBuffer
  ) {
    let first: Int
    switch step {
    case .event(let event) where event.isCarried: return
    case .event(let event): first = event.range.lowerBound
    case .needsMore: first = taken.upperBound - (parser.partialLength - held)
    case .tooLarge(_, let blockStart): first = blockStart
    }
    let start = taken.lowerBound
    if first > start { reader.deliverFiller(bytes.extracting(start..<first), after: events, into: &out) }
  }

  /// Ends the line that a comment is put behind. Not for readers that get the body as it is.
  package func completeLine(into out: inout ByteBuffer) {
    if parser.openLine != .none { lineEnd.complete(into: &out) }
  }

  /// Completes an event that a backend with a clean end left without its blank line.
  ///
  /// - Returns: whether there was one.
  package func completePartial(for reader: some EventSink, into out: inout ByteBuffer) -> Bool {
    noteFinalEvent()
    guard let (event, mark) = finalEvent.take() else { return false }
    parser.withCarried { reader.deliver(event, $0, mark: mark, number: events, into: &out) }
    return true
  }

  private func noteFinalEvent() {
    guard finalEvent == nil, let event = parser.completePartial() else { return }
    finalEvent = (event, parser.withCarried { note(event, $0) })
  }

  private func deliverCarried(_ event: Event, to reader: some EventSink, into out: inout ByteBuffer) {
    parser.withCarried { bytes in
      let mark = note(event, bytes)
      reader.deliver(event, bytes, mark: mark, number: events, into: &out)
    }
  }

  /// Appends the bytes of an event that is cut, as far as they were kept.
  package func writePartialEvent(to out: inout ByteBuffer) {
    if parser.partialLength > 0 { parser.withCarried { out.append($0) } }
  }

  /// The outcome of a body that ended in `end`. An event without its blank line counts when the end is clean.
  package func outcome(of end: UpstreamEnd) -> Outcome {
    guard end == .clean else { return .upstreamTruncated }
    noteFinalEvent()
    return verdict.outcome
  }

  private func note(_ event: Event, _ bytes: Span<UInt8>) -> EventMark {
    eventBytes += UInt64(event.length)
    guard event.isDispatched else { return noteUndispatched(event, bytes) }
    events += 1
    if marks.contains(.completion) { eventsAfterCompletion += 1 }
    let mark = classifier.mark(event, in: bytes)
    if !hasContent, !mark.contains(.error) { hasContent = classifier.bearsContent(event, in: bytes) }
    if mark.contains(.error) { noteError(event, bytes) }
    verdict.add(mark)
    return mark
  }

  private func noteError(_ event: Event, _ bytes: Span<UInt8>) {
    let name = classifier.errorName(of: event, in: bytes)
    if !name.isEmpty { errorName = name }
  }

  private func noteUndispatched(_ event: Event, _ bytes: Span<UInt8>) -> EventMark {
    guard classifier.isBareError(event, in: bytes) else { return [] }
    hasBareError = true
    noteError(event, bytes)
    verdict.add(.error)
    return .error
  }
}

/// How a piece of the backend's body goes to the client.
package enum Delivery: Equatable {
  /// As it is.
  case verbatim
  /// What was written into the buffer instead, which may be nothing.
  case buffered
  /// As far as it was written into the buffer; the stream ends there.
  case failed(Outcome)
}
