import Bytes
import Configuration
import FlagControl
import Flags
import Gateway
import HTTP
import JSON
import Loop
import Runs
import SSE
import Streams
import Telemetry
import Time

/// What the operators' listener says.
extension ControlRoom {
  func answer(_ request: AdminRequest, _ respond: @escaping (AdminResponse) -> Void) {
    if request.path == "/kill" || request.path == "/unkill" { return answerKill(request, respond) }
    if let stream = StopPath.stream(in: request.path) { return answerStop(of: stream, request, respond) }
    guard request.method == .get || request.method == .head else {
      return respond(
        StopRequest.refused(405, "only GET is offered here; POST is for /kill, /unkill and /streams/ID/stop"))
    }
    switch request.path {
    case "/healthz": respond(liveness)
    case "/readyz": answerReadiness(respond)
    case "/flags": answerFlags(respond)
    case "/metrics": answerMetrics(respond)
    case "/clients": gateway.gatherCensus { respond(.json(self.clientsDocument.text())) }
    case "/streams":
      gateway.gather(
        { $0.clients.describeStreams(limit: 1000) }, then: { respond(.json(self.streamsDocument($0).text())) })
    case "/runs":
      gateway.gather({ $0.runs.describe(limit: 1000) }, then: { respond(.json(RunReport.document($0).text())) })
    case "/upstreams":
      gateway.gather({ $0.describeUpstreams() }, then: { respond(.json(UpstreamReport.document($0).text())) })
    case "/dashboard": respond(dashboard.pageAnswer)
    case "/dashboard/events": answerDashboardEvents(request, respond)
    case "/config": respond(.json(configurationDocument.text(.pretty)))
    case "/":
      let paths = AdminRequestCounts.paths.map { JSONValue.string($0) }
      respond(.json(JSONValue.object(["paths": .array(paths)]).text()))
    default: respond(.json(status: 404, #"{"error":"unknown path; GET / lists them"}"#))
    }
  }

  /// What is in force, and beside it what was loaded and is not.
  var configurationDocument: JSONValue {
    var object = gateway.settings.configuration.document
    object["restartNeeded"] = .array(gateway.restartNeeds.map(\.document))
    return .object(object)
  }

  private func streamsDocument(_ lists: [StreamList]) -> JSONValue {
    [
      "count": JSONValue(lists.reduce(0) { $0 + $1.open }), "isCut": .bool(lists.contains(where: \.isCut)),
      "waitingCount": JSONValue(lists.reduce(0) { $0 + $1.waitingCount }),
      "streams": .array(lists.flatMap(\.streams).map(\.asJSON)),
      "waiting": .array(lists.flatMap(\.waiting).map(\.asJSON)),
    ]
  }

  private func answerFlags(_ respond: @escaping (AdminResponse) -> Void) {
    gateway.gather(
      {
        WorkerFlags(
          index: $0.context.index, version: $0.decider.flagVersion, hash: $0.decider.flags.flagSet.hash,
          isLegacy: $0.decider.recall != .none,
          metrics: $0.snapshot())
      },
      then: { respond(.json(self.flagsDocument($0).text())) })
  }

  /// What graceful would have saved on the legacy streams so far.
  func shadowDocument(_ snapshots: [MetricSnapshot]) -> JSONValue {
    guard var all = snapshots.first else { return .null }
    for other in snapshots.dropFirst() { all.merge(other) }
    return ShadowTally(gateway.metrics) { all.value($0) }.json
  }

  private func flagsDocument(_ workers: [WorkerFlags]) -> JSONValue {
    let snapshot = gateway.flags.current
    var object = JSONObject()
    object["file"] = gateway.flags.path.map { .string($0) } ?? .null
    object["version"] = .string(snapshot.version)
    object["hash"] = .string(snapshot.flagSet.hash)
    object["generation"] = .string(snapshot.flagSet.generation.rawValue)
    object["loadedAt"] = .string(snapshot.loadedAt.rfc3339)
    object["ageSeconds"] = JSONValue(Int((loop.wallTime().milliseconds - snapshot.loadedAt.milliseconds) / 1000))
    object["killed"] = .bool(killInForce != nil)
    object["kill"] = killDocument
    object["draining"] = .bool(gateway.isDraining)
    object["fault"] = gateway.flags.fault.map { .string($0) } ?? .null
    object["staleSince"] = gateway.flags.staleSince.map { .string($0.rfc3339) } ?? .null
    object["flags"] = snapshot.flagSet.document["flags"] ?? [:]
    object["workers"] = .array(
      workers.sorted { $0.index < $1.index }.map { flags in
        [
          "worker": JSONValue(flags.index), "version": .string(flags.version), "hash": .string(flags.hash),
          "effective": flags.isLegacy ? "legacy" : "configured",
        ]
      })
    object["guard"] = gateway.guardKeeper.report
    object["shared"] = gateway.guardShare?.standing ?? .null
    object["shadow"] = shadowDocument(workers.map(\.metrics))
    return .object(object)
  }
}

/// The flags that one worker uses.
private struct WorkerFlags: Sendable {
  let index: Int
  let version: String
  let hash: String
  let isLegacy: Bool
  let metrics: MetricSnapshot
}
