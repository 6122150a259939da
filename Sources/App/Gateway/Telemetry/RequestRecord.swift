import Bytes
import HTTP
import SSE
package import Streams
package import Telemetry
package import Time
import Tracing

/// What is known of one request, from its head to the end of its answer: for the log line `request_done`, and for lists
/// of what is open.
///
/// Confined to its client's loop.
package final class RequestRecord {
  /// The id of the stream that the request becomes where that has no other, and the request's own where no trusted peer
  /// gave it one.
  let stream: StreamID
  private let given: [UInt8]?
  let method: HTTP.Method
  /// As the log may say it, without its query.
  private(set) var target: [UInt8]
  /// The trace that the request belongs to.
  package let trace: TraceID?
  /// The request's own span, where it has one.
  let span: SpanID?
  /// What a backend gets for `traceparent` in the client's place; `nil` where it gets the client's own, or none.
  private let passedTrace: TraceContext?
  /// Of a request whose trace is recorded.
  let spans: RequestSpans?
  /// Who asked, as the log may say it; empty where it may not.
  package let client: String
  /// What was agreed on with a client over https.
  let tls: ClientTLS?
  package let openedAt: MonotonicTime
  var route: String?
  private(set) var status = 0
  private(set) var origin = ResponseOrigin.gateway
  /// The word for a refusal of the gateway's own.
  var code: String?
  package private(set) var headAt: MonotonicTime?
  package private(set) var firstEventAt: MonotonicTime?
  /// Who was asked last.
  package internal(set) var upstream: String?
  var tier = 0
  /// Attempts that gave no good response, with the names of those that were asked.
  package private(set) var attempts: [(upstream: String, report: AttemptReport)] = []
  /// The backend's own id of the request.
  var backendID: [UInt8] = []
  /// An operator, when one ended it.
  package var stopper: String?
  /// Whether its answer is an event stream, whose end is told with the stream's own words.
  var isStream = false
  /// Whether that reads a run, and the run's own name, if workers gave it one.
  var run: (isRead: Bool, name: String?) = (false, nil)
  /// The trace of the request that opened that run.
  var runTrace: TraceContext?
  /// The number of the event of its own stream behind which the client goes on.
  var resumedFrom: UInt64?
  /// Bytes of the request's body that have come.
  var bytesIn = 0
  /// Bytes of the answer's body, where that is no event stream.
  var bytesOut = 0
  /// What brought about the end of an answer that is no event stream, where that is not plain.
  private(set) var end: (closer: Closer?, reason: String?, limit: TimeLimit?)
  var isWritten = false

  /// Who brings an end about; the raw value is the log's word.
  enum Closer: String {
    case client, backend, gateway, `operator`
  }

  /// - Parameters:
  ///   - id: unguessable, and no other request's.
  ///   - logged: who asked, as the log may say it.
  ///   - redactions: what of the path the log may not say.
  init(
    _ request: borrowing RequestHead, id: StreamID, from client: ForwardedClient, logged: String,
    redactions: PathRedactions, tracer: Tracer, at now: MonotonicTime
  ) {
    stream = id
    given = client.isTrusted ? Self.idGiven(in: request.fields) : nil
    let start = tracer.start(request)
    trace = start?.context.trace
    passedTrace = start?.isGiven == false ? start?.context : nil
    span = passedTrace?.span
    spans = start.flatMap {
      $0.isGiven || !$0.context.isSampled ? nil : RequestSpans($0, tracer: tracer, openedAt: now)
    }
    self.client = logged
    tls = client.tls
    openedAt = now
    method = request.method
    target = redactions.redacted(request.path) ?? [UInt8](copying: request.path)
  }

  /// At most 128 printable ASCII characters are taken.
  private static func idGiven(in fields: borrowing Fields) -> [UInt8]? {
    guard let index = fields.firstIndex(of: .xRequestID) else { return nil }
    let value = fields.value(at: index)
    guard (1...128).contains(value.count) else { return nil }
    for place in value.indices where !(0x21...0x7E).contains(value[place]) { return nil }
    return [UInt8](copying: value)
  }

  package var path: String { String(decoding: target, as: UTF8.self) }

  /// Whether an operator who looks for `text` means it.
  package func fits(_ text: String) -> Bool {
    upstream?.contains(text) == true || client.contains(text) || id.contains(text)
      || trace?.description.contains(text) == true
  }

  func writeID(to buffer: inout ByteBuffer) {
    if let given { buffer.append(given) } else { stream.write(to: &buffer) }
  }

  package var id: String {
    var buffer = ByteBuffer()
    writeID(to: &buffer)
    return String(decoding: buffer.toArray(), as: UTF8.self)
  }

  /// Appends the field with the request's id.
  func append(to fields: inout Fields) {
    if let value = FieldValue(id) { fields.append(.xRequestID, value) }
  }

  /// Appends what a backend's response carries to the client: the request's id, and the backend's own under another name.
  func writeFields(to draft: inout ResponseDraft) {
    draft.append("X-Request-Id") { writeID(to: &$0) }
    let backendID = backendID
    if !backendID.isEmpty { draft.append("X-Upstream-Request-Id") { $0.append(backendID) } }
  }

  /// What a backend gets for `traceparent` in the client's place; `nil` where it gets the client's own, or none.
  var traceForBackend: TraceContext? { spans?.contextForBackend ?? passedTrace }

  /// Puts the request's trace into a head for a backend that is complete.
  func addTrace(_ trace: TraceContext, to head: inout ByteBuffer) {
    head.truncate(to: head.count - 2)
    head.append("traceparent: " as StaticString)
    trace.write(to: &head)
    head.append("\r\n\r\n" as StaticString)
  }

  /// Puts the request's ids into a head for a backend that is complete.
  ///
  /// - Parameters:
  ///   - ofRequest: whether the request's own is wanted.
  ///   - stream: the id of the event stream that it may become; `nil` where that is not wanted.
  func addIDs(ofRequest: Bool, stream: StreamID?, to head: inout ByteBuffer) {
    head.truncate(to: head.count - 2)
    if ofRequest {
      head.append("X-Request-Id: " as StaticString)
      writeID(to: &head)
      head.append("\r\n" as StaticString)
    }
    if let stream {
      head.append("X-Stream-Id: " as StaticString)
      stream.write(to: &head)
      head.append("\r\n" as StaticString)
    }
    head.append("\r\n" as StaticString)
  }

  // MARK: - What happens

  func answered(_ status: Int, by origin: ResponseOrigin, at now: MonotonicTime) {
    self.status = status
    self.origin = origin
    // 499 is nobody's answer.
    headAt = status == 499 ? nil : now
  }

  /// - Parameter host: of the upstream's URL.
  func asks(_ upstream: String, at host: String, tier: Int) {
    self.upstream = upstream
    self.tier = tier
    backendID = []
    spans?.attemptBegan(on: upstream, at: host)
  }

  func attemptFailed(_ report: AttemptReport) {
    spans?.attemptFailed(report)
    if let upstream { attempts.append((upstream, report)) }
  }

  func firstEventCame(at now: MonotonicTime) { firstEventAt = now }

  /// The answer, which is no event stream, is about to be over.
  func ends(by closer: Closer?, reason: String? = nil, limit: TimeLimit? = nil) { end = (closer, reason, limit) }
}
