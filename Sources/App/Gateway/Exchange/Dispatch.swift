import Bytes
import Configuration
import HTTP
import Logging
import Loop
import SSE
import Sockets
import Streams
import Telemetry
import Time
import Tracing
import Upstreams

/// One request on its way to a good response: tries the route's backends in their order, and hands the first that is
/// good over to its owner.
///
/// What is decided is decided by `Waterfall` and `Gate`; here it is done. Lives on its owner's loop.
final class Dispatch: UpstreamRequest {
  private let context: LoopContext
  let route: Route
  let method: HTTP.Method
  private let body: RequestBody?
  private var owner: (any DispatchOwner)?
  /// `nil` once a response is good.
  private var search: UpstreamSearch?
  private var phase = Phase.connecting
  /// Backends whose attempts failed.
  private var failedAttempts = 0

  /// The backend that is being asked, or whose response was good.
  private var attempt: Attempt?

  private enum Phase {
    /// → awaitingHead, over
    case connecting
    /// The request is on its way. → connecting, gated, committed, over
    case awaitingHead
    /// The body is looked at before anybody is told of it. → connecting, committed, over
    case gated
    /// The owner has the response. → over
    case committed
    case over
  }

  init(
    request: RequestHead, body: RequestBody?, from forwarded: ForwardedClient, route: Route, settings: LoopSettings,
    owner: any DispatchOwner, record: RequestRecord, stream: StreamID? = nil, opening: WebSocketOpening? = nil,
    context: LoopContext
  ) {
    method = request.method
    self.body = body
    self.route = route
    self.owner = owner
    self.context = context
    search = UpstreamSearch(
      for: request, body, from: forwarded, on: route, settings: settings, record: record,
      stream: stream ?? record.stream, opening: opening, at: context.loop.now)
  }

  private var upstream: UpstreamConnection? { attempt?.upstream }
  /// Whether a backend is at work, or is being asked.
  var isActive: Bool { attempt?.isActive ?? false }
  /// When the backend that is being asked was; `nil` when none is.
  var askedAt: MonotonicTime? { attempt?.timeline.startedAt }

  // MARK: - Attempts

  func begin() {
    guard let search else { return }
    if let body, body.isComplete { search.readWish(body) }
    perform(search.waterfall.begin(timeouts: timeouts, at: context.loop.now), search)
  }

  private func timeouts(of candidate: Int) -> AttemptTimeouts? { route.timeouts(of: candidate) }

  private func perform(_ step: Waterfall.Step, _ search: UpstreamSearch) {
    switch step {
    case .attempt(let index):
      let pool = search.pools[index]
      search.record.asks(pool.settings.name, at: pool.settings.url.host, tier: route.candidates[index].tier)
      pool.attemptBegan()
      start(on: pool)
    case .exhausted:
      let waterfall = search.waterfall
      let failure = DispatchFailure(
        reports: waterfall.reports, upstreams: search.pools.map(\.settings.name), retryAfter: waterfall.retryAfter,
        isTransparent: route.policy.isTransparent, mayHaveHadEffect: waterfall.mayHaveHadEffect)
      let owner = self.owner
      end()
      owner?.dispatchFailed(failure)
    }
  }

  private func start(on pool: UpstreamPool, isRepeated: Bool = false) {
    phase = .connecting
    attempt = Attempt(pool, at: context.loop.now, isRepeated: isRepeated)
    if !isRepeated, let kept = pool.take() { return connected(kept) }
    // The dial keeps this dispatch alive until it completes or is cancelled; one of the two always happens.
    let dial = pool.connect { [self] result in
      attempt?.dial = nil
      context.loop.readClock()
      switch result {
      case .success(let upstream): connected(upstream)
      case .failure(let error): attemptFailed(error.fault)
      }
    }
    dial.willSecure = { [self] in
      let now = context.loop.readClock()
      attempt?.timeline.connectedAt = now
      search?.waterfall.entered(.tls, at: now)
    }
    attempt?.dial = dial
  }

  private func connected(_ upstream: UpstreamConnection) {
    guard attempt != nil, let search else { return upstream.close() }
    let now = context.loop.now
    attempt?.connected(upstream, at: now)
    phase = .awaitingHead
    search.waterfall.entered(.head, at: now)
    upstream.connection.readAllowance = owner?.readAllowance
    upstream.serve(self)
    context.upstreamHead.removeAll()
    attempt?.pool.writeHead(for: search, into: &context.upstreamHead)
    if search.opening != nil { context.upstreamHead.addUpgrade() }
    context.upstreamHead.withSpan { upstream.send($0) }
    guard let body else { return upstream.requestWasSent() }
    if search.request.expectsContinue, !body.isComplete, !search.hasSentContinue {
      search.hasSentContinue = true
      owner?.dispatchWantsBody()
    }
    body.send(to: upstream)
    owner?.dispatchTakesBody()
  }

  /// The attempt is over without a good response.
  private func attemptFailed(_ fault: AttemptFault) {
    guard phase != .committed, phase != .over, let search else { return }
    search.held = nil
    search.sendWatch.caughtUp()
    let phase = search.waterfall.phase
    let step = search.waterfall.failed(fault, at: context.loop.readClock())
    failedAttempts = search.waterfall.reports.count
    // The waterfall knows whether the attempt had its own time: one that was given none is not to blame.
    let report = search.waterfall.reports.last
    if let report { search.record.attemptFailed(report) }
    attempt.take()?.failed(
      report?.fault ?? fault, of: search.request, in: phase, on: route, limit: report?.limit, record: search.record,
      context: context)
    perform(step, search)
    owner?.dispatchNeedsTime()
  }

  /// The attempt ended before there was a response.
  func upstreamFailed(_ failure: UpstreamFailure) {
    let wasUsed = upstream?.wasUsed ?? false
    attempt?.upstreamLeft()
    guard phase == .awaitingHead, let pool = attempt?.pool else { return }
    switch failure {
    case .ended(_, let receivedNothing)
    where wasUsed && receivedNothing && attempt?.isRepeated == false && method.isIdempotent && body == nil:
      // A kept connection may die just when it is used. Where asking twice does no harm, a fresh one is tried, once.
      context.shard.increment(context.metrics.upstreamRetries)
      start(on: pool, isRepeated: true)
    case .ended: attemptFailed(.cut)
    // On a connection that had served a request it is no answer to the handshake: this one may have been begun.
    case .refused(let reason): attemptFailed(wasUsed ? .malformed(reason) : .tlsFailed(reason))
    case .malformed(let error): attemptFailed(.malformed(error.description))
    }
  }

  // MARK: - The request's body

  /// A piece of the request's body came.
  ///
  /// - Returns: whether more of it can be taken now.
  func bodyReceived(_ input: InputBuffer, _ range: Range<Int>) -> Bool {
    guard let body, phase != .over else { return true }
    let isForwarded = upstream != nil
    switch body.append(input.slice(range), isForwarded: isForwarded) {
    case .taken: break
    case .outgrown: search?.waterfall.bodyOutgrewReplay()
    case .refused:
      owner?.dispatchHasNoRoom()
      return true
    }
    guard let upstream else { return body.mayBeReplayed }
    upstream.send(body.isChunked ? input.chunk(around: range) : input.slice(range))
    return upstream.queuedBytes <= route.settings.stream.highWater
  }

  func bodyEnded() {
    guard let body else { return }
    body.end()
    search?.readWish(body)
    // Until here the backend had to wait for the client.
    search?.waterfall.requestWasSent(at: context.loop.now)
    guard let upstream else { return }
    body.sendEnd(to: upstream)
  }

  /// The backend takes the request's body again.
  func upstreamDrained() {
    // It is given its whole time from here on, if this was the end of it.
    if body?.isComplete == true { search?.waterfall.requestWasSent(at: context.loop.now) }
    owner?.dispatchTakesBody()
  }

  // MARK: - The response

  func headReceived(_ head: consuming ResponseHead, framing: BodyFraming) {
    guard phase == .awaitingHead, let upstream, let search else { return }
    let now = context.loop.readClock()
    attempt?.timeline.headAt = now
    attempt?.pool.headCame(head.status)
    if let index = head.fields.firstIndex(of: .xRequestID) {
      search.record.backendID = [UInt8](copying: head.fields.value(at: index))
    }
    search.record.spans?.attemptReached("head")
    let answer = head.answer(to: search.request, framing: framing, at: context.loop.wallTime())
    if answer.kind == .encodedEvents { warnOfEncoding() }
    switch search.waterfall.receivedHead(answer, at: now) {
    case .relay:
      attempt?.pool.answered(answer, to: search.request, isJudged: !route.policy.isTransparent, at: now)
      commit(head, framing, isStream: false, upstream)
    case .open:
      attempt?.pool.attemptSucceeded(at: now)
      commit(head, framing, isStream: true, upstream)
    case .gate:
      phase = .gated
      let gate = Gate(
        condition: route.policy.gate, classifier: route.classifier, limit: route.policy.preambleLimit)
      search.held = HeldResponse(head: head, framing: framing, gate: gate)
      upstream.deliver(to: self)
    case .moveOn(let fault): attemptFailed(fault)
    }
  }

  var asksToSwitch: Bool { search?.opening != nil }

  /// The backend says that it has opened a WebSocket.
  func protocolSwitched(_ head: consuming ResponseHead, _ input: InputBuffer, _ range: Range<Int>) {
    guard phase == .awaitingHead, let upstream, let search else { return }
    let now = context.loop.readClock()
    attempt?.timeline.headAt = now
    attempt?.pool.headCame(head.status)
    guard search.opening?.isAccepted(by: head) == true else {
      return attemptFailed(.malformed("it switches to another protocol than the one that was asked for"))
    }
    attempt?.pool.attemptSucceeded(at: now)
    phase = .committed
    noteFailover()
    search.waterfall.committed()
    self.search = nil
    // Whoever takes the connection is told all that follows.
    owner.take()?.dispatchSwitched(head, upstream.connection, input, range)
  }

  private func warnOfEncoding() {
    context.log.write(.warning, .streamEncoded, at: context.loop.wallTime()) { line in
      line.field("route", route.settings.name)
      line.field("reason", "the backend compressed an event stream though identity was asked for; it passes as it is")
    }
  }

  private func commit(
    _ head: consuming ResponseHead, _ framing: BodyFraming, isStream: Bool, _ upstream: UpstreamConnection?
  ) {
    phase = .committed
    search?.record.spans?.attemptCommitted(status: head.status)
    noteFailover()
    body?.forget()
    search?.waterfall.committed()
    // Nobody is asked again: an idle stream needn't hold what was needed for it.
    search = nil
    guard let owner else { return }
    upstream?.deliver(to: owner)
    owner.dispatchSucceeded(head, framing: framing, isStream: isStream)
  }

  private func noteFailover() {
    guard let pools = search?.pools, pools.count > 1, let pool = attempt?.pool,
      let index = pools.firstIndex(where: { $0 === pool }),
      let first = route.candidates.map(\.tier).min(), route.candidates[index].tier > first
    else { return }
    context.routes.failedOver(on: route.settings.name)
  }

  /// Passes everything that comes from here on to another owner; that is the body, where the response is good.
  func pass(to owner: any DispatchOwner) {
    self.owner = owner
    upstream?.connection.readAllowance = owner.readAllowance
    if phase == .committed { upstream?.deliver(to: owner) }
  }

  /// Backends asked so far.
  var attempts: Int { failedAttempts + (attempt == nil ? 0 : 1) }

  /// The backend's connection has served its response, or is gone.
  func upstreamLeft() { attempt?.upstreamLeft() }

  // MARK: - Back-pressure

  func pauseResponse() { upstream?.pauseReading() }

  func resumeResponse() {
    upstream?.resumeReading()
  }

  // MARK: - Ends

  /// The response is over, in the owner's eyes: writes the books, lets the backend go.
  func finish(_ result: AttemptResult) {
    guard phase != .over else { return }
    attempt.take()?.ended(result, at: context.loop.now)
    end()
  }

  /// Nobody wants the response any more.
  func cancel() { finish(.ended(.clientGone)) }

  private func end() {
    phase = .over
    search = nil
    owner = nil
  }

  // MARK: - Time

  /// Events of the response were taken in.
  func eventsCame(bearsContent: Bool) {
    attempt?.timeline.eventsCame(bearsContent: bearsContent, at: context.loop.now)
  }

  func lastEventCame(at time: MonotonicTime) {
    // The stamp may be of the loop's clock, which is a little behind the one that the first event has.
    if let first = attempt?.timeline.firstEventAt { attempt?.timeline.lastEventAt = max(first, time) }
  }

  /// The owner has opened the stream towards its client though there is no good response yet.
  func openedEarly() { search?.waterfall.openedEarly() }

  /// Looks at the clocks of the attempts.
  ///
  /// - Returns: when to look again.
  func timePassed(_ now: MonotonicTime) -> MonotonicTime {
    guard phase != .committed, phase != .over, let search else { return now + .seconds(3600) }
    switch search.waterfall.timePassed(at: now) {
    case .quiet(let until):
      guard let look = lookAtBody(search, now) else { return until }
      if look > now { return min(look, until) }
      search.waterfall.passed(.body)
      attemptFailed(.timedOut)
    case .attemptTimedOut: attemptFailed(.timedOut)
    case .openNow: owner?.dispatchIsLate()
    }
    return now
  }

  /// Looks at whether the backend takes the request's body.
  ///
  /// - Returns: when to look again: `now` when it has taken nothing for too long; `nil` when there is no body.
  private func lookAtBody(_ search: UpstreamSearch, _ now: MonotonicTime) -> MonotonicTime? {
    guard let body, phase == .awaitingHead || (phase == .gated && !body.isComplete), let upstream else { return nil }
    let limit = search.settings.configuration.limits.bodyTimeout
    if upstream.queuedBytes == 0 {
      search.sendWatch.caughtUp()
    } else {
      search.sendWatch.look(at: upstream.connection, now)
    }
    return search.sendWatch.isStalled(for: limit, at: now) ? now : now + SendWatch.pause(of: limit)
  }
}

// While the gate holds the response.
extension Dispatch: ResponseSink {
  func received(_ input: InputBuffer, _ range: Range<Int>) {
    guard phase == .gated, let search else { return }
    let now = context.loop.readClock()
    guard let verdict = search.held?.gate.receive(input.slice(range)) else { return }
    if search.held?.gate.hasFirstEvent == true {
      let hasContent = search.held?.gate.hasContent == true
      if search.waterfall.phase != .firstToken { search.record.spans?.attemptReached("first_event") }
      if hasContent { search.record.spans?.attemptReached("first_token") }
      attempt?.timeline.eventsCame(bearsContent: hasContent, at: now)
      search.waterfall.entered(.firstToken, at: now)
    }
    switch verdict {
    case .holding: break
    case .open: release()
    case .failed(let fault): attemptFailed(fault)
    }
  }

  func ended(_ end: UpstreamEnd) {
    guard phase == .gated, let verdict = search?.held?.gate.ended(end) else { return }
    switch verdict {
    case .open:
      release()
      owner?.ended(end)
    case .holding: attemptFailed(.emptyBody)
    case .failed(let fault): attemptFailed(fault)
    }
  }

  /// The response is good: the owner gets it, as it came.
  private func release() {
    guard let held = search?.held.take() else { return }
    attempt?.pool.attemptSucceeded(at: context.loop.now)
    commit(held.head, held.framing, isStream: true, upstream)
    // Whoever owned the dispatch may have passed it on meanwhile.
    if let owner { held.replay(to: owner, through: context.loop.input) }
  }
}
