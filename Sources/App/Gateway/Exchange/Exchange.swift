import Bytes
import HTTP
import Loop
import RedisLog
import Sockets
import Streams
import Telemetry
import Time

/// One request and its answer: finds the route, has a backend found, relays what comes, ends truthfully.
///
/// The only type that carries out decisions about one client. Lives on its client's loop.
final class Exchange: ClientExchange, DispatchOwner {
  enum Phase {
    /// No good response yet. → relaying, streaming, over
    case dispatching
    /// The response is no event stream and passes through. → over
    case relaying
    /// The stream is open towards the client; a backend may still be looked for. All goes to the relay. → over
    case streaming
    /// The client reads a run, or waits for one: all that happens goes there. → relaying, over
    case inRun
    case over
  }

  let services: ExchangeServices
  let context: LoopContext
  /// What was in force when the request came: it is served with that to its end.
  let settings: LoopSettings
  let client: any ClientStream
  let method: HTTP.Method
  let openedAt: MonotonicTime
  var stream: EventStream?

  var phase = Phase.dispatching
  /// Needed until the response's head is here.
  var request: RequestHead?
  var route: Route?
  var dispatch: Dispatch?
  /// Who may read the answer from a web page: the route's policy, or that of the runs' own paths.
  var cors: CORSPolicy?
  /// The event stream that goes straight to the client.
  private(set) var relay: StreamRelay?
  /// The client's way to a run.
  var entry: RunEntry?
  /// Decided once, when it is first asked for.
  private var opening: StreamOpening?
  var isClientPaused = false
  var isUpstreamPaused = false
  var lastActivity: MonotonicTime
  /// Whether the client takes what is queued of an answer that is no stream.
  var sendWatch = SendWatch()
  private let bodyFraming: BodyFraming
  var hasWholeRequest: Bool

  init(request: consuming RequestHead, client: any ClientStream, services: ExchangeServices) {
    self.services = services
    context = services.context
    self.client = client
    settings = services.settings
    bodyFraming = request.framing
    hasWholeRequest = !request.framing.mayHaveBytes
    method = request.method
    openedAt = context.loop.readClock()
    lastActivity = openedAt
    self.request = request
  }

  var routeName: String? { route?.settings.name }
  var redis: RedisClient? { entry?.redis }

  func begin() {
    guard let request else { return }
    if context.isDraining, client.wasServed {
      return refuse(.draining, 503, "draining", "the gateway is shutting down; try again", retryAfter: 1)
    }
    if request.fields.wentThrough(ViaName.own) {
      return refuse(.loopDetected, 508, "loop_detected", "the request has come back to the gateway that passed it on")
    }
    if let endpoint = RunEndpoint(request, settings: settings.shared), serve(endpoint, request) { return }
    if let fields = RunEndpoint.preflight(request, settings: settings.shared) { return answerEmpty(with: fields) }
    serveByRoute(request)
  }

  /// Gives the request to the first route that takes it.
  func serveByRoute(_ request: RequestHead) {
    guard let match = settings.shared.match(request) else {
      return refuse(.noRoute, 404, "no_route", "no route serves this path and method")
    }
    if let preflight = match.preflight { return answerEmpty(with: preflight) }
    let route = match.route
    if request.method == .trace {
      return refuse(.badRequest, 405, "trace_refused", "TRACE would show the fields that the gateway adds")
    }
    self.route = route
    cors = route.cors
    if let settings = route.settings.runs,
      let entry = RunEntry(
        request, captures: match.captures, route: route, settings: settings, exchange: self)
    {
      return enter(entry)
    }
    var body: RequestBody?
    if bodyFraming.mayHaveBytes {
      body = RequestBody(framing: bodyFraming, replayLimit: route.replayLimit, budget: services.runs.hub.bodies)
    }
    dispatch(request, body, to: route)
  }

  /// Sends the request to a backend; what comes of the response goes straight to the client.
  private func dispatch(_ request: RequestHead, _ body: RequestBody?, to route: Route) {
    guard services.upstreams.admitsRequest else { return refuseForConnections() }
    let dispatch = Dispatch(
      request: request, body: body, from: client.forwarded, route: route, settings: settings, owner: self,
      context: context)
    self.dispatch = dispatch
    dispatch.begin()
  }

  /// As many connections to backends are in use as there may be.
  func refuseForConnections() {
    refuse(.overload, 503, "overload", "too many requests are at backends", retryAfter: 1)
  }

  /// The memory for requests' bodies is used up.
  func refuseForBodies() {
    refuse(.overload, 503, "overload", "too many requests with bodies are under way", retryAfter: 1)
  }

  /// The memory for runs is used up: the stream goes on without one.
  func goOnUnkept(_ request: RequestHead, _ body: RequestBody?, to route: Route) {
    entry = nil
    phase = .dispatching
    context.shard.increment(context.metrics.unkept)
    dispatch(request, body, to: route)
  }

  /// Answers in the backend's place where there is nothing to say but the fields.
  func answerEmpty(with fields: Fields) {
    phase = .over
    client.answer(ResponseDraft(status: 204, fields: fields))
  }

  /// What an answer of the gateway's own must carry for pages of other origins.
  var crossOriginFields: Fields {
    var fields = Fields()
    if let request, let cors { cors.append(for: request, to: &fields) }
    return fields
  }

  // MARK: - The request's body

  func requestBodyReceived(_ input: InputBuffer, _ range: Range<Int>) {
    lastActivity = context.loop.now
    guard phase != .over else { return }
    let takesMore = entry?.bodyReceived(input, range) ?? dispatch?.bodyReceived(input, range) ?? true
    if !takesMore { pauseClient() }
  }

  func requestBodyEnded() {
    hasWholeRequest = true
    // An entry may hand its body, which has ended then, to a dispatch.
    if let entry { entry.bodyEnded() } else { dispatch?.bodyEnded() }
  }

  private func pauseClient() {
    isClientPaused = true
    client.pauseReading()
  }

  func dispatchTakesBody() {
    guard isClientPaused else { return }
    isClientPaused = false
    lastActivity = context.loop.now
    client.resumeReading()
  }

  func dispatchWantsBody() { client.sendContinue() }

  func dispatchHasNoRoom() {
    guard phase == .streaming else { return refuseForBodies() }
    relay?.finish(.gatewayError, reason: "the memory for requests' bodies is used up")
  }

  func dispatchNeedsTime() { client.exchangeNeedsTime() }

  // MARK: - The response

  func dispatchSucceeded(_ head: consuming ResponseHead, framing: BodyFraming, isStream: Bool) {
    lastActivity = context.loop.now
    if phase == .streaming { return lateResponseCame(status: head.status, isStream: isStream) }
    guard phase == .dispatching, let route, let request = self.request.take() else { return }
    if isStream {
      openStream(head, request, route)
    } else {
      relay(head, request, framing)
    }
  }

  func relay(_ head: borrowing ResponseHead, _ request: borrowing RequestHead, _ framing: BodyFraming) {
    phase = .relaying
    let rules = cors?.rules(services.plainRules, for: request, over: head.fields) ?? services.plainRules
    Forwarding.draftResponse(head, as: rules, into: &context.draft)
    client.sendHead(context.draft, body: framing.plan)
  }

  func decideOpening(_ request: RequestHead, _ route: Route) -> StreamOpening {
    if let opening { return opening }
    let opening = StreamOpening(request: request, route: route, settings: settings, decider: services.decider)
    self.opening = opening
    return opening
  }

  private func openStream(_ head: borrowing ResponseHead, _ request: RequestHead, _ route: Route) {
    phase = .streaming
    let opening = decideOpening(request, route)
    let stream = opening.makeStream(
      context.nextStreamID(), openedAt: openedAt, askedAt: dispatch?.askedAt ?? openedAt, route: route,
      trace: request.traceID)
    self.stream = stream
    let relay = StreamRelay(stream, for: self)
    self.relay = relay
    relay.open(head, opening, request)
  }

  /// Sends the head of an event stream's response.
  ///
  /// - Parameter run: where the events are kept, if they are.
  func sendHead(
    of stream: EventStream, _ head: borrowing ResponseHead, _ opening: StreamOpening, _ request: borrowing RequestHead,
    run: LoggedRun? = nil
  ) {
    let rules = rules(of: stream.mode, for: request, head)
    opening.draftHead(
      head, stream: stream, run: run, resumePath: settings.configuration.runs.streamPath, rules: rules,
      into: &context.draft)
    client.sendHead(context.draft, body: .open)
    stream.closing.headWasSent()
    services.books.opened(stream, route: routeName ?? "", request: request, settings.shared)
  }

  private func rules(
    of mode: Mode, for request: borrowing RequestHead, _ head: borrowing ResponseHead
  ) -> ResponseRules {
    let rules = services.streamRules[mode]
    return cors?.rules(rules, for: request, over: head.fields) ?? rules
  }

  /// The stream is opened though no backend has answered well: proxies on the way would cut a longer silence.
  func dispatchIsLate() {
    guard phase == .dispatching, let request, let route else { return }
    let mode = decideOpening(request, route).mode
    guard mode == .graceful || route.policy.commitsInLegacy else { return }
    self.request = nil
    dispatch?.openedEarly()
    openStream(.eventStream, request, route)
    stream?.clock.backendPaused()
  }

  /// A backend has answered, but the stream was opened before: only what comes next matters now.
  private func lateResponseCame(status: Int, isStream: Bool) {
    guard isStream else {
      relay?.finish(.upstreamError, reason: "the backend answered \(status)")
      return
    }
    stream?.clock.backendResumed(at: context.loop.now)
  }

  func dispatchFailed(_ failure: DispatchFailure) {
    dispatch = nil
    relay?.finish(.upstreamError, reason: failure.summary)
    guard phase == .dispatching else { return }
    phase = .over
    context.shard.increment(context.metrics.refusals[failure.refusal])
    failure.answer(client, with: crossOriginFields)
  }

  func received(_ input: InputBuffer, _ range: Range<Int>) {
    if let relay {
      relay.received(input, range)
    } else if phase == .relaying {
      lastActivity = context.loop.now
      client.send(input, range)
    }
    applyBackPressure()
  }

  private func applyBackPressure() {
    guard !isUpstreamPaused, let route, client.queuedBytes > route.settings.stream.highWater, let dispatch else {
      return
    }
    isUpstreamPaused = true
    dispatch.pauseResponse()
    client.setLowWaterMark(route.settings.stream.lowWater)
    stream?.clock.backendPaused()
    stream?.clock.clientBlocked(at: context.loop.now)
    client.exchangeNeedsTime()
  }

  /// The client's queue is down to its low mark.
  func clientDrained() {
    if let reader = entry?.reader { return reader.clientDrained() }
    stream?.clock.clientCaughtUp(at: context.loop.now)
    guard isUpstreamPaused else { return }
    isUpstreamPaused = false
    client.setLowWaterMark(0)
    stream?.clock.backendResumed(at: context.loop.now)
    lastActivity = context.loop.now
    dispatch?.resumeResponse()
  }

  func ended(_ end: UpstreamEnd) {
    switch phase {
    case .streaming: relay?.ended(end)
    case .relaying:
      self.end(end == .clean ? .relayed : .failed(.cut))
      client.end(end == .clean ? .complete : .cut, &context.loop.scratch.buffer)
    case .dispatching, .inRun, .over: break
    }
  }

  // MARK: - Endings

  /// Nothing more is wanted of the backend.
  func end(_ result: AttemptResult) {
    phase = .over
    relay = nil
    dispatch?.finish(result)
    dispatch = nil
  }

  /// Gives the backend's response to somebody else, who lets the backend go.
  func handOver() -> Dispatch? {
    phase = .over
    relay = nil
    return dispatch.take()
  }

  /// Ends the event stream, if there is one, though the backend has not.
  func finishStream(_ outcome: Outcome, reason: String) {
    entry?.reader?.finish(outcome, reason: reason)
    relay?.finish(outcome, reason: reason)
  }

  /// The client's connection is gone.
  func clientGone() {
    guard phase != .over else { return }
    if let entry = entry.take() {
      phase = .over
      return entry.clientGone(isWhole: hasWholeRequest)
    }
    if let relay { return relay.clientGone() }
    end(.ended(.clientGone))
    noteAbort()
  }

  private func noteAbort() {
    context.log.write(.debug, "request_abandoned", at: context.loop.wallTime()) { line in
      line.field("route", routeName ?? "")
      line.field("milliseconds", Int((context.loop.now - openedAt).milliseconds))
    }
  }

  /// The client sends no more. It may be listening still.
  func clientHalfClosed() {
    if phase == .streaming || phase == .dispatching || phase == .inRun, route?.settings.stream.onHalfClose == .cancel {
      client.close()
      return clientGone()
    }
    client.probe()
  }

  /// The client's request broke its own framing; nothing of the answer can be trusted any more.
  func clientBrokeFraming() {
    guard phase != .over else { return }
    if phase == .streaming || phase == .inRun { return clientGone() }
    end(.ended(.clientGone))
  }

  func refuse(_ refusal: Refusal, _ status: Int, _ code: String, _ detail: String, retryAfter: Int? = nil) {
    entry = nil
    end(.ended(.clientGone))
    context.shard.increment(context.metrics.refusals[refusal])
    var fields = crossOriginFields
    if let retryAfter { fields.append(.retryAfter, decimal: retryAfter) }
    client.refuse(ErrorResponse(status: status, code: code, message: detail, fields: fields))
  }
}
