package import Bytes
package import SSE

// What a backend sends goes into the log before any reader sees it.
extension MemoryLog: EventSink {
  package var keepsFiller: Bool { true }

  package func deliver(
    _ event: Event, _ bytes: Span<UInt8>, mark: EventMark, number: UInt64, into out: inout ByteBuffer
  ) {
    let metadata = EntryMetadata(number: number, kind: event.isDispatched ? .event : .other, mark: mark)
    append(bytes.extracting(event.range), metadata, hasID: event.hasID)
  }

  package func deliverFiller(_ bytes: Span<UInt8>, after number: UInt64, into out: inout ByteBuffer) {
    append(bytes, EntryMetadata(number: number, kind: .filler), hasID: false)
  }

  /// Keeps the events of the next piece of a backend's body. Here, where the compiler knows both sides.
  package func take(_ bytes: Span<UInt8>, of feed: EventFeed, into out: inout ByteBuffer) -> Delivery {
    feed.receive(bytes, for: self, into: &out)
  }

  /// Keeps what the end of the backend's body left of an event.
  ///
  /// - Returns: the outcome of that end.
  package func takeRest(of feed: EventFeed, _ end: UpstreamEnd) -> Outcome {
    var bytes = ByteBuffer()
    feed.writePartialEvent(to: &bytes)
    // It sees a terminal that the backend left without its blank line, which has a number then.
    let outcome = feed.outcome(of: end)
    guard !bytes.isEmpty else { return outcome }
    let metadata: EntryMetadata
    if end != .clean {
      metadata = EntryMetadata(number: feed.events, kind: .partial)
    } else if let mark = feed.finalEventMark {
      metadata = EntryMetadata(number: feed.events, kind: .unterminated, mark: mark)
    } else {
      // Comments, or an id alone: no client notices.
      metadata = EntryMetadata(number: feed.events, kind: .filler, mark: feed.hasBareError ? .error : [])
    }
    append(bytes.span, metadata, hasID: false)
    return outcome
  }
}
