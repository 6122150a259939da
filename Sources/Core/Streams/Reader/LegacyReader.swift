package import Bytes
package import SSE

/// The old behaviour byte for byte: the backend's bytes go through as they are, and a cut stays a cut.
package final class LegacyReader: Reader {
  package init() {}

  package var mode: Mode { .legacy }
  package var isVerbatim: Bool { true }

  package func open(into out: inout ByteBuffer) {}

  package func deliver(
    _ event: Event, _ bytes: Span<UInt8>, mark: EventMark, number: UInt64, into out: inout ByteBuffer
  ) {}

  package func survivesLargeEvent(_ kept: Span<UInt8>, _ rest: Span<UInt8>, into out: inout ByteBuffer) -> Bool {
    true
  }

  package func finish(_ ending: Ending, tail: some StreamTail, into out: inout ByteBuffer) -> BodyEnd {
    ending.framing
  }
}
