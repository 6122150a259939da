import Configuration
import Gateway
import HTTP
import JSON
import Logging
import Loop
import SSE
import Streams
import Telemetry

/// `POST /streams/ID/stop`: an operator ends an open stream.
enum StopRequest {
  static func refused(_ status: Int, _ reason: String) -> AdminResponse {
    .json(status: status, JSONValue.object(["error": .string(reason)]).text())
  }
}

extension ControlRoom {
  func answerStop(of stream: String, _ request: AdminRequest, _ respond: @escaping (AdminResponse) -> Void) {
    guard request.method == .post else { return respond(StopRequest.refused(405, "POST is needed: curl -X POST")) }
    guard gateway.settings.configuration.admin.operate else {
      return respond(StopRequest.refused(403, "streams are stopped here only with admin.operate: true"))
    }
    guard request.isSameOrigin else {
      return respond(StopRequest.refused(403, "a page of another site may not do this"))
    }
    let name = request.operatorName.flatMap { $0.isEmpty ? nil : $0 } ?? "unnamed"
    gateway.gather(
      { $0.clients.stop(stream, by: name) },
      then: { counts in
        let count = counts.reduce(0, +)
        guard count > 0 else { return respond(StopRequest.refused(404, "no such stream is open")) }
        respond(.json(JSONValue.object(["streamId": .string(stream), "stopped": JSONValue(count)]).text()))
      })
  }
}

extension ClientRoster {
  /// Ends the streams of that id that are open on this loop.
  ///
  /// - Returns: how many there were: several clients may read one run.
  fileprivate func stop(_ id: String, by name: String) -> Int {
    var found: [any ClientExchange] = []
    forEachExchange { exchange, _ in
      if exchange.stream?.id.description == id { found.append(exchange) }
    }
    for exchange in found {
      exchange.record.stopper = name
      context.log.write(.info, .streamStopped, at: context.loop.wallTime()) { line in
        line.field("streamId", id)
        line.field("closer", "operator")
        line.field("operator", name)
      }
      exchange.finishStream(.cancelled, reason: "an operator stopped the stream")
    }
    return found.count
  }
}
