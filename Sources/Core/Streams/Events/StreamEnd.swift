package import Bytes
package import SSE
package import Time

/// The event that ends a graceful stream: one line of JSON, never empty.
package struct StreamEnd {
  package var stream: StreamID
  package var run: StreamID
  package var time: WallTime
  package var outcome: Outcome
  package var reason: String
  /// The backend's events delivered; the gateway's own (`error`, `control`, `stream_end`) are not counted.
  package var events: UInt64
  /// The bytes of those events as the backend sent them.
  package var bytes: UInt64
  package var isResumable: Bool
  /// Whether the backend was cut inside an event, which was dropped.
  package var hasPartialEvent: Bool

  package init(
    stream: StreamID, run: StreamID, time: WallTime, outcome: Outcome, reason: String, events: UInt64 = 0,
    bytes: UInt64 = 0, isResumable: Bool = false, hasPartialEvent: Bool = false
  ) {
    self.stream = stream
    self.run = run
    self.time = time
    self.outcome = outcome
    self.reason = reason
    self.events = events
    self.bytes = bytes
    self.isResumable = isResumable
    self.hasPartialEvent = hasPartialEvent
  }

  /// - Parameter lastEventID: the value of the last `id` line sent; empty when there was none.
  package func write(lastEventID: Span<UInt8>, to out: inout ByteBuffer) {
    out.append("event: stream_end\ndata: {\"type\":\"stream_end\",\"streamId\":\"")
    stream.write(to: &out)
    out.append("\",\"runId\":\"")
    run.write(to: &out)
    out.append("\",\"timestamp\":\"")
    let timestamp = time.rfc3339Characters
    out.append(timestamp.span)
    out.append("\",\"outcome\":\"")
    out.append(outcome.rawValue)
    out.append("\",\"reason\":")
    out.append(jsonString: reason, limit: 1024)
    out.append(",\"events\":")
    out.append(decimal: events)
    out.append(",\"bytes\":")
    out.append(decimal: bytes)
    out.append(",\"lastEventId\":")
    out.append(jsonString: lastEventID, limit: 1024)
    out.append(isResumable ? ",\"resumable\":true" : ",\"resumable\":false")
    out.append(hasPartialEvent ? ",\"partialEvent\":true" : ",\"partialEvent\":false")
    out.append(",\"message\":\"Stream ending\"}\n\n")
  }

  /// The `error` event that goes before a `stream_end` whose outcome is one. Its payload is an error in the eyes of
  /// the OpenAI clients (a top-level `error`) and of the Anthropic ones (the event's type) too.
  package func writeError(to out: inout ByteBuffer) {
    out.append("event: error\ndata: {\"type\":\"error\",\"source\":\"gateway\",\"streamId\":\"")
    stream.write(to: &out)
    out.append("\",\"error\":{\"type\":\"")
    out.append(outcome.rawValue)
    out.append("\",\"code\":\"")
    out.append(outcome.rawValue)
    out.append("\",\"message\":")
    out.append(jsonString: reason, limit: 1024)
    out.append("}}\n\n")
  }
}
