import Flags
import Harness
import JSON
import Loop
import Processes
import Time

extension FlagsVerb {
  static let rolloutStatus = FlagsVerb(
    name: "rollout status", summary: "where the rollout stands, what the guard says, what may be done",
    usage: "[KEY] [--admin URL] [OPTION …]",
    details: """
        --admin URL        the gateway's admin listener: guard, workers, and what graceful would have saved so far
        --token TOKEN      its token (FERMATA_ADMIN_TOKEN)
        --exit-on-regression   exit 9 when the guard says worse or has acted
      """,
    options: ["--admin", "--token"], switches: ["--exit-on-regression"]
  ) { invocation throws(FlagsFailure) in
    let loaded = try invocation.load()
    let key = try invocation.key(in: loaded)
    let rollout = try invocation.rollout(of: key, in: loaded.document)
    let report = try AdminReport.fetch(invocation)
    return RolloutStatus(key: key, set: loaded.set, rollout: rollout, report: report)
      .output(exitsOnRegression: invocation.arguments.has("--exit-on-regression"))
  }
}

/// The three things that people ask about a rollout, apart: how far it is, whether somebody has to do something, and
/// how it ended.
struct RolloutStatus {
  let key: String
  let set: FlagSet
  let rollout: Rollout?
  let report: AdminReport?

  private var isKilled: Bool { self.set[key]?.isEnabled == false }

  var attention: String {
    if isKilled { return "action_required" }
    if let report, report.effect != "none" || report.verdict == .worse || report.isStale { return "action_required" }
    guard let rollout else { return "ok" }
    let isLong = Int((Caller.now.milliseconds - rollout.since.milliseconds) / 1000) > rollout.phase.maxHoldSeconds
    return rollout.status == .rolledBack || (rollout.status == .held && isLong) ? "action_required" : "ok"
  }

  var outcome: String {
    if let report, report.effect == "rollback" { return "rolled_back" }
    switch rollout?.status {
    case .finished?: return "finished"
    case .rolledBack?: return "aborted"
    default: return "none"
    }
  }

  /// What leaving the phase needs; nothing without a rollout that runs.
  private var criteria: [RolloutCriterion] {
    guard let rollout, rollout.status == .running else { return [] }
    return rollout.criteria(report?.evidence(forHash: set.hash), at: Caller.now)
  }

  var isRegression: Bool { report.map { $0.verdict == .worse || $0.effect != "none" } ?? false }

  var json: JSONValue {
    var data = FlagsState.json(key, in: set, rollout)
    data[path: ["phase"]] = rollout.map { .string($0.phase.name) } ?? "planned"
    data[path: ["stage"]] = isKilled ? "killed" : rollout.map { .string($0.stage) } ?? "deployed off"
    data[path: ["attention"]] = .string(attention)
    data[path: ["outcome"]] = .string(outcome)
    var actions = isKilled ? ["enable"] : rollout?.availableActions ?? ["start"]
    if report?.effect == "rollback" { actions = ["resume --ack \(report?.latchedRevision ?? "REVISION")", "abort"] }
    data[path: ["availableActions"]] = .array(actions.map(JSONValue.string))
    data[path: ["criteria"]] = .array(
      criteria.map { ["code": .string($0.code), "met": .bool($0.isMet), "description": .string($0.description)] })
    data[path: ["guard"]] = report?.guardReport ?? .null
    data[path: ["shadow"]] = report?.document["shadow"] ?? .null
    data[path: ["gateway"]] =
      report.map { report in
        [
          "sha256": .string(report.hash), "agrees": .bool(report.evidence(forHash: set.hash).workersAgree),
          "workers": report.document["workers"] ?? [],
        ]
      } ?? .null
    return data
  }

  func output(exitsOnRegression: Bool) -> FlagsOutput {
    var lines = [FlagsState.text(key, in: set, rollout)]
    if let rollout, !criteria.isEmpty {
      lines.append("  \(rollout.phase.name) can be left when:")
      lines += criteria.map { "    \($0.isMet ? "yes" : "no "): \($0.description)" }
    }
    if let report { lines += report.lines(fileHash: set.hash) }
    lines.append("  attention \(attention), outcome \(outcome)")
    let actions = json["availableActions"]?.array?.compactMap(\.string) ?? []
    lines.append("  next: \(actions.joined(separator: ", "))")
    return FlagsOutput(
      kind: "RolloutStatus", data: json, text: lines.joined(separator: "\n"),
      exit: exitsOnRegression && isRegression ? .regression : .success)
  }
}

/// What `/flags` of a running gateway says.
struct AdminReport {
  let document: JSONValue

  var hash: String { document["hash"]?.string ?? "" }
  var guardReport: JSONValue { document["guard"] ?? .null }
  var effect: String { guardReport["effect"]?.string ?? "none" }
  var isStale: Bool { document["staleSince"]?.string != nil }
  var latchedRevision: String? { guardReport["latch"]?["revision"]?.string }

  var verdict: GuardVerdict {
    guardReport["verdict"]?.string.flatMap(GuardVerdict.init) ?? .notEnough
  }

  func evidence(forHash hash: String) -> RolloutEvidence {
    let workers = document["workers"]?.array ?? []
    let agree = self.hash == hash && !workers.isEmpty && workers.allSatisfy { $0["hash"]?.string == hash }
    let phase = guardReport["phase"]
    var evidence = RolloutEvidence(
      verdict: phase?["verdict"]?.string.flatMap(GuardVerdict.init) ?? .notEnough,
      streams: phase?["streams"]?.integer ?? 0, identities: phase?["identities"]?.integer ?? 0, workersAgree: agree)
    evidence.internalCompleted = phase?["internalCompleted"]?.integer ?? 0
    // A guard that has acted saw harm, whatever the numbers have become since.
    evidence.wasWorse = effect != "none" || phase?["wasWorse"] == true
    return evidence
  }

  func lines(fileHash: String) -> [String] {
    var lines = ["  guard: \(verdict.rawValue), effect \(effect)"]
    if let reason = guardReport["latch"]?["reason"]?.string { lines.append("    \(reason)") }
    for metric in guardReport["phase"]?["metrics"]?.array ?? [] {
      let verdict = metric["missing"]?.string.flatMap { $0.isEmpty ? nil : $0 } ?? metric["verdict"]?.string ?? ""
      lines.append("    \(metric["metric"]?.string ?? ""): \(verdict); \(metric["summary"]?.string ?? "")")
    }
    if let shadow = document["shadow"]?.object {
      let counts = shadow.members.map { "\($0.name) \($0.value.text())" }
      lines.append("  in legacy, graceful would have changed: \(counts.joined(separator: ", "))")
    }
    let agree = evidence(forHash: fileHash).workersAgree
    lines.append(agree ? "  all workers serve this file" : "  not all workers serve this file")
    if let fault = document["fault"]?.string { lines.append("  the gateway refused the file: \(fault)") }
    return lines
  }

  /// `nil` without `--admin`.
  static func fetch(_ invocation: FlagsInvocation) throws(FlagsFailure) -> AdminReport? {
    guard let text = invocation.arguments["--admin"] else { return nil }
    var host = text[...]
    if host.hasPrefix("http://") { host = host.dropFirst(7) }
    while host.hasSuffix("/") { host = host.dropLast() }
    guard let address = SocketAddress(parsing: String(host)) else {
      throw .usage("--admin takes the address of the admin listener, such as http://127.0.0.1:8081")
    }
    var request = ClientRequest("GET", "/flags", fields: [Script.Field("Connection", "close")])
    if let token = invocation.arguments["--token"] ?? Host.environment["FERMATA_ADMIN_TOKEN"] {
      request.fields.append(Script.Field("Authorization", "Bearer \(token)"))
    }
    let result = try get(request, from: address)
    guard result.status == 200, let document = try? JSONValue(parsing: result.body) else {
      throw FlagsFailure(
        .inputOutput, "admin", "\(text)/flags answered \(result.status == 0 ? "\(result.end)" : "\(result.status)")",
        next: "check that the gateway runs, and --token")
    }
    return AdminReport(document: document)
  }

  private static func get(_ request: ClientRequest, from address: SocketAddress) throws(FlagsFailure) -> ClientResult {
    do {
      let loop = try EventLoop()
      var result = ClientResult()
      var behaviour = ClientBehaviour()
      behaviour.timeout = .seconds(5)
      let client = StreamClient(loop: loop, address: address, request: request, behaviour: behaviour) {
        result = $0
        loop.stop()
      }
      client.start()
      loop.run()
      return result
    } catch {
      throw FlagsFailure(.inputOutput, "loop", "\(error)", next: "try again")
    }
  }
}
