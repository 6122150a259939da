import Bytes
import HTTP
import Loop
import Sockets
import Streams
import Telemetry
import Time

/// One request and its answer: finds the route, makes the attempt, relays what comes, ends truthfully.
///
/// The one place where what the machines decide is done. Lives on its client's loop.
final class Exchange {
  private enum Phase {
    /// No connection to the backend yet. → awaitingHead, over
    case connecting
    /// The request is on its way. → connecting (once more), relaying, streaming, over
    case awaitingHead
    /// The response is no event stream and passes through. → over
    case relaying
    /// → over
    case streaming
    case over
  }

  let worker: Worker
  let client: ClientConnection
  let method: HTTP.Method
  let openedAt: MonotonicTime
  private(set) var stream: EventStream?

  private var phase = Phase.connecting
  /// Needed until the response's head is here: for another attempt, and for the mode.
  private var request: RequestHead?
  private var route: Route?
  private var pool: UpstreamPool?
  private var attempt: DialAttempt?
  private var upstream: UpstreamConnection?
  /// The request's body that came before there was a connection.
  private var bodyBacklog = ByteBuffer()
  private var bodyIsComplete: Bool
  private let hasBody: Bool
  private let requestIsChunked: Bool
  private var isRetried = false
  private var isClientPaused = false
  private var isUpstreamPaused = false
  private var lastActivity: MonotonicTime

  init(request: consuming RequestHead, hasBody: Bool, client: ClientConnection, worker: Worker) {
    self.worker = worker
    self.client = client
    self.hasBody = hasBody
    bodyIsComplete = !hasBody
    requestIsChunked = request.framing == .chunked
    method = request.method
    openedAt = worker.loop.readClock()
    lastActivity = openedAt
    self.request = request
  }

  // MARK: - The attempt

  func begin() {
    guard let request else { return }
    if worker.isDraining, client.wasServed {
      return refuse(.draining, 503, "draining", "the gateway is shutting down; try again", retryAfter: 1)
    }
    guard let route = worker.settings.route(for: request) else {
      return refuse(.noRoute, 404, "no_route", "no route serves this path and method")
    }
    if request.method == .trace {
      return refuse(.badRequest, 405, "trace_refused", "TRACE would show the fields that the gateway adds")
    }
    self.route = route
    pool = route.upstreams.first.map { worker.pools[$0] }
    startAttempt(fresh: false)
  }

  var routeName: String? { route?.settings.name }

  private func startAttempt(fresh: Bool) {
    guard let pool else { return }
    phase = .connecting
    if !fresh, let kept = pool.take() { return connected(kept) }
    // The attempt holds the closure and so this exchange until it is done or cancelled; one of both always comes.
    attempt = pool.connect { [self] result in
      attempt = nil
      guard phase == .connecting else {
        if case .success(let unwanted) = result { unwanted.close() }
        return
      }
      switch result {
      case .success(let upstream): connected(upstream)
      case .failure(let error): dialFailed(error)
      }
    }
  }

  private func dialFailed(_ error: DialError) {
    worker.log.write(.warning, "upstream_unreachable", at: worker.loop.wallTime()) { line in
      line.field("upstream", pool?.settings.name ?? "")
      line.field("reason", error.description)
    }
    let status = error.phase == "timeout" ? 504 : 502
    refuse(.upstreamUnreachable, status, "upstream_unreachable", "the backend can't be reached")
  }

  private func connected(_ upstream: UpstreamConnection) {
    guard let request, let pool else { return upstream.close() }
    self.upstream = upstream
    phase = .awaitingHead
    upstream.serve(self)
    worker.upstreamHead.removeAll()
    Forwarding.writeRequest(
      request, from: client.forwarded, as: pool.rules(for: request), into: &worker.upstreamHead)
    worker.upstreamHead.withSpan { upstream.send($0) }
    if request.expectsContinue, !bodyIsComplete { client.sendContinue() }
    if !bodyBacklog.isEmpty {
      bodyBacklog.withSpan { upstream.send($0) }
      bodyBacklog.release()
    }
    if bodyIsComplete { sendBodyEnd(to: upstream) }
    resumeClient()
  }

  // MARK: - The request's body

  func requestBodyReceived(_ input: InputBuffer, _ range: Range<Int>) {
    lastActivity = worker.loop.now
    guard phase != .over else { return }
    let framed = requestIsChunked ? input.chunk(around: range) : input.slice(range)
    guard let upstream else {
      bodyBacklog.append(framed)
      pauseClient()
      return
    }
    upstream.send(framed)
    if upstream.queuedBytes > (route?.settings.stream.highWater ?? .max) { pauseClient() }
  }

  func requestBodyEnded() {
    bodyIsComplete = true
    if let upstream { sendBodyEnd(to: upstream) }
  }

  private func sendBodyEnd(to upstream: UpstreamConnection) {
    if requestIsChunked {
      var last = ByteBuffer()
      ChunkedEncoder.appendLast(to: &last)
      upstream.send(last.span)
    }
    upstream.requestWasSent()
  }

  private func pauseClient() {
    isClientPaused = true
    client.pauseReading()
  }

  private func resumeClient() {
    guard isClientPaused else { return }
    isClientPaused = false
    client.resumeReading()
  }

  /// The backend takes the request's body again.
  func upstreamDrained() {
    lastActivity = worker.loop.now
    resumeClient()
  }

  // MARK: - The response

  func upstreamHeadReceived(_ head: consuming ResponseHead, framing: BodyFraming) {
    guard phase == .awaitingHead, let request, let route else { return }
    lastActivity = worker.loop.now
    let isStream = framing != .none && (200..<300).contains(head.status) && head.isEventStream
    if isStream, head.fields.isEncoded {
      worker.log.write(.warning, "stream_encoded", at: worker.loop.wallTime()) { line in
        line.field("route", route.settings.name)
        line.field("reason", "the backend compressed an event stream though identity was asked for; it passes as it is")
      }
    }
    if isStream, !head.fields.isEncoded {
      openStream(head, request, route)
    } else {
      relay(head, request, framing)
    }
    self.request = nil
  }

  private func relay(_ head: borrowing ResponseHead, _ request: borrowing RequestHead, _ framing: BodyFraming) {
    phase = .relaying
    let forwarded = framing.forwarded(to: request.version)
    client.response.prepare(framing: forwarded)
    worker.clientHead.removeAll()
    Forwarding.writeResponse(
      head, framing: forwarded, version: request.version, isKeepAlive: !client.willClose, as: worker.plainRules,
      into: &worker.clientHead)
    client.sendHead(worker.clientHead)
  }

  private func openStream(_ head: borrowing ResponseHead, _ request: RequestHead, _ route: Route) {
    phase = .streaming
    let opening = StreamOpening(request: request, route: route, worker: worker)
    let stream = opening.makeStream(
      openedAt: openedAt, route: route, worker: worker, trace: request.traceID)
    self.stream = stream
    client.response.prepare(framing: request.version == .http10 ? .untilClose : .chunked)
    worker.clientHead.removeAll()
    opening.writeHead(
      head, for: request, stream: stream, isKeepAlive: !client.willClose,
      rules: worker.streamRules[stream.mode], into: &worker.clientHead)
    client.sendHead(worker.clientHead)
    stream.closing.headWasSent()
    worker.streamOpened(stream, route: route, request: request)
    stream.reader.open(into: &worker.loop.scratch.buffer)
    client.response.sendBody(&worker.loop.scratch.buffer)
    stream.clock.sent(at: worker.loop.now)
    client.exchangeNeedsTime()
  }

  func upstreamBodyReceived(_ input: InputBuffer, _ range: Range<Int>) {
    if let stream {
      streamReceived(stream, input, range)
    } else if phase == .relaying {
      lastActivity = worker.loop.now
      client.response.sendBody(input, range)
    }
    applyBackPressure()
  }

  /// The path that every event takes.
  private func streamReceived(_ stream: EventStream, _ input: InputBuffer, _ range: Range<Int>) {
    let scratch = worker.loop.scratch
    let now = worker.loop.now
    let (delivery, isFirst) = stream.receive(input.slice(range), at: now, into: &scratch.buffer)
    if isFirst { worker.firstEventCame(stream) }
    switch delivery {
    case .verbatim:
      stream.bodyBytes += UInt64(range.count)
      client.response.sendBody(input, range)
    case .buffered:
      guard !scratch.buffer.isEmpty else { return }
      stream.bodyBytes += UInt64(scratch.buffer.count)
      client.response.sendBody(&scratch.buffer)
    case .failed(let outcome):
      client.response.sendBody(&scratch.buffer)
      return finishStream(outcome, reason: "an event is larger than allowed", upstreamIsComplete: false)
    }
    stream.clock.sent(at: now)
  }

  private func applyBackPressure() {
    guard !isUpstreamPaused, let route, client.queuedBytes > route.settings.stream.highWater else { return }
    isUpstreamPaused = true
    upstream?.pauseReading()
    client.setLowWaterMark(route.settings.stream.lowWater)
    stream?.clock.backendPaused()
    stream?.clock.clientBlocked(at: worker.loop.now)
    client.exchangeNeedsTime()
  }

  /// The client's queue is down to its low mark.
  func clientDrained() {
    stream?.clock.clientCaughtUp()
    guard isUpstreamPaused else { return }
    isUpstreamPaused = false
    client.setLowWaterMark(0)
    stream?.clock.backendResumed(at: worker.loop.now)
    lastActivity = worker.loop.now
    upstream?.resumeReading()
  }

  func upstreamEnded(_ end: UpstreamEnd) {
    upstream = nil
    switch phase {
    case .streaming:
      guard let stream else { return }
      // First the outcome: it sees a terminal that the backend left without its blank line.
      let outcome = stream.run.outcome(of: end)
      let reason: String
      switch end {
      case .clean where stream.run.hasTerminal: reason = "the backend ended its stream"
      case .clean: reason = "the backend ended without its terminal"
      case .cut(let fault): reason = fault.rawValue
      }
      finishStream(outcome, reason: reason, upstreamIsComplete: end == .clean)
    case .relaying:
      phase = .over
      client.endResponse(end == .clean ? .complete : .cut, &worker.loop.scratch.buffer)
    case .connecting, .awaitingHead, .over: break
    }
  }

  /// The attempt ended before there was a response.
  func upstreamFailed(_ failure: UpstreamConnection.HeadFailure) {
    let wasUsed = upstream?.wasUsed ?? false
    upstream = nil
    guard phase == .awaitingHead else { return }
    switch failure {
    case .ended(let fault, let receivedNothing):
      // A kept connection may die just when it is used. Where asking twice does no harm, a fresh one is tried, once.
      if wasUsed, receivedNothing, !isRetried, method.isIdempotent, !hasBody {
        isRetried = true
        worker.shard.increment(worker.metrics.upstreamRetries)
        return startAttempt(fresh: true)
      }
      refuse(.badUpstream, 502, "upstream_closed", fault.rawValue)
    case .malformed(let error):
      worker.log.write(.warning, "upstream_malformed", at: worker.loop.wallTime()) { line in
        line.field("upstream", pool?.settings.name ?? "")
        line.field("reason", error.code)
      }
      refuse(.badUpstream, 502, "bad_upstream", "the backend's answer is malformed: \(error.description)")
    }
  }

  // MARK: - Endings

  /// Ends an event stream: the reader's last bytes, the close, the books.
  func finishStream(_ outcome: Outcome, reason: String, upstreamIsComplete: Bool) {
    guard phase == .streaming, let stream else { return }
    phase = .over
    dropUpstream()
    let end = StreamEnd(
      stream: stream.id, run: stream.id, time: worker.loop.wallTime(), outcome: outcome, reason: reason)
    let ending = Ending(
      streamEnd: end, upstreamIsComplete: upstreamIsComplete, isKilled: worker.isKilled)
    let hadPartial = stream.run.hasPartialEvent
    let bodyEnd = stream.reader.finish(ending, run: stream.run, into: &worker.loop.scratch.buffer)
    stream.bodyBytes += UInt64(worker.loop.scratch.buffer.count)
    if upstreamIsComplete, hadPartial { worker.shard.increment(worker.metrics.unterminated) }
    client.endResponse(bodyEnd, &worker.loop.scratch.buffer, closing: (stream.closing, stream.closeLabel))
    worker.streamClosed(stream, outcome: outcome, reason: reason)
  }

  /// The client's connection is gone.
  func clientGone() {
    guard phase != .over else { return }
    let wasStreaming = phase == .streaming
    phase = .over
    dropUpstream()
    guard wasStreaming, let stream else { return }
    // A hard stop breaks the connections itself; the client did nothing.
    if worker.isStopping { return worker.streamClosed(stream, outcome: .draining, reason: "the gateway was stopped") }
    worker.note(stream.closing.peerReset(), stream.closeLabel)
    let outcome: Outcome = stream.closing.hasSentTerminal && stream.mode != .shield ? .completed : .clientGone
    worker.clientLeftStream(stream, outcome: outcome)
  }

  /// The client sends no more. It may be listening still.
  func clientHalfClosed() {
    if phase == .streaming || phase == .awaitingHead || phase == .connecting,
      route?.settings.stream.onHalfClose == .cancel
    {
      client.close()
      return clientGone()
    }
    client.response.probe()
  }

  /// The client's request broke its own framing; nothing of the answer can be trusted any more.
  func clientBrokeFraming() {
    guard phase != .over else { return }
    if phase == .streaming { return clientGone() }
    phase = .over
    dropUpstream()
  }

  private func dropUpstream() {
    attempt?.cancel()
    attempt = nil
    upstream?.close()
    upstream = nil
  }

  private func refuse(_ refusal: Refusal, _ status: Int, _ code: String, _ detail: String, retryAfter: Int? = nil) {
    phase = .over
    dropUpstream()
    worker.shard.increment(worker.metrics.refusals[refusal])
    client.refuse(status: status, code: code, detail: detail, retryAfter: retryAfter)
  }

  // MARK: - Time

  /// Looks at the clocks.
  ///
  /// - Returns: when to look again; `nil` when the exchange is over.
  func timePassed(_ now: MonotonicTime) -> MonotonicTime? {
    switch phase {
    case .over: return nil
    case .streaming: return streamTimePassed(now)
    case .connecting, .awaitingHead:
      let limit = worker.settings.configuration.limits.bodyTimeout
      let wait = expectsStream ? route?.settings.stream.watchdogs.firstToken ?? limit : limit
      let due = (bodyIsComplete ? max(openedAt, lastActivity) : lastActivity) + (wait > .zero ? wait : limit)
      if now < due { return due }
      refuse(.upstreamTimeout, 504, "upstream_timeout", "the backend did not answer in time")
      return nil
    case .relaying:
      let due = lastActivity + worker.settings.configuration.limits.bodyTimeout
      if now < due || isUpstreamPaused { return max(due, now + .seconds(1)) }
      phase = .over
      dropUpstream()
      client.endResponse(.cut, &worker.loop.scratch.buffer)
      return nil
    }
  }

  private var expectsStream: Bool {
    guard let request else { return false }
    return request.fields.containsElement(.accept, named: "text/event-stream")
  }

  private func streamTimePassed(_ now: MonotonicTime) -> MonotonicTime? {
    guard let stream else { return nil }
    guard upstream != nil else {
      worker.shard.increment(worker.metrics.orphans)
      finishStream(.gatewayError, reason: "the stream had lost its attempt", upstreamIsComplete: false)
      return nil
    }
    if client.queuedBytes > 0 {
      stream.clock.clientBlocked(at: now)
      stream.clock.clientProgressed(at: client.lastWriteProgress)
    } else {
      stream.clock.clientCaughtUp()
    }
    switch stream.clock.verdict(at: now, keepsAlive: stream.keepsAlive && stream.mayKeepAlive) {
    case .quiet(let until): return min(until, now + .seconds(1))
    case .keepaliveIsDue:
      worker.shard.increment(worker.metrics.keepalives)
      worker.loop.scratch.buffer.append(":\n")
      client.response.sendBody(&worker.loop.scratch.buffer)
      stream.clock.sent(at: now)
      return now + .milliseconds(50)
    case .firstTokenTimeout:
      finishStream(.firstTokenTimeout, reason: "the backend sent no event in time", upstreamIsComplete: false)
    case .idleTimeout:
      finishStream(.idleTimeout, reason: "the backend was silent for too long", upstreamIsComplete: false)
    case .totalTimeout:
      finishStream(.cancelled, reason: "the stream's total time is up", upstreamIsComplete: false)
    case .clientStalled:
      phase = .over
      dropUpstream()
      worker.streamClosed(stream, outcome: .clientStalled, reason: "the client took nothing for too long")
      worker.note(stream.closing.aborted(), stream.closeLabel)
      client.abandon()
    }
    return nil
  }
}

extension Fields {
  /// Whether the body is compressed.
  fileprivate var isEncoded: Bool {
    guard let index = firstIndex(of: .contentEncoding) else { return false }
    return !value(at: index).equalsIgnoringASCIICase("identity")
  }
}

extension RequestHead {
  /// The trace id of `traceparent` (W3C Trace Context, 3.2.2.3), for log lines.
  fileprivate var traceID: String? {
    guard let index = fields.firstIndex(of: .traceparent) else { return nil }
    let value = fields.value(at: index)
    guard value.count >= 55, value[2] == UInt8(ascii: "-"), value[35] == UInt8(ascii: "-") else { return nil }
    return String(copying: value.extracting(3..<35))
  }
}
