import Bytes
import HTTP
import JSON
import Loop
import Streams
import Telemetry

// The client reads a run.
extension Exchange {
  func enter(_ entry: RunEntry) {
    phase = .inRun
    self.entry = entry
    entry.begin()
  }

  /// Answers a request about a run that it names in its path.
  ///
  /// - Returns: false when a route may serve it.
  func serve(_ endpoint: RunEndpoint, _ request: RequestHead) -> Bool {
    var asked = RunRequest(
      request, captures: PathCaptures(), settings: RunSettings(), common: settings.configuration.runs)
    if case .read(_, isStrict: true) = endpoint { asked.isByStream = true }
    cors = settings.shared.runPolicy(for: request)
    guard let place = endpoint.place(for: asked, in: services.runs.hub.directory) else {
      if serveShared(endpoint, request, asked) { return true }
      if case .read(_, isStrict: false) = endpoint, settings.shared.match(request) != nil { return false }
      refuse(.noRoute, 404, "unknown_run", "there is no such run")
      return true
    }
    serve(place.route)
    phase = .inRun
    switch endpoint {
    case .read:
      let entry = RunEntry(request, asked: asked, place: place, exchange: self)
      self.entry = entry
      entry.attach(to: place)
    case .stop:
      services.runs.stop(place, reason: "a client has asked for it")
      phase = .over
      answerEmpty(with: crossOriginFields)
    case .look:
      RunLook(at: place, among: services.runs) { [weak self] state in self?.answer(state) }.begin()
    }
    return true
  }

  /// The run has turned out to be this route's.
  func serve(_ route: Route) {
    self.route = route
    cors = settings.shared.runPolicy(of: route)
  }

  func answer(_ state: RunSummary?) {
    guard phase == .inRun else { return }
    guard let state else { return refuse(.noRoute, 404, "unknown_run", "there is no such run") }
    phase = .over
    var fields = crossOriginFields
    fields.append(.contentType, literal: "application/json")
    fields.append(.cacheControl, literal: "no-store")
    let body = state.document.text() + "\n"
    client.answer(ResponseDraft(status: 200, fields: fields), body.utf8Span.span)
  }

  func readerOpened(_ stream: EventStream) { self.stream = stream }

  func readerLeft() {
    phase = .over
    entry = nil
  }

  /// The backend's response to the request is no stream: it passes through as on any route.
  func takeOver(_ dispatch: Dispatch, _ head: consuming ResponseHead, _ framing: BodyFraming) {
    guard phase == .inRun, let request else { return dispatch.cancel() }
    entry = nil
    self.dispatch = dispatch
    self.request = nil
    lastActivity = context.loop.now
    dispatch.pass(to: self)
    relay(head, request, framing)
  }

  func runFailed(_ failure: RunFailure) {
    switch failure {
    case .dispatch(let failure):
      phase = .over
      context.shard.increment(context.metrics.refusals[failure.refusal])
      failure.answer(client, with: crossOriginFields)
    case .noStream:
      refuse(.badUpstream, 503, "no_stream", "the response that was waited for is no stream; ask again", retryAfter: 1)
    case .noRoom: refuseForBodies()
    case .gone:
      refuse(.noRoute, 404, "unknown_stream", "there is no such stream")
    case .stopped(let reason):
      refuse(.badUpstream, 503, "run_stopped", "the run was stopped before its stream began: \(reason)", retryAfter: 1)
    }
  }
}
