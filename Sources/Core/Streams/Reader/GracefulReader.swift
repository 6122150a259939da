package import Bytes
package import SSE

/// The new closing: whole events only, numbered, then `stream_end` with the outcome and the counts.
package final class GracefulReader: Reader {
  private let stream: StreamID
  private var idLine: EventIDLine
  /// Whether events without an id of the backend's own get the gateway's.
  private var numbersEvents: Bool
  private var retryMilliseconds: Int?
  /// The number of the last event that got our id, 0 when none did.
  private var lastNumber: UInt64 = 0
  /// The last id that the backend itself gave.
  private var backendID = ByteBuffer()
  private let extras: GracefulExtras
  private let stamp: PayloadStamp?
  /// The backend's events that were left out because the gateway has said the same.
  private var dropped: (events: UInt64, bytes: UInt64) = (0, 0)

  /// - Parameters:
  ///   - numbersEvents: whether events without an id of the backend's own get `<stream>.<number>`.
  ///   - retryMilliseconds: the reconnection time told inside the first event, if any.
  package init(
    stream: StreamID, numbersEvents: Bool, retryMilliseconds: Int?, extras: GracefulExtras = GracefulExtras()
  ) {
    self.stream = stream
    idLine = EventIDLine(stream: stream)
    self.numbersEvents = numbersEvents
    self.retryMilliseconds = retryMilliseconds
    self.extras = extras
    lastNumber = extras.resumedAfter
    stamp = extras.stamps ? PayloadStamp(stream: stream) : nil
    backendID.append(extras.resumedAfterID)
    if extras.yieldsToBackendIDs, !backendID.isEmpty { self.numbersEvents = false }
  }

  package var mode: Mode { .graceful }

  package func open(into out: inout ByteBuffer) {
    EventWriter.opening(to: &out)
    if extras.resumedAfter == 0, extras.resumedAfterID.isEmpty { extras.announcement?.write(to: &out) }
  }

  package func deliver(
    _ event: Event, _ bytes: Span<UInt8>, mark: EventMark, number: UInt64, into out: inout ByteBuffer
  ) {
    if extras.announcement != nil, PromptReady.isSaid(by: event, in: bytes) {
      dropped.events += 1
      dropped.bytes += UInt64(event.length)
      return
    }
    // Some clients dispatch on every blank line once they have seen an id, so a comment goes without its own.
    if event.isComment { return out.append(bytes.extracting(event.range.lowerBound..<event.blankLine)) }
    if event.hasID {
      // Clients take the id of a block without data too.
      backendID.removeAll()
      backendID.append(bytes.extracting(event.id))
      lastNumber = 0
      if extras.yieldsToBackendIDs { numbersEvents = false }
    }
    guard event.isDispatched else { return out.append(bytes.extracting(event.range)) }
    if numbersEvents, !event.hasID {
      idLine.write(number, to: &out)
      lastNumber = number
    }
    if let milliseconds = retryMilliseconds.take() { EventWriter.retryLine(milliseconds: milliseconds, to: &out) }
    if let stamp {
      stamp.write(event, bytes, index: number, to: &out)
    } else {
      out.append(bytes.extracting(event.range))
    }
  }

  package var takesFramed: Bool {
    numbersEvents && stamp == nil && extras.announcement == nil && retryMilliseconds == nil
  }

  package func tookFramed(upTo number: UInt64) { lastNumber = number }

  package func finish(_ ending: Ending, tail: some StreamTail, into out: inout ByteBuffer) -> BodyEnd {
    if ending.upstreamIsComplete { _ = tail.completePartial(for: self, into: &out) }
    if ending.recall == .hard { return ending.framing }
    var end = ending.streamEnd
    end.isRecalled = ending.recall == .announced
    end.events = tail.events - min(tail.events, dropped.events)
    end.bytes = tail.eventBytes - min(tail.eventBytes, dropped.bytes)
    end.hasPartialEvent = !ending.upstreamIsComplete && tail.hasPartialEvent
    // Nobody has told the client of an error that the backend wrote into the stream as bare JSON, which is no event, nor of
    // a backend that gave no stream.
    let isUntold = end.outcome == .upstreamError && (tail.hasBareError || tail.events == 0)
    if end.outcome.isToldAsError || isUntold { end.writeError(to: &out) }
    var lastID = ByteBuffer()
    if lastNumber > 0 {
      EventID(stream: stream, sequence: lastNumber).write(to: &lastID)
    } else {
      lastID.append(backendID)
    }
    end.write(lastEventID: lastID.span, to: &out)
    return .complete
  }
}

/// What a graceful reader adds beyond ids and the end.
package struct GracefulExtras {
  /// Said as soon as the stream opens; the backend's own is left out then.
  package var announcement: PromptReady?
  /// Whether JSON payloads get `streamId` and `index`.
  package var stamps = false
  /// The number of the last event that the client has from before; 0 for a client that has none.
  package var resumedAfter: UInt64 = 0
  /// The id of that event, if it is the backend's own.
  package var resumedAfterID: [UInt8] = []
  /// Whether nothing is numbered any more once the backend has given an id: where no log is kept, only the backend can
  /// go on from one, so the client's last id must stay the backend's.
  package var yieldsToBackendIDs = false

  package init() {}
}
