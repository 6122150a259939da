package import Bytes
package import SSE
package import Time

/// The `control` event that tells a graceful client, before the backend has said anything, that its prompt was taken.
package struct PromptReady {
  package var stream: StreamID
  package var time: WallTime
  /// From the request's arrival.
  package var sinceStart: Nanoseconds
  /// The client's own name for its message, if it gave one.
  package var clientMessageID: [UInt8]?

  package init(stream: StreamID, time: WallTime, sinceStart: Nanoseconds, clientMessageID: [UInt8]?) {
    self.stream = stream
    self.time = time
    self.sinceStart = sinceStart
    self.clientMessageID = clientMessageID
  }

  package func write(to out: inout ByteBuffer) {
    EventWriter.event("control", type: "prompt_ready", to: &out) { out in
      out.append(member: "name", word: "prompt_ready")
      out.append(member: "streamId", stream)
      out.append(member: "at", time)
      out.append(member: "sinceStartMs", max(0, sinceStart.value / 1_000_000))
      if let clientMessageID { out.append(member: "client_message_id", text: clientMessageID.span, limit: 256) }
    }
  }

  /// Whether a backend's event says the same, so that the client need not hear it twice.
  package static func isSaid(by event: Event, in bytes: Span<UInt8>) -> Bool {
    guard event.isDispatched else { return false }
    let type = bytes.extracting(event.type)
    guard type.isEmpty || type.equals("message") || type.equals("control") else { return false }
    let payload = bytes.extracting(event.data.lowerBound..<event.blankLine)
    guard payload.trimmed.hasPrefix("{") else { return false }
    let sketch = PayloadSketch(payload, seeking: .type)
    return payload.extracting(sketch.type).equals("prompt_ready")
  }
}
