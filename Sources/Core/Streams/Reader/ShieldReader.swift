package import Bytes
package import SSE

/// For clients that hang up at the first completion event: every event that ends the stream in their eyes is held
/// back until the backend has ended, so that what the backend sends behind it comes before it.
package final class ShieldReader: Reader {
  /// The most bytes held back.
  private let limit: Int
  private var held = ByteBuffer()
  private var state = State.holding
  private var isAtStart = true
  /// Whether the last event is held back: what stands between it and the next one is too.
  private var lastIsHeld = false

  private enum State {
    /// Events that end the stream in the client's eyes wait. → released, verbatim
    case holding
    /// More came than may be held back: every event is sent when it comes. → verbatim
    case released
    /// An event came that is too large to be put together: every piece is sent as it is.
    case verbatim
  }

  /// - Parameter limit: bytes held back at most; beyond it everything is sent in its original order from then on.
  package init(limit: Int) {
    self.limit = limit
  }

  package var mode: Mode { .shield }
  package var isVerbatim: Bool { state == .verbatim }
  package var keepsFiller: Bool { true }
  /// Bytes held back now.
  package var heldBytes: Int { held.count }

  package func open(into out: inout ByteBuffer) {}

  package func deliver(
    _ event: Event, _ bytes: Span<UInt8>, mark: EventMark, number: UInt64, into out: inout ByteBuffer
  ) {
    if state == .verbatim { return }
    let block = bytes.extracting(event.range)
    lastIsHeld = state == .holding && mark.contains(.terminal)
    guard lastIsHeld else { return send(block, into: &out) }
    hold(block, into: &out)
  }

  /// Blank lines stay behind the event that they followed. A byte order mark is left out: see `send`.
  package func deliverFiller(_ bytes: Span<UInt8>, after number: UInt64, into out: inout ByteBuffer) {
    if state == .verbatim || (isAtStart && bytes.equals("\u{FEFF}")) { return }
    if lastIsHeld { hold(bytes, into: &out) } else { send(bytes, into: &out) }
  }

  private func hold(_ bytes: Span<UInt8>, into out: inout ByteBuffer) {
    if held.count + bytes.count <= limit { return held.append(bytes) }
    state = .released
    lastIsHeld = false
    release(into: &out)
    send(bytes, into: &out)
  }

  /// An event that large is not held back, nor are its predecessors: this client gets the old behaviour from here on.
  package func survivesLargeEvent(_ kept: Span<UInt8>, _ rest: Span<UInt8>, into out: inout ByteBuffer) -> Bool {
    if state == .verbatim { return true }
    state = .verbatim
    release(into: &out)
    send(kept, into: &out)
    send(rest, into: &out)
    return true
  }

  package func finish(_ ending: Ending, tail: some StreamTail, into out: inout ByteBuffer) -> BodyEnd {
    if state == .verbatim { return ending.framing }
    if ending.upstreamIsComplete {
      _ = tail.completePartial(for: self, into: &out)
      release(into: &out)
    } else {
      // The half event comes last, where it can swallow nothing, as it would without the gateway.
      release(into: &out)
      tail.writePartialEvent(to: &out)
    }
    return ending.framing
  }

  private func release(into out: inout ByteBuffer) {
    held.withSpan { send($0, into: &out) }
    held.release()
  }

  /// A client drops a byte order mark at its stream's beginning, and the backend's has been taken off here. Bytes that
  /// look like one but were part of a line get one in front, so that they stay what they are.
  private func send(_ bytes: Span<UInt8>, into out: inout ByteBuffer) {
    if isAtStart, !bytes.isEmpty {
      isAtStart = false
      let mark: StaticString = "\u{FEFF}"
      if bytes.hasPrefix(mark) { out.append(mark) }
    }
    out.append(bytes)
  }
}
