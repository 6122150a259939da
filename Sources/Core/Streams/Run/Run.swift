package import Bytes
package import SSE

/// One response that a backend produces, as far as its bytes tell: which events came, whether its terminal was among
/// them, what a client that hangs up at the completion event would have missed.
///
/// The same in every mode; in legacy it is the shadow, which counts and changes nothing.
package final class Run {
  package let id: StreamID
  private let classifier: EventClassifier
  private var parser: EventParser

  /// Events with data, so far.
  package private(set) var events: UInt64 = 0
  /// The bytes of all blocks, so far.
  package private(set) var eventBytes: UInt64 = 0
  private var sum = MarkSum()
  /// Whether an event bore content in the dialect's eyes.
  package private(set) var hasContent = false
  /// Whether the JSON text of an error stood in the body, bare, where no client of event streams sees it.
  package private(set) var hasBareError = false
  /// Events with data behind the first completion event: what the old closing loses.
  package private(set) var eventsAfterCompletion: UInt64 = 0
  /// The event that a clean end left without its blank line; noted, and not delivered yet.
  private var finalEvent: (event: Event, mark: EventMark)?

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
  package var marks: EventMark { sum.marks }
  /// Whether the dialect's terminal came.
  package var hasTerminal: Bool { sum.hasTerminal }

  /// What the event means that a clean end left without its blank line; known once `outcome(of:)` was asked.
  package var finalEventMark: EventMark? {
    guard let finalEvent, finalEvent.event.isDispatched else { return nil }
    return finalEvent.mark
  }

  /// Takes in the next piece of the body and hands `reader` what it delivers.
  package func receive(_ bytes: Span<UInt8>, for reader: some EventSink, into out: inout ByteBuffer) -> Delivery {
    let passesThrough = reader.isVerbatim
    let keepsFiller = reader.keepsFiller
    var offset = 0
    // Bytes held of the block that is arriving; before the first block nothing counts as filler.
    var held = keepsFiller && parser.hasBegun ? parser.partialLength : nil
    while true {
      let start = offset
      let step = parser.next(in: bytes, at: &offset)
      if let held { deliverFiller(bytes, start..<offset, step, held: held, to: reader, into: &out) }
      if keepsFiller { held = 0 }
      switch step {
      case .needsMore:
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
    case .tooLarge: return
    }
    let start = taken.lowerBound
    if first > start { reader.deliverFiller(bytes.extracting(start..<first), after: events, into: &out) }
  }

  /// Completes an event that a backend with a clean end left without its blank line.
  ///
  /// - Returns: whether there was one.
  package func completePartial(for reader: some Reader, into out: inout ByteBuffer) -> Bool {
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
    return sum.outcome
  }

  private func note(_ event: Event, _ bytes: Span<UInt8>) -> EventMark {
    eventBytes += UInt64(event.length)
    guard event.isDispatched else { return noteUndispatched(event, bytes) }
    events += 1
    if marks.contains(.completion) { eventsAfterCompletion += 1 }
    let mark = classifier.mark(event, in: bytes)
    if !hasContent, !mark.contains(.error) { hasContent = classifier.bearsContent(event, in: bytes) }
    sum.add(mark)
    return mark
  }

  private func noteUndispatched(_ event: Event, _ bytes: Span<UInt8>) -> EventMark {
    guard classifier.isBareError(event, in: bytes) else { return [] }
    hasBareError = true
    sum.add(.error)
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
