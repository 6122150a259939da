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
  case look(name: String)
  /// Stops it.
  case stop(name: String)

  /// `nil` when the request is for the routes.
  init?(_ request: borrowing RequestHead, settings: Settings) {
    guard settings.hasRuns, request.method == .get || request.method == .delete else { return nil }
    let common = settings.configuration.runs
    if let name = common.runPath?.match(request.path)?[CommonRunSettings.runCapture] {
      self = request.method == .delete ? .stop(name: name) : .look(name: name)
      return
    }
    guard request.method == .get else { return nil }
    if let name = common.streamPath?.match(request.path)?[CommonRunSettings.streamCapture] {
      self = .read(name: name, isStrict: true)
    } else if let name = common.readPath?.match(request.path)?[CommonRunSettings.runCapture] {
      self = .read(name: name, isStrict: false)
    } else {
      return nil
    }
  }

  var name: String {
    switch self {
    case .read(let name, _), .look(let name), .stop(let name): name
    }
  }

  /// The run that it is about, if the client may know of it.
  func place(for principal: Digest, in directory: RunDirectory) -> RunPlace? {
    if let stream = StreamID(parsing: name.utf8Span.span), let place = directory.find(stream, of: principal) {
      return place
    }
    return directory.find(alias: RunRequest.name(name, of: principal))
  }
}

/// How a run stands, for `GET` of its path.
struct RunState: Sendable {
  let stream: StreamID
  let state: String
  let sequence: UInt64
  let readers: Int
  let attempts: Int
  let end: EndRecord?
  let milliseconds: Int

  var document: JSONValue {
    [
      "streamId": .string(stream.description), "state": .string(state), "sequence": JSONValue(Int(sequence)),
      "readers": JSONValue(readers), "attempts": JSONValue(attempts),
      "outcome": end.map { .string($0.outcome.rawValue) } ?? .null,
      "reason": end.map { .string($0.reason) } ?? .null, "milliseconds": JSONValue(milliseconds),
    ]
  }
}
