import HTTP
import SSE
import Streams
import Telemetry
import Time
import Tracing

// What the spans say of their request and its event stream. Queries, headers and payloads are not among it.
extension RequestSpans {
  /// Ends the span of an open stream when that is long enough.
  ///
  /// - Returns: when to look again; `nil` when none is open.
  func streamPassed(_ now: MonotonicTime, _ delivery: ClientDelivery) -> MonotonicTime? {
    guard let end = streamPartEnd, now >= end else { return streamPartEnd }
    endStreamPart(goesOn: true) { delivery.fill(&$0) }
    return streamPartEnd
  }

  /// The request is over, and its answer was no event stream.
  func ended(_ record: RequestRecord) {
    ended(record.spanName) { span in
      record.fill(&span, limit: record.end.limit, closer: record.closer)
      record.fillError(&span, outcome: nil)
    }
  }

  /// The request is over, and so is the event stream that it became.
  func ended(
    _ record: RequestRecord, _ stream: ClientDelivery, _ outcome: Outcome, limit: TimeLimit?,
    closer: RequestRecord.Closer
  ) {
    endStreamPart(goesOn: false) { stream.fill(&$0) }
    ended(record.spanName) { span in
      record.fill(&span, limit: limit, closer: closer)
      span.set("fermata.stream_id", stream.id.description)
      if record.run.isRead { span.set("fermata.run_id", record.run.name ?? stream.id.description) }
      span.set("fermata.mode", stream.mode.rawValue)
      span.set("fermata.outcome", outcome.rawValue)
      stream.fill(&span)
      record.fillError(&span, outcome: outcome)
    }
  }
}

extension RequestRecord {
  fileprivate var spanName: String { "\(method.name) \(route ?? RouteBooks.unrouted)" }

  fileprivate func fill(_ span: inout SpanRecord, limit: TimeLimit?, closer: Closer) {
    span.set("http.request.method", method.name)
    span.set("url.path", path)
    span.set("http.response.status_code", status)
    span.set("fermata.upstream", upstream)
    span.set("client.address", client.isEmpty ? nil : client)
    span.set("fermata.route", route)
    span.set("fermata.request_id", id)
    span.set("fermata.code", code)
    span.set("fermata.limit", limit?.rawValue)
    span.set("fermata.closer", closer.rawValue)
  }

  /// An error is what counts as bad in alerts, and what has a status of 500 or above.
  fileprivate func fillError(_ span: inout SpanRecord, outcome: Outcome?) {
    if let outcome, outcome.isBad {
      span.error = outcome.rawValue
    } else if status >= 500 {
      span.error = code ?? "\(status)"
    }
    span.set("error.type", span.error)
  }
}

extension ClientDelivery {
  fileprivate func fill(_ span: inout SpanRecord) {
    span.set("fermata.events", Int(clamping: events))
    span.set("fermata.bytes", Int(clamping: bodyBytes))
  }
}
