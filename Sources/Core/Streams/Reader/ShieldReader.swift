package import Bytes
package import SSE

/// For clients that hang up at the first completion event: every event that ends the stream in their eyes is held
/// back until the backend has ended, so that what the backend sends behind it comes before it.
package final class ShieldReader: Reader {
  /// The most bytes held back.
  private let limit: Int
  private var held = ByteBuffer()
  private var gaveUp = false

  /// - Parameter limit: bytes held back at most; beyond it everything is sent in its original order from then on.
  package init(limit: Int) {
    self.limit = limit
  }

  package var mode: Mode { .shield }
  package var isVerbatim: Bool { gaveUp }
  /// Bytes held back now.
  package var heldBytes: Int { held.count }

  package func open(into out: inout ByteBuffer) {}

  package func deliver(
    _ event: Event, _ bytes: Span<UInt8>, mark: EventMark, number: UInt64, into out: inout ByteBuffer
  ) {
    if gaveUp { return }
    let block = bytes.extracting(event.range)
    guard mark.contains(.terminal), held.count + block.count <= limit else {
      out.append(block)
      return
    }
    held.append(block)
  }

  /// An event that large is not held back, nor are its predecessors: this client gets the old behaviour from here on.
  package func survivesLargeEvent(_ kept: Span<UInt8>, _ rest: Span<UInt8>, into out: inout ByteBuffer) -> Bool {
    if gaveUp { return true }
    release(into: &out)
    out.append(kept)
    out.append(rest)
    gaveUp = true
    return true
  }

  package func finish(_ ending: Ending, run: Run, into out: inout ByteBuffer) -> BodyEnd {
    if gaveUp { return ending.framing }
    if ending.upstreamIsComplete {
      _ = run.completePartial(for: self, into: &out)
      release(into: &out)
    } else {
      // The half event comes last, where it can swallow nothing, as it would without the gateway.
      release(into: &out)
      run.writePartialEvent(to: &out)
    }
    return ending.framing
  }

  private func release(into out: inout ByteBuffer) {
    out.append(held)
    held.release()
  }
}
