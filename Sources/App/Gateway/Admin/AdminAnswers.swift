import Bytes
import Flags
import HTTP
import JSON
import Loop
import Runs
import SSE
import Streams
import Telemetry
import Time

/// What the operators' listener says.
extension Gateway {
  func answerAdmin(_ request: AdminRequest, _ respond: @escaping (AdminResponse) -> Void) {
    if request.path == "/kill" || request.path == "/unkill" { return answerKill(request, respond) }
    if let stream = StopRequest.stream(in: request.path) { return answerStop(of: stream, request, respond) }
    guard request.method == .get || request.method == .head else {
      return respond(
        StopRequest.refused(405, "only GET is offered here; POST is for /kill, /unkill and /streams/ID/stop"))
    }
    switch request.path {
    case "/healthz": respond(liveness)
    case "/readyz": answerReadiness(respond)
    case "/flags": answerFlags(respond)
    case "/metrics": answerMetrics(respond)
    case "/clients": gatherCensus { respond(.json(self.clientsDocument.text())) }
    case "/streams":
      gather({ $0.clients.describeStreams(limit: 1000) }, then: { respond(.json(self.streamsDocument($0).text())) })
    case "/runs":
      gather({ $0.runs.describe(limit: 1000) }, then: { respond(.json(RunReport.document($0).text())) })
    case "/upstreams": gather({ $0.describeUpstreams() }, then: { respond(.json(UpstreamReport.document($0).text())) })
    case "/dashboard": respond(dashboard.pageAnswer)
    case "/dashboard/events": answerDashboardEvents(request, respond)
    case "/config": respond(.json(configurationDocument.text(.pretty)))
    case "/":
      let paths = [
        "/healthz", "/readyz", "/metrics", "/streams", "/runs", "/upstreams", "/config", "/clients", "/flags", "/kill",
        "/unkill", "/dashboard", "/dashboard/events",
      ]
      respond(.json(JSONValue.object(["paths": .array(paths.map { .string($0) })]).text()))
    default: respond(.json(status: 404, #"{"error":"unknown path; GET / lists them"}"#))
    }
  }

  /// What is in force, and beside it what was loaded and is not.
  var configurationDocument: JSONValue {
    var object = settings.configuration.document
    object["restartNeeded"] = .array(restartNeeds.map(\.document))
    return .object(object)
  }

  private func streamsDocument(_ lists: [[StreamDescription]]) -> JSONValue {
    var object = JSONObject()
    let all = lists.flatMap { $0 }
    object["count"] = JSONValue(all.count)
    object["streams"] = .array(
      all.map { stream in
        [
          "streamId": .string(stream.id), "route": .string(stream.route), "mode": .string(stream.mode),
          "capability": .string(stream.capability), "flags": .string(stream.flagVersion),
          "ageMilliseconds": .number(stream.age), "events": .number(Double(stream.events)),
          "bytes": .number(Double(stream.bytes)), "queuedBytes": JSONValue(stream.queued),
          "worker": JSONValue(stream.worker),
        ]
      })
    return .object(object)
  }

  private func answerFlags(_ respond: @escaping (AdminResponse) -> Void) {
    gather(
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
    return [
      "streams": JSONValue(all.value(metrics.shadowStreams)),
      "streamsWithTrailingEvents": JSONValue(all.value(metrics.shadowTrailingStreams)),
      "trailingEvents": JSONValue(all.value(metrics.shadowTrailingEvents)),
      "clientsThatLeftEarly": JSONValue(all.value(metrics.shadowLeftEarly)),
      "truncationsToldAsCut": JSONValue(all.value(metrics.shadowTruncations)),
    ]
  }

  private func flagsDocument(_ workers: [WorkerFlags]) -> JSONValue {
    let snapshot = flags.current
    var object = JSONObject()
    object["file"] = flags.path.map { .string($0) } ?? .null
    object["version"] = .string(snapshot.version)
    object["hash"] = .string(snapshot.flagSet.hash)
    object["generation"] = .string(snapshot.flagSet.generation.rawValue)
    object["loadedAt"] = .string(snapshot.loadedAt.rfc3339)
    object["ageSeconds"] = JSONValue(Int((loop.wallTime().milliseconds - snapshot.loadedAt.milliseconds) / 1000))
    object["killed"] = .bool(killInForce != nil)
    object["kill"] = killDocument
    object["fault"] = flags.fault.map { .string($0) } ?? .null
    object["staleSince"] = flags.staleSince.map { .string($0.rfc3339) } ?? .null
    object["flags"] = snapshot.flagSet.document["flags"] ?? [:]
    object["workers"] = .array(
      workers.sorted { $0.index < $1.index }.map { flags in
        [
          "worker": JSONValue(flags.index), "version": .string(flags.version), "hash": .string(flags.hash),
          "effective": flags.isLegacy ? "legacy" : "configured",
        ]
      })
    object["guard"] = guardKeeper.report
    object["shared"] = guardShare?.standing ?? .null
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

/// One open stream, for `/streams`.
struct StreamDescription: Sendable {
  let id: String
  let route: String
  let mode: String
  let capability: String
  let flagVersion: String
  let age: Double
  let events: UInt64
  let bytes: UInt64
  let queued: Int
  let worker: Int
}

extension ClientRoster {
  /// The open streams, the first `limit` of them.
  func describeStreams(limit: Int) -> [StreamDescription] {
    let now = context.loop.readClock()
    var streams: [StreamDescription] = []
    forEachExchange { exchange, client in
      guard streams.count < limit, let stream = exchange.stream else { return }
      streams.append(
        StreamDescription(
          id: stream.id.description, route: exchange.routeName ?? "", mode: stream.mode.rawValue,
          capability: stream.capability.source.rawValue, flagVersion: stream.flagVersion,
          age: (now - stream.openedAt).milliseconds, events: stream.events, bytes: stream.bodyBytes,
          queued: client.queuedBytes, worker: context.index))
    }
    return streams
  }
}
