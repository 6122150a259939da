import Bytes
import FlagControl
import HTTP
import Logging
import Loop
import SSE
import Streams
import Telemetry
import Time
import Tracing

// The one line that a request leaves in the log. It is written for each stream, and so in one pass and in place.
extension RequestRecord {
  /// Writes the line `request_done`, once. Without an answer there is nothing to tell yet.
  func write(to log: WorkerLog, at now: MonotonicTime, _ time: @autoclosure () -> WallTime) {
    guard !isWritten, status != 0 else { return }
    isWritten = true
    let level: LogLevel = status >= 500 || end.limit != nil ? .warning : .info
    log.write(level, .requestDone, at: time()) { line in
      writeRequest(to: &line)
      line.field("closer", word: closer.rawValue)
      if let limit = end.limit { line.field("limit", word: limit.rawValue) }
      line.field("reason", ifPresent: end.reason)
      if origin == .upstream { line.field("bytes", bytesOut) }
      writeTimes(to: &line, at: now)
    }
    spans?.ended(self)
  }

  /// Who brought the end of an answer about that is no event stream.
  var closer: Closer {
    status == 499 && origin == .gateway ? .client : end.closer ?? (origin == .upstream ? .backend : .gateway)
  }

  /// The same for a request that has become an event stream, at the end of that.
  func write(_ stream: ClientDelivery, _ outcome: Outcome, reason: String, to log: WorkerLog, _ loop: EventLoop) {
    guard !isWritten, status != 0 else { return }
    isWritten = true
    let now = loop.now
    let limit = TimeLimit(endingOf: reason)
    let isWarning = outcome.isWorthAWarning || limit != nil || status >= 500
    let closer = outcome.closer(limit: limit, reason: reason, isStopped: stopper != nil)
    log.write(isWarning ? .warning : .info, .requestDone, at: loop.wallTime()) { line in
      writeRequest(to: &line)
      line.field("streamId") { stream.id.write(to: &$0) }
      writeRun(of: stream, to: &line)
      line.field("mode", word: stream.mode.rawValue)
      line.field("capability", word: stream.capability.source.rawValue)
      line.field("flags", stream.flagVersion)
      line.field("flagReason", word: stream.flagReason.rawValue)
      line.field("outcome", word: outcome.rawValue)
      line.field("closer", word: closer.rawValue)
      if let limit { line.field("limit", word: limit.rawValue) }
      line.field("operator", ifPresent: stopper)
      line.field("reason", reason)
      stream.writeProgress(to: &line, at: now)
      writeTimes(to: &line, at: now)
    }
    spans?.ended(self, stream, outcome, limit: limit, closer: closer)
  }

  /// Writes the line `stream_progress` of an open stream.
  func writeProgress(of stream: ClientDelivery, to log: WorkerLog, _ loop: EventLoop) {
    log.write(.info, .streamProgress, at: loop.wallTime()) { line in
      line.field("requestId") { writeID(to: &$0) }
      line.field("streamId") { stream.id.write(to: &$0) }
      if let trace { line.field("traceId") { trace.write(to: &$0) } }
      line.field("route", ifPresent: route)
      line.field("upstream", ifPresent: upstream)
      line.field("mode", word: stream.mode.rawValue)
      stream.writeProgress(to: &line, at: loop.now)
      line.field("queued", stream.client.queuedBytes)
      line.field("milliseconds", Int((loop.now - openedAt).milliseconds))
    }
  }

  private func writeRequest(to line: inout LogLine) {
    line.field("requestId") { writeID(to: &$0) }
    if let trace { line.field("traceId") { trace.write(to: &$0) } }
    if let span { line.field("spanId") { span.write(to: &$0) } }
    if !client.isEmpty { line.field("client", word: client) }
    if let tls {
      line.field("tls", word: tls.version)
      line.field("cipher", word: tls.cipher)
      if !tls.applicationProtocol.isEmpty { line.field("alpn", tls.applicationProtocol) }
    }
    line.field("route", ifPresent: route)
    line.field("method", word: method.name)
    let path = target
    line.field("path", path.span)
    line.field("status", status)
    line.field("origin", word: origin.rawValue)
    if let code { line.field("code", word: code) }
    if let upstream {
      line.field("upstream", upstream)
      line.field("tier", tier)
    }
    if !attempts.isEmpty { line.jsonField("attempts", writeAttempts) }
    if bytesIn > 0 { line.field("bytesIn", bytesIn) }
  }

  private func writeRun(of stream: ClientDelivery, to line: inout LogLine) {
    guard run.isRead else { return }
    if let name = run.name { line.field("runId", name) } else { line.field("runId") { stream.id.write(to: &$0) } }
    guard let resumedFrom else { return }
    line.field("resumedFrom") { EventID(stream: stream.id, sequence: resumedFrom).write(to: &$0) }
  }

  private func writeTimes(to line: inout LogLine, at now: MonotonicTime) {
    line.field("milliseconds", Int((now - openedAt).milliseconds))
    if let headAt { line.field("headMs", Int((headAt - openedAt).milliseconds)) }
    if let firstEventAt { line.field("firstEventMs", Int((firstEventAt - openedAt).milliseconds)) }
    guard !backendID.isEmpty else { return }
    let id = backendID
    line.field("backendRequestId", id.span)
  }

  private func writeAttempts(to out: inout ByteBuffer) {
    out.append("[")
    for (index, attempt) in attempts.enumerated() {
      let report = attempt.report
      out.append(index == 0 ? "{\"upstream\":" : ",{\"upstream\":")
      out.append(jsonString: attempt.upstream)
      out.append(jsonMember: "phase")
      out.append(jsonString: report.phase.rawValue)
      out.append(jsonMember: "reason")
      out.append(jsonString: report.fault.reason)
      if let limit = report.limit {
        out.append(jsonMember: "limit")
        out.append(jsonString: limit.rawValue)
      }
      if let status = report.fault.status {
        out.append(jsonMember: "status")
        out.append(decimal: status)
      }
      out.append(jsonMember: "ms")
      out.append(decimal: report.milliseconds)
      out.append("}")
    }
    out.append("]")
  }
}

extension ClientDelivery {
  /// What it has carried, and how long its client was waited for.
  fileprivate func writeProgress(to line: inout LogLine, at now: MonotonicTime) {
    line.field("events", events)
    line.field("bytes", bodyBytes)
    // What was sent has the time of the loop's turn, which may be a little behind the one that the first event has.
    let last = record?.firstEventAt.map { max($0, lastSentAt) } ?? lastSentAt
    if events > 0 { line.field("lastEventMs", Int((last - openedAt).milliseconds)) }
    let paused = timeBlocked(until: now)
    if paused > .zero { line.field("pausedMs", Int(paused.milliseconds)) }
    if queuedMax > 0 { line.field("queuedMax", queuedMax) }
  }
}

extension Outcome {
  /// Who brought the end about.
  ///
  /// - Parameter limit: the time limit that did, if one did.
  func closer(limit: TimeLimit?, reason: String, isStopped: Bool) -> RequestRecord.Closer {
    switch self {
    case .completed, .incomplete, .upstreamError, .upstreamTruncated: .backend
    case .clientGone, .replacedByNewStream: .client
    case .cancelled where isStopped: .operator
    case .cancelled where limit == nil && reason == EndReason.clientAsked.text: .client
    default: .gateway
    }
  }
}
