import Bytes
import Configuration
import HTTP
import Logging
import Loop
import Runs
import Sockets
import Streams
import Telemetry
import Time
import Tracing
import Upstreams

/// One request of a client: finds the route, has a backend or a run found, and gives the request to whoever answers it.
///
/// `ExchangeMachine` holds who that is; here it is acted on. Lives on its client's loop.
final class Exchange: ClientExchange, UpstreamRequestOwner, RunReaderHost {
  /// What it shares with the other exchanges of its loop.
  private let maker: ExchangeMaker
  /// What was in force when the request came: it is served with that to its end.
  let settings: LoopSettings
  let client: any ClientStream
  let method: HTTP.Method
  let openedAt: MonotonicTime
  let record: RequestRecord

  var machine = ExchangeMachine<UpstreamRequest, any Responder>()
  /// Needed until the response's head is here.
  private(set) var request: RequestHead?
  private(set) var route: Route?
  /// Who may read the answer from a web page: the route's policy, or that of the runs' own paths.
  var cors: CORSPolicy?
  /// Decided once, when it is first asked for.
  private var opening: StreamOpening?
  private(set) var isClientPaused = false
  var lastActivity: MonotonicTime
  private let bodyFraming: BodyFraming
  private(set) var hasWholeRequest: Bool

  init(
    request: consuming RequestHead, client: any ClientStream, settings: LoopSettings, maker: ExchangeMaker
  ) {
    self.client = client
    self.settings = settings
    self.maker = maker
    let context = maker.context
    bodyFraming = request.framing
    hasWholeRequest = !request.framing.mayHaveBytes
    method = request.method
    openedAt = context.loop.readClock()
    lastActivity = openedAt
    record = RequestRecord(
      request, id: context.nextStreamID(), from: client.forwarded,
      logged: settings.configuration.log.clientAddress.text(for: client.forwarded, request.fields),
      redactions: settings.shared.redactions, tracer: context.tracer, at: openedAt)
    self.request = request
  }

  var context: LoopContext { maker.context }
  var readAllowance: ReadAllowance? { client.readAllowance }
  var streams: StreamOpener { maker.streams }
  var upstreams: UpstreamRoom { maker.upstreams }
  var runs: LoopRuns { maker.runs }

  var phase: ExchangeMachine<UpstreamRequest, any Responder>.Phase { machine.phase }
  var stream: ClientDelivery? { machine.answerer?.openStream }
  var backend: BackendStanding? { machine.answerer?.backend }
  var routeName: String? { route?.settings.name }
  var isWaiting: Bool { phase != .over && !client.headIsSent }
  /// The client's way to a run.
  private var entry: RunEntry? { machine.answerer as? RunEntry }
  var store: (any RunStore)? { entry?.store }

  // MARK: - Who serves the request

  func begin() {
    guard let request else { return }
    if context.isDraining, client.wasServed {
      return refuseAtDrain()
    }
    if request.fields.wentThrough(ViaName.own) {
      return refuse(.loopDetected, 508, "loop_detected", "the request has come back to the gateway that passed it on")
    }
    if let endpoint = RunEndpoint(request, settings: settings.shared), serve(endpoint, request) { return }
    if let fields = RunEndpoint.preflight(request, settings: settings.shared) { return answerPreflight(fields) }
    serveByRoute(request)
  }

  /// Gives the request to the first route that takes it.
  func serveByRoute(_ request: RequestHead) {
    guard let match = settings.shared.match(request) else {
      return refuse(.noRoute, 404, "no_route", "no route serves this path and method")
    }
    if let preflight = match.preflight { return answerPreflight(preflight) }
    let route = match.route
    if request.method == .trace {
      return refuse(.badRequest, 405, "trace_refused", "TRACE would show the fields that the gateway adds")
    }
    let wantsWebSocket = route.settings.takesWebSockets && WebSocketOpening.isWanted(by: request)
    if !wantsWebSocket, request.version != .http10, let name = request.fields.wantedProtocol {
      return refuseUpgrade(to: name, route)
    }
    self.route = route
    record.route = route.settings.name
    cors = route.cors
    if wantsWebSocket { return openWebSocket(request, on: route) }
    if let settings = route.settings.runs,
      let entry = RunEntry(
        request, captures: match.captures, route: route, settings: settings, exchange: self)
    {
      return enter(entry)
    }
    var body: RequestBody?
    if bodyFraming.mayHaveBytes {
      body = RequestBody(framing: bodyFraming, replayLimit: route.replayLimit, budget: runs.process.bodies)
    }
    askBackends(request, body, to: route)
  }

  /// The run has turned out to be this route's.
  func serve(_ route: Route) {
    self.route = route
    record.route = route.settings.name
    cors = settings.shared.runPolicy(of: route)
  }

  /// Sends the request to a backend; what comes of the response goes straight to the client.
  func askBackends(
    _ request: RequestHead, _ body: RequestBody?, to route: Route, opening: WebSocketOpening? = nil
  ) {
    guard upstreams.admitsRequest else { return refuseForConnections() }
    let upstreamRequest = UpstreamRequest(
      request: request, body: body, from: client.forwarded, route: route, settings: settings, owner: self,
      record: record, opening: opening, context: context)
    machine.asks(upstreamRequest)
    upstreamRequest.begin()
  }

  /// The memory for runs is used up: the stream goes on without one.
  func goOnUnkept(_ request: RequestHead, _ body: RequestBody?, to route: Route) {
    machine.goesBack()
    context.shard.increment(context.metrics.unkept)
    askBackends(request, body, to: route)
  }

  func decideOpening(_ request: RequestHead, _ route: Route) -> StreamOpening {
    if let opening { return opening }
    let opening = streams.decide(request, route, settings)
    self.opening = opening
    return opening
  }

  // MARK: - The request's body

  func requestBodyReceived(_ input: InputBuffer, _ range: Range<Int>) {
    lastActivity = context.loop.now
    record.bytesIn += range.count
    let takesMore =
      machine.answerer?.bodyReceived(input, range) ?? machine.asker?.bodyReceived(input, range) ?? true
    guard !takesMore else { return }
    isClientPaused = true
    client.pauseReading()
  }

  func requestBodyEnded() {
    hasWholeRequest = true
    // A run's entry may hand its body, which has ended then, to a request.
    if let answerer = machine.answerer { answerer.bodyEnded() } else { machine.asker?.bodyEnded() }
  }

  func takesBody() {
    guard isClientPaused else { return }
    isClientPaused = false
    lastActivity = context.loop.now
    client.resumeReading()
  }

  // MARK: - While backends are asked

  func requestTakesBody() { takesBody() }
  func requestWantsBody() { client.sendContinue() }
  func requestHasNoRoom() { refuseForBodies() }
  func requestNeedsTime() { client.exchangeNeedsTime() }

  func requestSucceeded(_ head: consuming ResponseHead, framing: BodyFraming, isStream: Bool) {
    guard let upstreamRequest = machine.asker, let route, let request = self.request.take() else { return }
    if isStream {
      openStream(from: upstreamRequest, head, request, route)
    } else {
      relay(upstreamRequest, head, request, framing, route)
    }
  }

  func requestFailed(_ failure: UpstreamRequestFailure) {
    guard phase == .asking else { return }
    tell(failure)
  }

  /// The stream is opened though no backend has answered well: proxies on the way would cut a longer silence.
  func requestIsLate() {
    guard let upstreamRequest = machine.asker, let request, let route else { return }
    let mode = decideOpening(request, route).mode
    guard mode == .graceful || route.policy.commitsInLegacy else { return }
    self.request = nil
    upstreamRequest.openedEarly()
    openStream(from: upstreamRequest, .eventStream, request, route, isEarly: true)
  }

  // The responder takes the body of a response.
  func received(_ input: InputBuffer, _ range: Range<Int>) {}
  func ended(_ end: UpstreamEnd) {}

  // MARK: - Responders

  private func openStream(
    from upstreamRequest: UpstreamRequest, _ head: borrowing ResponseHead, _ request: RequestHead, _ route: Route,
    isEarly: Bool = false
  ) {
    let opening = decideOpening(request, route)
    let (feed, delivery) = opening.makeStream(
      record.stream, to: client, openedAt: openedAt, askedAt: upstreamRequest.askedAt ?? openedAt, route: route,
      books: streams.books, context: context)
    let relay = StreamRelay(
      feed, from: upstreamRequest, to: delivery, route.settings.stream,
      tails: settings.configuration.shadow.readsTails ? maker.tails : nil, for: self)
    machine.isAnswered(by: relay)
    upstreamRequest.pass(to: relay)
    sendHead(of: delivery, head, opening, request, run: nil)
    relay.open(isEarly: isEarly)
  }

  func sendHead(
    of stream: ClientDelivery, _ head: borrowing ResponseHead, _ opening: StreamOpening,
    _ request: borrowing RequestHead,
    run: Run?
  ) {
    answered(head.status, by: .upstream)
    record.isStream = true
    if let run {
      record.run = (true, run.ownID)
      record.runTrace = run.identity.trace
    }
    stream.record = record
    // An idle stream needn't hold what was needed to open it.
    self.opening = nil
    streams.sendHead(
      of: stream, head, opening, request, run: run, route: routeName ?? "", cors: cors, settings: settings.shared,
      to: client)
  }

  private func relay(
    _ upstreamRequest: UpstreamRequest, _ head: borrowing ResponseHead, _ request: borrowing RequestHead,
    _ framing: BodyFraming,
    _ route: Route
  ) {
    let response = RelayedResponse(upstreamRequest, on: route, limits: settings.configuration.limits, for: self)
    machine.isAnswered(by: response)
    upstreamRequest.pass(to: response)
    let rules = cors?.rules(ResponseRules.unchanged, for: request, over: head.fields) ?? ResponseRules.unchanged
    Forwarding.draftResponse(head, as: rules, into: &context.draft)
    record.writeFields(to: &context.draft)
    answered(head.status, by: .upstream)
    client.sendHead(context.draft, body: framing.plan)
  }

  /// The backend's response to the request is no stream: it passes through as on any route.
  func takeOver(_ upstreamRequest: UpstreamRequest, _ head: consuming ResponseHead, _ framing: BodyFraming) {
    guard phase == .answering, let route, let request = self.request.take() else { return upstreamRequest.cancel() }
    relay(upstreamRequest, head, request, framing, route)
  }

  func responderLeft() {
    machine.isOver()
    done()
  }

  /// Ends the event stream, if there is one, though the backend has not.
  func finishStream(_ outcome: Outcome, reason: String) { machine.answerer?.finish(outcome, reason: reason) }

  func drainIsOver() {
    guard isWaiting else { return }
    // Who was to answer must not open a stream for a client that is told to go elsewhere.
    perform(machine.ends())
    refuseAtDrain()
  }

  private func refuseAtDrain() {
    refuse(.draining, 503, "draining", "the gateway is shutting down; try again", retryAfter: 1)
  }

  // MARK: - The client

  /// The client's queue is down to its low mark.
  func clientDrained() { machine.answerer?.clientDrained() }

  /// The client's connection is gone.
  func clientGone() {
    guard phase != .over else { return }
    if !client.headIsSent, !context.isStopping { answered(499, by: .gateway) }
    // Whoever answers notes it.
    if phase != .answering { noteAbandoned() }
    perform(machine.ends())
    done()
  }

  /// The client sends no more. It may be listening still.
  func clientHalfClosed() {
    let mayEnd = machine.answerer?.mayEndWithHalfClose ?? (phase != .over)
    if mayEnd, route?.settings.stream.onHalfClose == .cancel {
      client.close()
      return clientGone()
    }
    client.probe()
  }

  /// The client's request broke its own framing; nothing of the answer can be trusted any more.
  func clientBrokeFraming(status: Int, code: String) -> Fields {
    if !client.headIsSent {
      record.code = code
      answered(status, by: .gateway)
    }
    perform(machine.ends())
    done()
    return ownFields
  }

  func noteAbandoned() {
    context.log.write(.debug, .requestAbandoned, at: context.loop.wallTime()) { line in
      line.field("route", routeName ?? "")
      line.field("milliseconds", Int((context.loop.now - openedAt).milliseconds))
    }
  }

  // MARK: - What the machine decides

  /// The one place where it is carried out.
  func perform(_ action: ExchangeMachine<UpstreamRequest, any Responder>.Action) {
    switch action {
    case .nothing: break
    case .cancel(let upstreamRequest): upstreamRequest.cancel()
    case .dismiss(let responder): responder.clientGone(isWhole: hasWholeRequest)
    }
  }

  // MARK: - Answers of the gateway's own

  func answered(_ status: Int, by origin: ResponseOrigin) {
    context.routes.answered(status, by: origin, on: routeName)
    record.answered(status, by: origin, at: context.loop.now)
  }

  /// Tells of the request, which is over; where it has become a stream, that one's end does.
  private func done() {
    guard !record.isStream else { return }
    record.write(to: context.log, at: context.loop.readClock(), context.loop.wallTime())
  }

  /// Answers in the backend's place where there is nothing to say but the fields.
  func answerEmpty(with fields: Fields) {
    machine.isOver()
    answered(204, by: .gateway)
    done()
    client.answer(ResponseDraft(status: 204, fields: fields))
  }

  private func answerPreflight(_ preflight: Fields) {
    var fields = preflight
    record.append(to: &fields)
    answerEmpty(with: fields)
  }

  /// No backend gave a good response.
  func tell(_ failure: UpstreamRequestFailure) {
    machine.isOver()
    context.shard.increment(context.metrics.refusals[failure.refusal])
    answered(failure.status, by: .gateway)
    record.code = failure.code
    record.ends(by: nil, limit: failure.limit)
    done()
    let isFull = settings.configuration.errorDetail.isFull(listeningAt: settings.configuration.listen)
    failure.answer(client, with: ownFields, request: record.id, isFull: isFull)
  }

  /// What an answer of the gateway's own carries: its request's id, and what pages of other origins need.
  var ownFields: Fields {
    var fields = Fields()
    record.append(to: &fields)
    if let request, let cors { cors.append(for: request, to: &fields) }
    return fields
  }

  /// As many connections to backends are in use as there may be.
  func refuseForConnections() {
    refuse(.overload, 503, "overload", "too many requests are at backends", retryAfter: 1)
  }

  /// The memory for requests' bodies is used up.
  func refuseForBodies() {
    refuse(.overload, 503, "overload", "too many requests with bodies are under way", retryAfter: 1)
  }

  /// What such a client sends next is no HTTP, so the connection is of no use after the answer.
  private func refuseUpgrade(to name: String, _ route: Route) {
    // The client's own words: as much as a known name has, and not a whole head.
    let name = String(name.prefix(32))
    context.log.write(.info, .upgradeRefused, at: context.loop.wallTime()) { line in
      line.field("protocol", name)
      line.field("route", route.settings.name)
    }
    noteRefusal(.upgrade, 501, "upgrade_refused")
    client.refuse(
      ErrorResponse(
        problem: 501, code: "upgrade_refused", detail: "the gateway does not switch to another protocol",
        fields: ownFields))
  }

  func refuse(_ refusal: Refusal, _ status: Int, _ code: String, _ detail: String, retryAfter: Int? = nil) {
    noteRefusal(refusal, status, code)
    var fields = ownFields
    if let retryAfter { fields.append(.retryAfter, decimal: retryAfter) }
    client.refuse(ErrorResponse(status: status, code: code, message: detail, fields: fields))
  }

  func noteRefusal(_ refusal: Refusal, _ status: Int, _ code: String) {
    perform(machine.isRefused())
    context.shard.increment(context.metrics.refusals[refusal])
    answered(status, by: .gateway)
    record.code = code
    done()
  }
}

extension ResponseRules {
  /// A response that is no event stream passes as it is.
  fileprivate static let unchanged = ResponseRules(dropped: [.xRequestID])
}
