import Bytes
import Configuration
import HTTP
import JSON
import Loop
import Streams
import Telemetry

// The client reads a run.
extension Exchange {
  func enter(_ entry: RunEntry) {
    machine.isAnswered(by: entry)
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
    guard let place = endpoint.place(for: asked, in: runs.process.index) else {
      if serveShared(endpoint, request, asked) { return true }
      if case .read(_, isStrict: false) = endpoint, settings.shared.match(request) != nil { return false }
      refuse(.noRoute, 404, "unknown_run", "there is no such run")
      return true
    }
    serve(place.route)
    switch endpoint {
    case .read:
      let entry = RunEntry(request, asked: asked, place: place, exchange: self)
      machine.isAnswered(by: entry)
      entry.attach(to: place)
    case .stop:
      runs.stop(place, reason: EndReason.clientAsked.text)
      answerEmpty(with: ownFields)
    case .summarize:
      machine.seeksRun()
      RunSummaryQuery(at: place, among: runs) { [weak self] state in self?.answer(state) }.begin()
    }
    return true
  }

  func answer(_ state: RunSummary?) {
    guard phase == .inRun else { return }
    guard let state else { return refuse(.noRoute, 404, "unknown_run", "there is no such run") }
    var fields = ownFields
    fields.append(.contentType, literal: "application/json")
    fields.append(.cacheControl, literal: "no-store")
    let body = state.document.text() + "\n"
    answered(200, by: .gateway)
    responderLeft()
    client.answer(ResponseDraft(status: 200, fields: fields), body.utf8Span.span)
  }

  func runFailed(_ failure: RunFailure) {
    switch failure {
    case .noResponse(let failure): tell(failure)
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
