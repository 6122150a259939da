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
final class UpstreamRequest: SentRequest {
  private let context: LoopContext
  let route: Route
  let method: HTTP.Method
  private let body: RequestBody?
  private var owner: (any UpstreamRequestOwner)?
  private var state: State
  /// Backends whose attempts failed.
  private var failedAttempts = 0

  /// The backend that is being asked, or whose response was good. Not in the state: each event notes its time here.
  private var attempt: Attempt?

  private enum State {
    /// → awaitingHead, over
    case connecting(UpstreamSearch)
    /// The request is on its way. → connecting, gated, committed, over
    case awaitingHead(UpstreamSearch)
    /// The body is looked at before anybody is told of it. → connecting, committed, over
    case gated(UpstreamSearch, HeldResponse)
    /// The owner has the response. Nobody is asked again: an idle stream needn't hold what was needed for it. → over
    case committed
    case over
  }

  /// A response whose head has come.
  private struct Response: ~Copyable {
    let head: ResponseHead
    let framing: BodyFraming
    let answer: Answer
  }

  init(
    request: RequestHead, body: RequestBody?, from forwarded: ForwardedClient, route: Route, settings: LoopSettings,
    owner: any UpstreamRequestOwner, record: RequestRecord, stream: StreamID? = nil, opening: WebSocketOpening? = nil,
    context: LoopContext
  ) {
    method = request.method
    self.body = body
    self.route = route
    self.owner = owner
    self.context = context
    state = .connecting(
      UpstreamSearch(
        for: request, body, from: forwarded, on: route, settings: settings, record: record,
        stream: stream ?? record.stream, opening: opening, at: context.loop.now))
  }

  /// What is needed until a response is good.
  private var search: UpstreamSearch? {
    switch state {
    case .connecting(let search), .awaitingHead(let search), .gated(let search, _): search
    case .committed, .over: nil
    }
  }

  private var isOver: Bool {
    if case .over = state { true } else { false }
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

  /// The one place where what the waterfall decides is done.
  ///
  /// - Parameter response: the one that it was asked about.
  private func perform(_ action: Waterfall.Action, _ search: UpstreamSearch, with response: consuming Response? = nil) {
    switch action {
    case .nothing, .quiet: break
    case .attempt(let index): ask(index, search)
    case .exhausted: giveUp(search)
    case .relay: if let response { relay(response, search) }
    case .open: if let response { open(response, search) }
    case .gate: if let response { hold(response, search) }
    case .release: release()
    case .moveOn(let fault): attemptFailed(fault)
    case .openNow: owner?.requestIsLate()
    }
  }

  private func ask(_ index: Int, _ search: UpstreamSearch) {
    let pool = search.pools[index]
    search.record.asks(pool.settings.name, at: pool.settings.url.host, tier: route.candidates[index].tier)
    pool.attemptBegan()
    start(on: pool, search)
  }

  private func giveUp(_ search: UpstreamSearch) {
    let failure = UpstreamRequestFailure(
      reports: search.waterfall.reports, upstreams: search.pools.map(\.settings.name),
      retryAfter: search.waterfall.retryAfter, isTransparent: route.policy.isTransparent,
      mayHaveHadEffect: search.waterfall.mayHaveHadEffect)
    let owner = self.owner
    end()
    owner?.requestFailed(failure)
  }

  private func start(on pool: UpstreamPool, _ search: UpstreamSearch, isRepeated: Bool = false) {
    state = .connecting(search)
    attempt = Attempt(pool, at: context.loop.now, isRepeated: isRepeated)
    if !isRepeated, let kept = pool.take() { return connected(kept) }
    // The dial keeps this request alive until it completes or is cancelled; one of the two always happens.
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
      self.search?.waterfall.entered(.tls)
    }
    attempt?.dial = dial
  }

  private func connected(_ upstream: UpstreamConnection) {
    guard attempt != nil, let search else { return upstream.close() }
    let now = context.loop.now
    attempt?.connected(upstream, at: now)
    state = .awaitingHead(search)
    search.waterfall.entered(.head)
    upstream.connection.readAllowance = owner?.readAllowance
    upstream.serve(self)
    context.upstreamHead.removeAll()
    attempt?.pool.writeHead(for: search, into: &context.upstreamHead)
    if search.opening != nil { context.upstreamHead.addUpgrade() }
    context.upstreamHead.withSpan { upstream.send($0) }
    guard let body else { return upstream.requestWasSent() }
    if search.request.expectsContinue, !body.isComplete, !search.hasSentContinue {
      search.hasSentContinue = true
      owner?.requestWantsBody()
    }
    body.send(to: upstream)
    owner?.requestTakesBody()
  }

  /// The attempt is over without a good response.
  private func attemptFailed(_ fault: AttemptFault) {
    guard let search else { return }
    // What was held goes: the next one is asked, or nobody.
    state = .connecting(search)
    search.sendWatch.caughtUp()
    let action = search.waterfall.failed(fault, at: context.loop.readClock())
    let reports = search.waterfall.reports
    failedAttempts = reports.count
    // The waterfall knows whether the attempt had its own time: one that was given none is not to blame.
    if let report = reports.last {
      search.record.attemptFailed(report)
      attempt.take()?.failed(report, of: search.request, on: route, record: search.record, context: context)
    }
    perform(action, search)
    owner?.requestNeedsTime()
  }

  /// The attempt ended before there was a response.
  func upstreamFailed(_ failure: UpstreamFailure) {
    let wasUsed = upstream?.wasUsed ?? false
    attempt?.upstreamLeft()
    guard case .awaitingHead(let search) = state, let pool = attempt?.pool else { return }
    switch failure {
    case .ended(_, let receivedNothing)
    where wasUsed && receivedNothing && attempt?.isRepeated == false && method.isIdempotent && body == nil:
      // A kept connection may die just when it is used. Where asking twice does no harm, a fresh one is tried, once.
      context.shard.increment(context.metrics.upstreamRetries)
      start(on: pool, search, isRepeated: true)
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
    guard let body, !isOver else { return true }
    let isForwarded = upstream != nil
    switch body.append(input.slice(range), isForwarded: isForwarded) {
    case .taken: break
    case .outgrown: search?.waterfall.bodyOutgrewReplay()
    case .refused:
      owner?.requestHasNoRoom()
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
    owner?.requestTakesBody()
  }

  // MARK: - The response

  func headReceived(_ head: consuming ResponseHead, framing: BodyFraming) {
    guard case .awaitingHead(let search) = state, upstream != nil else { return }
    let now = context.loop.readClock()
    attempt?.timeline.headAt = now
    attempt?.pool.headCame(head.status)
    if let index = head.fields.firstIndex(of: .xRequestID) {
      search.record.backendID = [UInt8](copying: head.fields.value(at: index))
    }
    search.record.spans?.attemptReached("head")
    let answer = head.answer(to: search.request, framing: framing, at: context.loop.wallTime())
    if answer.kind == .encodedEvents { warnOfEncoding() }
    let action = search.waterfall.receivedHead(answer, at: now)
    perform(action, search, with: Response(head: head, framing: framing, answer: answer))
  }

  private func relay(_ response: consuming Response, _ search: UpstreamSearch) {
    attempt?.pool.answered(
      response.answer, to: search.request, isJudged: !route.policy.isTransparent, at: context.loop.now)
    commit(response.head, response.framing, isStream: false, search)
  }

  private func open(_ response: consuming Response, _ search: UpstreamSearch) {
    attempt?.pool.attemptSucceeded(at: context.loop.now)
    commit(response.head, response.framing, isStream: true, search)
  }

  private func hold(_ response: consuming Response, _ search: UpstreamSearch) {
    let gate = Gate(
      condition: route.policy.gate, classifier: route.classifier, limit: route.policy.preambleLimit)
    state = .gated(search, HeldResponse(head: response.head, framing: response.framing, gate: gate))
    upstream?.deliver(to: self)
  }

  var asksToSwitch: Bool { search?.opening != nil }

  /// The backend says that it has opened a WebSocket.
  func protocolSwitched(_ head: consuming ResponseHead, _ input: InputBuffer, _ range: Range<Int>) {
    guard case .awaitingHead(let search) = state, let upstream else { return }
    let now = context.loop.readClock()
    attempt?.timeline.headAt = now
    attempt?.pool.headCame(head.status)
    guard search.opening?.isAccepted(by: head) == true else {
      return attemptFailed(.malformed("it switches to another protocol than the one that was asked for"))
    }
    attempt?.pool.attemptSucceeded(at: now)
    noteFailover(search)
    search.waterfall.committed()
    state = .committed
    // Whoever takes the connection is told all that follows.
    owner.take()?.requestSwitched(head, upstream.connection, input, range)
  }

  private func warnOfEncoding() {
    context.log.write(.warning, .streamEncoded, at: context.loop.wallTime()) { line in
      line.field("route", route.settings.name)
      line.field("reason", "the backend compressed an event stream though identity was asked for; it passes as it is")
    }
  }

  private func commit(
    _ head: consuming ResponseHead, _ framing: BodyFraming, isStream: Bool, _ search: UpstreamSearch
  ) {
    search.record.spans?.attemptCommitted(status: head.status)
    noteFailover(search)
    search.waterfall.committed()
    state = .committed
    body?.forget()
    guard let owner else { return }
    upstream?.deliver(to: owner)
    owner.requestSucceeded(head, framing: framing, isStream: isStream)
  }

  private func noteFailover(_ search: UpstreamSearch) {
    let pools = search.pools
    guard pools.count > 1, let pool = attempt?.pool,
      let index = pools.firstIndex(where: { $0 === pool }),
      let first = route.candidates.map(\.tier).min(), route.candidates[index].tier > first
    else { return }
    context.routes.failedOver(on: route.settings.name)
  }

  /// Passes everything that comes from here on to another owner; that is the body, where the response is good.
  func pass(to owner: any UpstreamRequestOwner) {
    self.owner = owner
    upstream?.connection.readAllowance = owner.readAllowance
    if case .committed = state { upstream?.deliver(to: owner) }
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
    guard !isOver else { return }
    attempt.take()?.ended(result, at: context.loop.now)
    end()
  }

  /// Nobody wants the response any more.
  func cancel() { finish(.ended(.clientGone)) }

  private func end() {
    state = .over
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
    guard let search else { return now + .seconds(3600) }
    let action = search.waterfall.timePassed(at: now)
    guard case .quiet(let until) = action else {
      perform(action, search)
      return now
    }
    guard let next = checkBody(search, now) else { return until }
    if next > now { return min(next, until) }
    perform(search.waterfall.passed(.body), search)
    return now
  }

  /// Checks whether the backend takes the request's body.
  ///
  /// - Returns: when to look again: `now` when it has taken nothing for too long; `nil` when there is no body.
  private func checkBody(_ search: UpstreamSearch, _ now: MonotonicTime) -> MonotonicTime? {
    guard let body, let upstream else { return nil }
    switch state {
    case .awaitingHead: break
    case .gated: if body.isComplete { return nil }
    case .connecting, .committed, .over: return nil
    }
    let limit = search.settings.configuration.limits.bodyTimeout
    if upstream.queuedBytes == 0 {
      search.sendWatch.caughtUp()
    } else {
      search.sendWatch.measureProgress(of: upstream.connection, now)
    }
    return search.sendWatch.isStalled(for: limit, at: now) ? now : now + SendWatch.pause(of: limit)
  }
}

// While the gate holds the response.
extension UpstreamRequest: ResponseSink {
  func received(_ input: InputBuffer, _ range: Range<Int>) {
    guard case .gated(let search, let held) = state else { return }
    let now = context.loop.readClock()
    let verdict = held.gate.receive(input.slice(range))
    if held.gate.hasFirstEvent {
      let hasContent = held.gate.hasContent
      if search.waterfall.phase != .firstToken { search.record.spans?.attemptReached("first_event") }
      if hasContent { search.record.spans?.attemptReached("first_token") }
      attempt?.timeline.eventsCame(bearsContent: hasContent, at: now)
      search.waterfall.entered(.firstToken)
    }
    perform(search.waterfall.gateSaid(verdict), search)
  }

  func ended(_ end: UpstreamEnd) {
    guard case .gated(let search, let held) = state else { return }
    let verdict = held.gate.ended(end)
    perform(search.waterfall.gateSaid(verdict == .holding ? .failed(.emptyBody) : verdict), search)
    if verdict == .open { owner?.ended(end) }
  }

  /// The response is good: the owner gets it, as it came.
  private func release() {
    guard case .gated(let search, let held) = state else { return }
    attempt?.pool.attemptSucceeded(at: context.loop.now)
    commit(held.head, held.framing, isStream: true, search)
    // Whoever owned the request may have passed it on meanwhile.
    if let owner { held.replay(to: owner, through: context.loop.input) }
  }
}
