import Configuration
import HTTP
import JSON
import Loop
import SSE
import Streams
import Time

/// A request about a run that names it in its path.
enum RunEndpoint {
  /// Reads the run. When it is not known, a route may serve the path.
  case read(name: String, isStrict: Bool)
  /// Says how it stands.
  case summarize(name: String)
  /// Stops it.
  case stop(name: String)

  /// `nil` when the request is for the routes.
  init?(_ request: borrowing RequestHead, settings: Settings) {
    guard settings.hasRuns else { return nil }
    self.init(request.method, request.path, paths: settings.configuration.runs)
  }

  private init?(_ method: HTTP.Method, _ path: Span<UInt8>, paths: CommonRunSettings) {
    guard method == .get || method == .delete else { return nil }
    if let name = paths.runPath?.match(path)?[CommonRunSettings.runCapture] {
      self = method == .delete ? .stop(name: name) : .summarize(name: name)
      return
    }
    guard method == .get else { return nil }
    if let name = paths.streamPath?.match(path)?[CommonRunSettings.streamCapture] {
      self = .read(name: name, isStrict: true)
    } else if let name = paths.readPath?.match(path)?[CommonRunSettings.runCapture] {
      self = .read(name: name, isStrict: false)
    } else {
      return nil
    }
  }

  /// The answer to a page that asks whether it may make such a request; `nil` when the routes answer.
  static func preflight(_ request: borrowing RequestHead, settings: Settings) -> Fields? {
    guard settings.hasRuns, let method = CORSPolicy.methodAskedFor(by: request),
      let endpoint = RunEndpoint(method, request.path, paths: settings.configuration.runs)
    else { return nil }
    if case .read(_, isStrict: false) = endpoint, let fields = settings.match(request)?.preflight { return fields }
    return settings.runPolicy(for: request)?.preflight(request)
  }

  var name: String {
    switch self {
    case .read(let name, _), .summarize(let name), .stop(let name): name
    }
  }

  /// The run that it is about, if the client may know of it.
  func place(for asked: RunRequest, in index: RunIndex) -> RunPlace? {
    if let stream = StreamID(parsing: name.utf8Span.span), let place = index.find(stream, of: asked.principal) {
      return place
    }
    return asked.name(name).flatMap { index.find(alias: $0) }
  }
}
