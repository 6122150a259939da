import Bytes
import Configuration
import FlagControl
import Gateway
import JSON
import Loop
import Runs
import Streams
import Telemetry
import Time

extension SilentWorker {
  var document: JSONValue { ["worker": JSONValue(index), "silentSeconds": .number(age.seconds)] }
}

/// Whether the process is alive and ready, from the heartbeats of its loops: no worker is asked, so none can hold up
/// the answer.
extension ControlRoom {
  /// A worker that is silent for longer makes `/readyz` fail, earlier than `/healthz`: to send clients elsewhere costs
  /// less than a restart.
  static let readinessLimit = Nanoseconds.seconds(2)

  var liveness: AdminResponse {
    let silent = gateway.silentWorkers(for: Gateway.livenessLimit)
    return silent.isEmpty ? .json(#"{"status":"ok"}"#) : Self.refusal(silent)
  }

  private static func refusal(_ silent: [SilentWorker]) -> AdminResponse {
    let document: JSONValue = ["status": "worker_silent", "workers": .array(silent.map(\.document))]
    return .json(status: 503, document.text())
  }

  func answerReadiness(_ respond: @escaping (AdminResponse) -> Void) {
    if gateway.isDraining { return respond(.json(status: 503, #"{"status":"draining"}"#)) }
    let silent = gateway.silentWorkers(for: Self.readinessLimit)
    guard silent.isEmpty else { return respond(Self.refusal(silent)) }
    guard gateway.settings.configuration.admin.readyWhen == .upstreams else {
      return respond(readiness(routesOut: []))
    }
    gateway.gather(
      { $0.routeStandings() },
      then: { [unowned self] answers in respond(readiness(routesOut: RouteStandings.folded(answers).out)) })
  }

  /// - Parameter servers: of a cluster; empty for a Redis of one server.
  private static func redisDocument(_ fault: String?, servers: [(name: String, fault: String?)]) -> JSONValue {
    func standing(_ fault: String?) -> JSONObject {
      fault.map { ["status": "lost", "reason": .string($0)] } ?? ["status": "connected"]
    }
    var object = standing(fault)
    if !servers.isEmpty {
      object["servers"] = .array(
        servers.map { name, fault in
          var server = standing(fault)
          server["server"] = .string(name)
          return .object(server)
        })
    }
    return .object(object)
  }

  private func readiness(routesOut: [String]) -> AdminResponse {
    var object: JSONObject = ["status": "ready"]
    if let redis = gateway.settings.configuration.runs.redis {
      let fault = gateway.process.store.fault
      if fault != nil, redis.isNeededForReadiness { object["status"] = "redis_lost" }
      object["redis"] = Self.redisDocument(fault, servers: redis.isCluster ? gateway.process.servers : [])
    }
    if !routesOut.isEmpty {
      object["status"] = "no_upstream"
      object["routes"] = .array(routesOut.map { .string($0) })
    }
    // These are for people: a gateway that serves the old closing is as ready as any other.
    if let kill = killInForce { object["killed"] = .string(kill) }
    if let fault = gateway.guardKeeper.stateFault {
      object["guardState"] = ["status": "not_writable", "reason": .string(fault)]
    }
    if let share = gateway.guardShare { object["guardRedis"] = share.standing }
    return .json(status: object["status"] == "ready" ? 200 : 503, JSONValue.object(object).text())
  }

  func appendHealthSeries(to out: inout ByteBuffer) {
    let now = loop.readClock()
    PrometheusText.write(
      "fermata_worker_last_seen_seconds", "gauge", "Seconds since the worker's event loop was seen at work.",
      gateway.workers.map { ([("worker", "\($0.index)")], max(0, (now - $0.lastSeen).seconds)) }, to: &out)
  }
}
