import Bytes
import HTTP
import JSON
import Streams

/// Why there is no good response, and what the client is told.
struct UpstreamRequestFailure {
  let reports: [AttemptReport]
  /// The names of the route's backends, by their index among its candidates.
  let upstreams: [String]
  /// Seconds after which asking again may help.
  let retryAfter: Int
  /// Whether there was but one backend, whose failure is told as it is.
  let isTransparent: Bool
  /// Whether another backend was left, and was not asked: the one that failed may have begun the request.
  let mayHaveHadEffect: Bool

  private var lastFault: AttemptFault? { reports.last?.fault }
  /// The time limit that ended the last attempt.
  private var lastLimit: TimeLimit? { reports.last?.limit }

  /// For `stream_end`, where the stream was opened already.
  var summary: String {
    let sentence = "no backend gave a stream: \(lastFault?.reason ?? "none was asked")"
    return lastLimit?.ending(sentence) ?? sentence
  }

  /// The time limit that is to blame, where the answer speaks of a single one.
  var limit: TimeLimit? { isTold ? lastLimit : nil }

  var refusal: Refusal {
    guard isTold else { return .upstreamsExhausted }
    switch lastFault {
    case .timedOut where reports.last?.phase == .head: return .upstreamTimeout
    case .connectFailed, .tlsFailed, .timedOut: return .upstreamUnreachable
    default: return .badUpstream
    }
  }

  /// Whether the failure of the last backend is told, and not that of all.
  private var isTold: Bool { isTransparent || mayHaveHadEffect }

  /// 502 and 504 say how the last backend failed; 503 that all of several did.
  var status: Int {
    guard isTold else { return 503 }
    return lastFault == .timedOut ? 504 : 502
  }

  var code: String {
    if mayHaveHadEffect { return "not_repeated" }
    guard isTransparent else { return "upstreams_exhausted" }
    switch lastFault {
    case .malformed: return "bad_upstream"
    case .cut: return "upstream_closed"
    default: return refusal.rawValue
    }
  }

  private var detail: String {
    if mayHaveHadEffect {
      return "the backend failed when it may have begun what was asked for, so no other was asked"
    }
    guard isTransparent else { return "none of the \(reports.count) backends that were tried gave a good response" }
    switch lastFault {
    case .timedOut:
      let sentence =
        switch lastLimit {
        case .body: "the backend did not take the request's body in time"
        case .connect, nil: "the backend can't be reached in time"
        default: "the backend did not answer in time"
        }
      return lastLimit?.ending(sentence) ?? sentence
    case .malformed(let what): return "the backend's answer is malformed: \(what)"
    case .cut: return "the backend closed the connection before it answered"
    default: return "the backend can't be reached"
    }
  }

  /// Tells the client.
  ///
  /// - Parameters:
  ///   - extra: goes with the answer.
  ///   - request: the id by which the log has it.
  ///   - isFull: whether the client may see who was asked, and what went wrong there.
  func answer(_ client: any ClientStream, with extra: Fields, request: String, isFull: Bool) {
    let body = problem(request, isFull: isFull).text() + "\n"
    var fields = extra
    fields.append(.contentType, literal: "application/problem+json")
    if !isTold { fields.append(.retryAfter, decimal: retryAfter) }
    client.answer(ResponseDraft(status: status, fields: fields), body.utf8Span.span)
  }

  /// A problem document (RFC 9457). `error` says the same in the shape that the clients of model providers read.
  private func problem(_ request: String, isFull: Bool) -> JSONValue {
    let detail = isFull ? self.detail : "the service behind this gateway gave no good answer"
    var object: JSONObject = [
      "type": "about:blank", "title": .string(String(describing: ReasonPhrase.of(status))), "status": JSONValue(status),
      "code": .string(code), "detail": .string(detail), "requestId": .string(request),
    ]
    if isFull { object["attempts"] = .array(reports.map(document)) }
    object["error"] = ["type": "upstream_error", "code": .string(code), "message": .string(detail)]
    return .object(object)
  }

  private func document(_ report: AttemptReport) -> JSONValue {
    var attempt = JSONObject()
    attempt["upstream"] = .string(upstreams[report.upstream])
    attempt["phase"] = .string(report.phase.rawValue)
    attempt["reason"] = .string(report.fault.reason)
    attempt["limit"] = report.limit.map { .string($0.rawValue) }
    attempt["status"] = report.fault.status.map { JSONValue($0) }
    attempt["milliseconds"] = JSONValue(report.milliseconds)
    return .object(attempt)
  }
}
