import Flags
import JSON
import Time

extension FlagsVerb {
  static let rolloutStatus = FlagsVerb(
    name: "rollout status", summary: "where the rollout stands, what the guard says, what may be done",
    usage: "[KEY] [--admin URL] [OPTION …]",
    details: """
        --admin URL        a gateway's admin listener: guard, workers, and what graceful would have saved so far; may be
                           given several times, and each is shown
        --admin-list FILE  such URLs, one a line
        --token TOKEN      their token (FERMATA_ADMIN_TOKEN)
        --exit-on-regression   exit 9 when the guard says worse or has acted
      """,
    options: AdminGateways.options, switches: ["--exit-on-regression"]
  ) { invocation throws(FlagsFailure) in
    let loaded = try invocation.load()
    let key = try invocation.key(in: loaded)
    let rollout = try invocation.rollout(of: key, in: loaded.document)
    let report = try AdminReport.fetch(invocation, mayMiss: true)
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

  private var isKilled: Bool { self.set[key]?.isEnabled == false || report?.isKilled == true }

  var attention: String {
    if isKilled { return "action_required" }
    if let report, report.effect != "none" || report.verdict == .worse || report.isStale || !report.isWhole {
      return "action_required"
    }
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
    data[path: ["availableActions"]] = .array(actions.map(JSONValue.string))
    data[path: ["criteria"]] = .array(
      criteria.map { ["code": .string($0.code), "met": .bool($0.isMet), "description": .string($0.description)] })
    data[path: ["guard"]] = report?.guardReport ?? .null
    data[path: ["together"]] = report?.together?.json ?? .null
    data[path: ["shadow"]] = report?.shadow ?? .null
    data[path: ["gateway"]] =
      report.map { report in
        [
          "sha256": .string(report.hash), "agrees": .bool(report.evidence(forHash: set.hash).workersAgree),
          "workers": report.document["workers"] ?? [],
        ]
      } ?? .null
    data[path: ["gateways"]] = .array(report?.gateways.map { $0.json(fileHash: set.hash) } ?? [])
    return data
  }

  private var actions: [String] {
    if self.set[key]?.isEnabled == false { return ["enable"] }
    if report?.isKilled == true { return ["unkill --admin URL"] }
    guard let report, report.effect != "none" else { return rollout?.availableActions ?? ["start"] }
    let revision = report.latchedRevision ?? "REVISION"
    return rollout == nil ? ["ack --revision \(revision)"] : ["resume --ack \(revision)", "abort"]
  }

  func output(exitsOnRegression: Bool) -> FlagsOutput {
    var lines = [FlagsState.text(key, in: set, rollout)]
    if let rollout, !criteria.isEmpty {
      lines.append("  \(rollout.phase.name) can be left when:")
      lines += criteria.map { "    \($0.isMet ? "yes" : "no "): \($0.description)" }
    }
    if let report { lines += report.lines(fileHash: set.hash) }
    lines.append("  attention \(attention), outcome \(outcome)")
    lines.append("  next: \(actions.map { Self.command($0, key) }.joined(separator: ", "))")
    return FlagsOutput(
      kind: "RolloutStatus", data: json, text: lines.joined(separator: "\n"),
      exit: exitsOnRegression && isRegression ? .regression : .success)
  }

  /// The whole command line of a step.
  static func command(_ action: String, _ key: String) -> String {
    let isOfFlag = ["enable", "unkill", "ack"].contains { action.hasPrefix($0) }
    return "fermata flags \(isOfFlag ? "" : "rollout ")\(action)"
  }
}
