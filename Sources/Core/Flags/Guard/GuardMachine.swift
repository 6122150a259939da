package import JSON
package import Time

/// How the guard judges.
package struct GuardPolicy: Sendable {
  /// Time between two looks.
  package var interval = Nanoseconds.seconds(30)
  /// Observations that each arm needs before anything is said.
  package var minSamples = 200
  /// Looks that are summed up: a fault that comes late must not drown in a long good past.
  package var window = 20
  /// Failed looks in a row before the guard acts.
  package var failLimit = 2
  /// Looks in a row that could not be judged before the rollout is held.
  package var errorLimit = 4
  package var onRegress = RolloutPhase.Regress.rollback
  /// Metrics that are judged and shown but never acted on.
  package var dryRun: Set<GuardMetric> = []
  package var margins: [GuardMetric: Double] = [:]
  package var absolutes: [GuardMetric: Double] = [:]

  package init() {}
}

/// Watches one flag's two variants side by side in one process, and takes the new one back when it is worse.
///
/// It decides in memory only: the flag file is never written by a gateway. What it did stays latched until a newer
/// file acknowledges it, and survives a restart as `json`.
package struct GuardMachine: Sendable {
  /// What holds beside the file.
  package enum Effect: String, Sendable {
    /// The file alone decides.
    case none
    /// Nobody else may get the new variant; who has it keeps it.
    case hold
    /// Everybody gets the old variant, closing streams too.
    case rollback
  }

  /// A decision that stays until it is acknowledged.
  package struct Latch: Equatable, Sendable {
    package var effect: Effect
    /// Revision and hash of the file that was in force.
    package var revision: String
    package var hash: String
    package var at: WallTime
    package var reason: String
  }

  /// What one look led to; told once, when it changes.
  package enum Transition: Equatable, Sendable {
    case tripped(Latch)
    case released(revision: String)
    case verdict(RolloutEvidence.Verdict)
  }

  package var policy: GuardPolicy
  package private(set) var latch: Latch?
  /// The last look, by metric.
  package private(set) var reports: [GuardReport] = []
  package private(set) var verdict = RolloutEvidence.Verdict.inconclusive
  /// Sums at the last looks, the oldest first.
  private var history: [(on: GuardArm, off: GuardArm)] = []
  /// The sums when the current phase began: what `rollout advance` is told is counted from there.
  private var phaseStart: (on: GuardArm, off: GuardArm) = (GuardArm(), GuardArm())
  private var latest: (on: GuardArm, off: GuardArm) = (GuardArm(), GuardArm())
  private var failures: [GuardMetric: Int] = [:]
  private var errors = 0
  private var file: (revision: String, hash: String) = ("", "")

  package init(policy: GuardPolicy = GuardPolicy()) {
    self.policy = policy
  }

  package var effect: Effect { latch?.effect ?? .none }

  /// Streams of the smaller arm in the current phase.
  package var phaseSamples: Int {
    min((latest.on - phaseStart.on).closed, (latest.off - phaseStart.off).closed)
  }

  /// A new flag file is in force. Counting begins anew, and a file that names the latched revision opens the latch.
  package mutating func fileChanged(revision: String, hash: String, acknowledged: String) -> Transition? {
    guard hash != file.hash else { return nil }
    file = (revision, hash)
    history = [latest]
    phaseStart = latest
    failures = [:]
    errors = 0
    reports = []
    verdict = .inconclusive
    guard let latch, latch.hash != hash, !acknowledged.isEmpty, acknowledged == latch.revision else { return nil }
    self.latch = nil
    return .released(revision: acknowledged)
  }

  /// One look at the sums of all workers. To be called every `policy.interval`, holds included.
  package mutating func look(on: GuardArm, off: GuardArm, at now: WallTime) -> [Transition] {
    latest = (on, off)
    history.append((on, off))
    if history.count > policy.window + 1 { history.removeFirst(history.count - policy.window - 1) }
    guard let oldest = history.first else { return [] }
    reports = GuardMetric.allCases.map { metric in
      GuardStatistics.compare(
        metric, on: on - oldest.on, off: off - oldest.off, minSamples: policy.minSamples,
        margin: policy.margins[metric] ?? metric.standardMargin,
        absolute: policy.absolutes[metric] ?? metric.standardAbsolute)
    }
    var transitions: [Transition] = []
    let before = verdict
    verdict = overall()
    if verdict != before { transitions.append(.verdict(verdict)) }
    if latch == nil, let latch = judge(at: now) {
      self.latch = latch
      transitions.append(.tripped(latch))
    }
    return transitions
  }

  private var judged: [GuardReport] { reports.filter { !policy.dryRun.contains($0.metric) } }

  /// One failure is a failure; what cannot be judged is neither good nor bad.
  private func overall() -> RolloutEvidence.Verdict {
    for verdict in [RolloutEvidence.Verdict.fail, .error, .inconclusive]
    where judged.contains(where: { $0.verdict == verdict }) { return verdict }
    return .pass
  }

  private mutating func judge(at now: WallTime) -> Latch? {
    for report in judged {
      failures[report.metric] = report.verdict == .fail ? failures[report.metric, default: 0] + 1 : 0
    }
    errors = verdict == .error ? errors + 1 : 0
    let action: Effect = policy.onRegress == .rollback ? .rollback : .hold
    if let report = judged.first(where: \.isHardStop) {
      return latch(action, "\(report.metric.rawValue) is beyond its absolute limit: \(describe(report))", now)
    }
    if let report = judged.first(where: { failures[$0.metric, default: 0] >= policy.failLimit }) {
      return latch(action, "\(report.metric.rawValue) is worse: \(describe(report))", now)
    }
    if errors >= policy.errorLimit { return latch(.hold, "the metrics could not be judged \(errors) times", now) }
    return nil
  }

  private func latch(_ effect: Effect, _ reason: String, _ now: WallTime) -> Latch {
    Latch(effect: effect, revision: file.revision, hash: file.hash, at: now, reason: reason)
  }

  private func describe(_ report: GuardReport) -> String {
    func rounded(_ value: Double) -> String { JSONValue.text(of: (value * 10_000).rounded() / 10_000) }
    return "\(rounded(report.values.on)) against \(rounded(report.values.off)), "
      + "difference \(rounded(report.interval.lowerBound)) to \(rounded(report.interval.upperBound))"
  }
}

/// The state file, and what `/flags` shows.
extension GuardMachine {
  /// What must survive a restart: the latch.
  package var json: JSONValue {
    guard let latch else { return ["latch": .null] }
    return [
      "latch": [
        "effect": .string(latch.effect.rawValue), "revision": .string(latch.revision), "hash": .string(latch.hash),
        "at": .string(latch.at.rfc3339), "reason": .string(latch.reason),
      ]
    ]
  }

  /// Takes the latch over from a state file; anything unreadable is no latch.
  package mutating func restore(_ json: JSONValue) {
    guard let saved = json["latch"], let effect = saved["effect"]?.string.flatMap(Effect.init), effect != .none,
      let revision = saved["revision"]?.string, let hash = saved["hash"]?.string
    else { return }
    let at = saved["at"]?.string.flatMap(WallTime.init(rfc3339:)) ?? WallTime(milliseconds: 0)
    latch = Latch(
      effect: effect, revision: revision, hash: hash, at: at, reason: saved["reason"]?.string ?? "")
  }

  /// For `/flags`: effect, verdict and every comparison.
  package var report: JSONValue {
    [
      "effect": .string(effect.rawValue), "verdict": .string(verdict.rawValue), "samples": JSONValue(phaseSamples),
      "latch": json["latch"] ?? .null,
      "metrics": .array(
        reports.map { report in
          [
            "metric": .string(report.metric.rawValue), "verdict": .string(report.verdict.rawValue),
            "samplesOn": JSONValue(report.samples.on), "samplesOff": JSONValue(report.samples.off),
            "on": Self.number(report.values.on), "off": Self.number(report.values.off),
            "differenceLow": Self.number(report.interval.lowerBound),
            "differenceHigh": Self.number(report.interval.upperBound),
            "dryRun": .bool(policy.dryRun.contains(report.metric)),
          ]
        }),
    ]
  }

  private static func number(_ value: Double) -> JSONValue { value.isFinite ? .number(value) : .null }
}
