import Loop
package import SSE
package import Streams
package import Telemetry
package import Time

/// The spans of one request whose trace is recorded: its own, one for each attempt, and those of its event stream.
///
/// An attempt's is over when its response is good or has failed, a stream's after each `tracing.progress`: spans are
/// exported when they are over, and a stream may be open for hours. Confined to its client's loop.
package final class RequestSpans {
  /// The request's own.
  package let context: TraceContext
  private let parent: SpanID?
  private let tracer: Tracer
  private let openedAt: MonotonicTime
  /// Nanoseconds since 1970.
  private let openedAtUnix: UInt64
  private var attempt: Part?
  private var stream: Part?
  private var streamID: StreamID?
  private var streamParts = 0
  private var link: TraceContext?
  /// When the last event was sent that nothing but comments has followed, as far as that was told.
  private var keptAliveSince: MonotonicTime?

  /// A span that is not over.
  private struct Part {
    let id: SpanID
    let name: String
    let start: MonotonicTime
    /// Whom an attempt asks.
    var upstream: (name: String, host: String)?
    var events: [SpanRecord.Event] = []
    var droppedEvents = 0
  }

  private static let eventLimit = 32

  package init(_ start: Tracer.Start, tracer: Tracer, openedAt: MonotonicTime) {
    context = start.context
    parent = start.parent
    self.tracer = tracer
    self.openedAt = openedAt
    openedAtUnix = UInt64(max(0, tracer.loop.wallTime().milliseconds)) * 1_000_000
  }

  private func unix(_ time: MonotonicTime) -> UInt64 { openedAtUnix &+ UInt64(max(0, (time - openedAt).value)) }

  private func note(_ event: String, in part: inout Part?) {
    guard part != nil else { return }
    if part?.events.count ?? 0 < Self.eventLimit {
      part?.events.append(SpanRecord.Event(event, at: unix(tracer.loop.now)))
    } else {
      part?.droppedEvents += 1
    }
  }

  private func end(_ part: Part, _ kind: SpanRecord.Kind, _ fill: (inout SpanRecord) -> Void) {
    var span = SpanRecord(
      part.name, kind, context.passedOn(by: part.id), parent: context.span, from: unix(part.start),
      to: unix(tracer.loop.now))
    span.events = part.events
    span.droppedEvents = part.droppedEvents
    span.set("fermata.upstream", part.upstream?.name)
    span.set("server.address", part.upstream?.host)
    fill(&span)
    tracer.ended(span)
  }

  // MARK: - Attempts

  package func attemptBegan(on upstream: String, at host: String) {
    attempt = Part(
      id: tracer.nextSpan(), name: "attempt \(upstream)", start: tracer.loop.now, upstream: (upstream, host))
  }

  /// What the backend is told.
  package var contextForBackend: TraceContext { attempt.map { context.passedOn(by: $0.id) } ?? context }

  package func attemptReached(_ milestone: String) { note(milestone, in: &attempt) }

  /// Its response is good, and goes to the client.
  package func attemptCommitted(status: Int) {
    guard let attempt = attempt.take() else { return }
    end(attempt, .client) { span in
      span.set("http.response.status_code", status)
      // For who asks, a status of 400 or above is an error (OpenTelemetry, semantic conventions for HTTP spans).
      if status >= 400 { span.error = "\(status)" }
      span.set("error.type", span.error)
    }
  }

  package func attemptFailed(_ report: AttemptReport) {
    guard let attempt = attempt.take() else { return }
    end(attempt, .client) { span in
      span.set("http.response.status_code", report.fault.status)
      span.set("fermata.phase", report.phase.rawValue)
      span.set("fermata.limit", report.limit?.rawValue)
      span.set("error.type", report.fault.reason)
      span.error = report.fault.reason
    }
  }

  // MARK: - The event stream

  /// - Parameter first: the request that opened the run that is read, where that was another.
  package func streamBegan(_ id: StreamID, linkedTo first: TraceContext?) {
    streamID = id
    if let first, first != context { link = first }
    beginStreamPart(at: tracer.loop.now)
  }

  private func beginStreamPart(at now: MonotonicTime) {
    streamParts += 1
    stream = Part(id: tracer.nextSpan(), name: "stream", start: now)
  }

  package func streamPaused() { note("paused", in: &stream) }
  package func streamResumed() { note("resumed", in: &stream) }

  /// A comment line was sent, which is told once until the next event.
  ///
  /// - Parameter last: when the last event was sent.
  package func streamKeptAlive(after last: MonotonicTime) {
    if keptAliveSince != last { note("keepalive_only", in: &stream) }
    keptAliveSince = last
  }

  /// Ends the span of an open stream, and begins the next if it goes on.
  package func endStreamPart(goesOn: Bool, _ fill: (inout SpanRecord) -> Void) {
    guard let part = stream.take() else { return }
    end(part, .internal) { span in
      span.set("fermata.part", streamParts)
      span.set("fermata.stream_id", streamID?.description)
      if let link { span.links = [link] }
      fill(&span)
    }
    if goesOn { beginStreamPart(at: tracer.loop.now) }
  }

  /// When the span of an open stream is to end; `nil` when there is none.
  package var streamPartEnd: MonotonicTime? { stream.map { $0.start + tracer.progress } }

  // MARK: - The request

  /// The request is over.
  package func ended(_ name: String, _ fill: (inout SpanRecord) -> Void) {
    // Nobody waits for it any more.
    if let attempt = attempt.take() { end(attempt, .client) { $0.set("fermata.outcome", "cancelled") } }
    var span = SpanRecord(name, .server, context, parent: parent, from: openedAtUnix, to: unix(tracer.loop.now))
    fill(&span)
    tracer.ended(span)
  }
}
