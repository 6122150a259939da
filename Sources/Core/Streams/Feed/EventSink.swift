package import Bytes
package import SSE

/// Takes a run's events as they are parsed.
package protocol EventSink: AnyObject {
  /// Whether the body's pieces are sent as they are and `deliver` writes nothing.
  var isVerbatim: Bool { get }

  /// Takes one event of the run; `number` is its place among those with data, from 1.
  func deliver(_ event: Event, _ bytes: Span<UInt8>, mark: EventMark, number: UInt64, into out: inout ByteBuffer)

  /// Whether it wants to hear of what stands between blocks too (`deliverFiller`).
  var keepsFiller: Bool { get }

  /// Takes bytes that belong to no block: a byte order mark, blank lines behind the one that ended a block, and the LF of
  /// a CRLF that comes in the piece after its CR.
  func deliverFiller(_ bytes: Span<UInt8>, after number: UInt64, into out: inout ByteBuffer)

  /// An event has outgrown the limit: `kept` and then `rest` are its bytes so far.
  ///
  /// - Returns: false when the stream must end.
  func survivesLargeEvent(_ kept: Span<UInt8>, _ rest: Span<UInt8>, into out: inout ByteBuffer) -> Bool
}

extension EventSink {
  package var isVerbatim: Bool { false }
  package var keepsFiller: Bool { false }
  package func deliverFiller(_ bytes: Span<UInt8>, after number: UInt64, into out: inout ByteBuffer) {}
  package func survivesLargeEvent(_ kept: Span<UInt8>, _ rest: Span<UInt8>, into out: inout ByteBuffer) -> Bool {
    false
  }
}
