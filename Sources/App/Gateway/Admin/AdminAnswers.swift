import Bytes
import Flags
import HTTP
import JSON
import Loop
import SSE
import Streams
import Telemetry
import Time

/// What the operators' listener says.
extension Gateway {
  func answerAdmin(_ request: AdminRequest, _ respond: @escaping (AdminResponse) -> Void) {
    if request.path == "/kill" || request.path == "/unkill" { return answerKill(request, respond) }
    guard request.method == .get || request.method == .head else {
      return respond(.json(status: 405, #"{"error":"only GET is offered here; POST is for /kill and /unkill"}"#))
    }
    switch request.path {
    case "/healthz": respond(.json(#"{"status":"ok"}"#))
    case "/readyz": respond(readiness)
    case "/flags": answerFlags(respond)
    case "/metrics":
      gatherCensus { self.gather({ $0.snapshot() }, then: { respond(self.metricsText($0)) }) }
    case "/clients": gatherCensus { respond(.json(self.clientsDocument.text())) }
    case "/streams":
      gather({ $0.clients.describeStreams(limit: 1000) }, then: { respond(.json(self.streamsDocument($0).text())) })
    case "/runs":
      gather({ $0.runs.describe(limit: 1000) }, then: { respond(.json(RunReport.document($0).text())) })
    case "/upstreams": gather({ $0.describeUpstreams() }, then: { respond(.json(UpstreamReport.document($0).text())) })
    case "/config": respond(.json(configurationDocument.text(.pretty)))
    case "/":
      let paths = [
        "/healthz", "/readyz", "/metrics", "/streams", "/runs", "/upstreams", "/config", "/clients", "/flags", "/kill",
        "/unkill",
      ]
      respond(.json(JSONValue.object(["paths": .array(paths.map { .string($0) })]).text()))
    default: respond(.json(status: 404, #"{"error":"unknown path; GET / lists them"}"#))
    }
  }

  /// What is in force, and beside it what was loaded and is not.
  private var configurationDocument: JSONValue {
    var object = settings.configuration.document
    object["restartNeeded"] = .array(restartNeeds.map(\.document))
    return .object(object)
  }

  private var readiness: AdminResponse {
    if isDraining { return .json(status: 503, #"{"status":"draining"}"#) }
    var object: JSONObject = ["status": "ready"]
    if let redis = settings.configuration.runs.redis {
      let fault = hub.store.fault
      if fault != nil, redis.isNeededForReadiness { object["status"] = "redis_lost" }
      object["redis"] = fault.map { ["status": "lost", "reason": .string($0)] } ?? ["status": "connected"]
    }
    // Both are for people: a gateway that serves the old closing is as ready as any other.
    if let kill = killInForce { object["killed"] = .string(kill) }
    if let fault = guardKeeper.stateFault {
      object["guardState"] = ["status": "not_writable", "reason": .string(fault)]
    }
    if let share = guardShare { object["guardRedis"] = share.standing }
    return .json(status: object["status"] == "ready" ? 200 : 503, JSONValue.object(object).text())
  }

  /// Asks every worker and calls `completion` with all answers.
  func gather<Answer: Sendable>(
    _ question: @escaping @Sendable (Worker) -> Answer, then completion: @escaping ([Answer]) -> Void
  ) {
    var answers: [Answer] = []
    let expected = workers.count
    if expected == 0 { return completion([]) }
    let collect = LoopBound<(Answer) -> Void>(
      { answer in
        answers.append(answer)
        if answers.count == expected { completion(answers) }
      }, loop: loop)
    for worker in workers { worker.ask(from: loop, question, then: collect) }
  }

  private func metricsText(_ snapshots: [MetricSnapshot]) -> AdminResponse {
    guard var all = snapshots.first else { return .json(status: 503, #"{"error":"no workers"}"#) }
    for other in snapshots.dropFirst() { all.merge(other) }
    var out = ByteBuffer()
    PrometheusText.write(all, to: &out)
    appendGatewayMetrics(to: &out)
    return AdminResponse(contentType: PrometheusText.contentType, body: out.toArray())
  }

  /// What the main thread itself knows.
  private func appendGatewayMetrics(to out: inout ByteBuffer) {
    let now = loop.wallTime()
    func gauge(_ name: String, _ help: String, _ value: Double, labels: [(String, String)] = []) {
      PrometheusText.write(name, "gauge", help, [(labels, value)], to: &out)
    }
    let set = flags.current.flagSet
    let labels = [("version", set.name), ("hash", set.hash), ("generation", set.generation.rawValue)]
    gauge("fermata_flags_info", "The flags in force.", 1, labels: labels)
    let stale = flags.staleSince.map { Double(now.milliseconds - $0.milliseconds) / 1000 } ?? 0
    gauge(
      "fermata_flags_stale_seconds",
      "Seconds since the flag file was changed without taking effect; 0 if it is in force.", stale)
    gauge("fermata_flag_load_failures", "Times that the flag file was refused.", Double(flags.failures))
    gauge(
      "fermata_config_reload_failed", "Whether the last reload of the configuration was refused.",
      configurationReloadFailed ? 1 : 0)
    gauge(
      "fermata_config_restart_needed", "Settings of the last reload that only a restart puts in force.",
      Double(restartNeeds.count))
    if let rollout = try? Rollout(of: FlagKey.streamClosing.description, in: set.document) {
      gauge("fermata_rollout_phase", "The phase of the rollout, from 0.", Double(rollout.index))
      let isStopped = rollout.status == .held || rollout.status == .rolledBack
      let needsAttention = isStopped || guardKeeper.machine.latch != nil || killInForce != nil
      gauge("fermata_rollout_attention", "Whether the rollout waits for somebody.", needsAttention ? 1 : 0)
    }
    killGauges(to: &out)
    gauge(
      "fermata_guard_effect", "What the guard holds beside the file: 0 nothing, 1 hold, 2 rollback.",
      guardKeeper.machine.effect == .none ? 0 : guardKeeper.machine.effect == .hold ? 1 : 2)
    counters(to: &out)
    appendClientSeries { samples in
      PrometheusText.write(
        "fermata_client_streams_total", "counter", "Event streams of the largest clients; the rest is other.", samples,
        to: &out)
    }
    gauge("fermata_draining", "Whether the process takes no new streams.", isDraining ? 1 : 0)
    gauge("fermata_start_time_seconds", "When the process started.", Double(startedAt.milliseconds) / 1000)
  }

  private func counters(to out: inout ByteBuffer) {
    PrometheusText.write(
      "fermata_guard_trips_total", "counter", "Times that the guard acted.", [([], Double(guardKeeper.trips))], to: &out
    )
    let checks = guardKeeper.checks.sorted { $0.key < $1.key }.map { check in
      (labels: [("metric", check.key.metric), ("verdict", check.key.verdict)], value: Double(check.value))
    }
    PrometheusText.write(
      "fermata_guard_checks_total", "counter", "Comparisons of the cohorts, by metric and verdict.", checks, to: &out)
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
  private func shadowDocument(_ snapshots: [MetricSnapshot]) -> JSONValue {
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
