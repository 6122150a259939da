import Harness
import JSON
import Loop
import Matrix
import Streams
import Time

/// What a client asks for.
struct MatrixTarget {
  var path: String
  var mark: String
  var lastEventID: String?
}

/// The job that an adapter gets.
struct MatrixJob {
  let client: MatrixClient
  let behaviour: Behaviour
  /// What the flag gives the client.
  let variant: Mode

  func object(
    at address: SocketAddress, over transport: MatrixTransport, _ target: MatrixTarget, deadline: Nanoseconds
  ) -> JSONObject {
    var (headers, query) = (JSONObject(), [String]())
    let optsIn = behaviour.optsIn(client, variant: variant)
    if optsIn {
      if client.optIn == .header { headers["Prefer"] = "stream-end" }
      if client.optIn == .query { query.append("stream_end=1") }
    }
    // Who names its run has to show who it is.
    if behaviour.needs.contains(.keyed) {
      headers["Authorization"] = .string("Bearer \(target.mark)")
      headers[behaviour.action == .ask ? "Idempotency-Key" : "X-Client-Stream-Id"] = .string(target.mark)
    }
    if let id = target.lastEventID {
      if client.optIn == .query { query.append("last_event_id=\(id)") } else { headers["Last-Event-ID"] = .string(id) }
    }
    var job = JSONObject()
    job["url"] = .string(
      (transport.wire.isSecure ? "https" : "http") + "://\(address)\(target.path)"
        + (query.isEmpty ? "" : "?" + query.joined(separator: "&")))
    job["http"] = transport.wire == .http2 ? "2" : "1.1"
    job["method"] = "GET"
    job["headers"] = .object(headers)
    job["body"] = .null
    job["capability"] = .string(optsIn ? "stream-end" : "none")
    job["deadlineMs"] = JSONValue(Int(deadline.milliseconds))
    job["stopAfter"] = client.leavesAtCompletion ? "complete" : .null
    job["resume"] = .bool(behaviour.needs.contains(.resume))
    job["readDelayMs"] = JSONValue(behaviour.readDelay)
    job["stallMs"] = JSONValue(behaviour.stall)
    job["lastEventId"] = target.lastEventID.map { .string($0) } ?? .null
    return job
  }
}
