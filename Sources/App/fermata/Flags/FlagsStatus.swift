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
    let exitsOnRegression = invocation.arguments.has("--exit-on-regression")
    let loaded: LoadedFlags
    do throws(FlagsFailure) {
      loaded = try invocation.load()
    } catch {
      // What the gateways serve is still theirs to tell.
      guard let report = try AdminReport.fetch(invocation, mayMiss: true) else { throw error }
      return FilelessStatus(file: invocation.file, fault: error, report: report)
        .output(exitsOnRegression: exitsOnRegression)
    }
    let key = try invocation.key(in: loaded)
    let rollout = try invocation.rollout(of: key, in: loaded.document)
    let report = try AdminReport.fetch(invocation, mayMiss: true)
    return RolloutStatus(key: key, set: loaded.set, rollout: rollout, report: report)
      .output(exitsOnRegression: exitsOnRegression)
  }
}

/// What the gateways know where the flag file is gone or can't be read.
private struct FilelessStatus {
  let file: String
  let fault: FlagsFailure
  let report: AdminReport

  /// The newest revision of the history that can be read.
  private var kept: Int? {
    FlagHistory(beside: file).revisions().last { (try? LoadedFlags($0.path)) != nil }?.revision
  }

  private var actions: [String] {
    let restore = kept.map { "fermata flags revert \($0) --file \(file)" } ?? "put the file back: \(file)"
    let gateways = report.gateways.filter { $0.document != nil }.map { " --admin \($0.url)" }.joined()
    guard !gateways.isEmpty else { return [restore] }
    return [restore, report.isKilled ? "fermata flags unkill\(gateways)" : "fermata flags kill\(gateways)"]
  }

  func output(exitsOnRegression: Bool) -> FlagsOutput {
    var lines = ["\(fault.message): what follows is what the gateways have in force"]
    lines += report.lines(fileHash: nil)
    lines += ["  attention action_required", "  next: \(actions.joined(separator: ", "))"]
    let data: JSONValue = [
      "file": .string(file), "fault": ["code": .string(fault.code), "message": .string(fault.message)],
      "stage": report.isKilled ? "killed" : "unknown", "attention": "action_required",
      "outcome": report.effect == "rollback" ? "rolled_back" : "none",
      "availableActions": .array(actions.map(JSONValue.string)), "guard": report.guardReport,
      "together": report.together?.json ?? .null, "shadow": report.shadow,
      "gateways": .array(report.gateways.map { $0.json(fileHash: "") }),
    ]
    let isRegression = report.verdict == .worse || report.effect != "none"
    return FlagsOutput(
      kind: "RolloutStatus", data: data, text: lines.joined(separator: "\n"),
      exit: exitsOnRegression && isRegression ? .regression : fault.exit)
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

  /// What leaving the phase needs; nothing without a rollout that runs or is held.
  private var criteria: [RolloutCriterion] {
    guard let rollout, rollout.status == .running || rollout.status == .held else { return [] }
    return rollout.criteria(
      report?.evidence(forHash: set.hash), isEnabled: self.set[key]?.isEnabled != false, at: Caller.now)
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
    return rollout == nil || rollout?.status == .finished
      ? ["ack --revision \(revision)"] : ["resume --ack \(revision)", "abort"]
  }

  func output(exitsOnRegression: Bool) -> FlagsOutput {
    var lines = [FlagsState.text(key, in: set, rollout)]
    if let rollout, !criteria.isEmpty {
      lines.append("  \(rollout.phase.name) can be left when:")
      lines += criteria.map { "    \($0.isMet ? "yes" : "no "): \($0.description)" }
    }
    if let report { lines += report.lines(fileHash: set.hash) }
    lines.append("  attention \(attention), outcome \(outcome)")
    lines.append("  next: \(actions.map(line).joined(separator: ", "))")
    return FlagsOutput(
      kind: "RolloutStatus", data: json, text: lines.joined(separator: "\n"),
      exit: exitsOnRegression && isRegression ? .regression : .success)
  }

  /// The whole command line of a step, with the flag where the file has several, and the gateways that were asked where
  /// the step asks them.
  private func line(_ action: String) -> String {
    var words = action.replacing(" --admin URL", with: "").split(separator: " ").map(String.init)
    // A kill at the gateways is of all flags.
    if self.set.flags.count > 1, words[0] != "unkill" { words.insert(key, at: 1) }
    if words[0] == "start" { words += ["--variant", "VARIANT"] }
    let command = Self.command(words.joined(separator: " "), key)
    let asks = ["advance", "finish", "resume --ack", "ack", "unkill"].contains { action.hasPrefix($0) }
    return command + (asks ? report?.gateways.map { " --admin \($0.url)" }.joined() ?? " --admin URL" : "")
  }

  /// The whole command line of a step.
  static func command(_ action: String, _ key: String) -> String {
    let isOfFlag = ["enable", "unkill", "ack"].contains { action.hasPrefix($0) }
    return "fermata flags \(isOfFlag ? "" : "rollout ")\(action)"
  }
}
