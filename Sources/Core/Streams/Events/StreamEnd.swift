package import Bytes
package import SSE
package import Time

/// The event that ends a graceful stream: one line of JSON, never empty.
package struct StreamEnd {
  package var stream: StreamID
  /// The run's id where that is not the stream's: a worker's run has one of its own.
  package var run: String?
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
  /// Whether the new closing was taken back meanwhile: the client's next stream is legacy.
  package var isRecalled = false

  package init(
    stream: StreamID, run: String? = nil, time: WallTime, outcome: Outcome, reason: String, events: UInt64 = 0,
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

  /// The most that is taken of a reason or an id, in bytes.
  private static let textLimit = 1024

  /// - Parameter lastEventID: the value of the last `id` line sent; empty when there was none.
  package func write(lastEventID: Span<UInt8>, to out: inout ByteBuffer) {
    EventWriter.event("stream_end", type: "stream_end", to: &out) { out in
      out.append(member: "streamId", stream)
      if let run {
        out.append(member: "runId", text: run, limit: Self.textLimit)
      } else {
        out.append(member: "runId", stream)
      }
      out.append(member: "timestamp", time)
      out.append(member: "outcome", word: outcome.rawValue)
      out.append(member: "reason", text: reason, limit: Self.textLimit)
      out.append(member: "events", events)
      out.append(member: "bytes", bytes)
      out.append(member: "lastEventId", text: lastEventID, limit: Self.textLimit)
      out.append(member: "resumable", isResumable)
      out.append(member: "partialEvent", hasPartialEvent)
      if isRecalled { out.append(member: "closing", word: "legacy-from-now-on") }
      out.append(member: "message", word: "Stream ending")
    }
  }

  /// The `error` event that goes before a `stream_end` whose outcome is one. Its payload is an error in the eyes of
  /// the OpenAI clients (a top-level `error`) and of the Anthropic ones (the event's type) too.
  package func writeError(to out: inout ByteBuffer) {
    EventWriter.event("error", type: "error", to: &out) { out in
      out.append(member: "streamId", stream)
      out.append(jsonMember: "error")
      out.append("{\"type\":\"")
      out.append(outcome.rawValue)
      out.append("\"")
      out.append(member: "code", word: outcome.rawValue)
      out.append(member: "message", text: reason, limit: Self.textLimit)
      out.append("}")
    }
  }
}
