package import JSON
package import Time

/// Watches the two arms of one flag's fraction side by side in one process, and takes the new variant back when it is
/// worse.
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
    case verdict(GuardVerdict)
  }

  /// The sums of both arms at one moment.
  private struct Sums {
    var treated = GuardArm()
    var control = GuardArm()

    static func - (later: Sums, earlier: Sums) -> Sums {
      Sums(treated: later.treated - earlier.treated, control: later.control - earlier.control)
    }
  }

  package var policy: GuardPolicy
  package private(set) var latch: Latch?
  /// The last looks together, by metric: what the guard acts on.
  package private(set) var reports: [GuardReport] = []
  package private(set) var verdict = GuardVerdict.notEnough
  /// All since the file changed, by metric: what `rollout advance` goes by. A small installation has few streams in
  /// any window, and many in a phase.
  package private(set) var phaseReports: [GuardReport] = []
  /// Whether a metric was worse in any look since the file changed.
  package private(set) var wasWorse = false
  /// Sums at the last looks, the oldest first.
  private var history: [Sums] = []
  private var phaseStart = Sums()
  private var latest = Sums()
  private var failures: [GuardMetric: Int] = [:]
  private var file: (revision: String, hash: String) = ("", "")
  private var isResting = false

  package init(policy: GuardPolicy = GuardPolicy()) {
    self.policy = policy
  }

  package var effect: Effect { latch?.effect ?? .none }

  /// The verdict on all since the file changed.
  package var phaseVerdict: GuardVerdict { policy.overall(phaseReports) }

  /// Judged streams of the new variant since the file changed, and in how many buckets of clients.
  package var phaseTreated: (streams: Int, identities: Int) {
    let arm = latest.treated - phaseStart.treated
    return (arm.streams, arm.identities)
  }

  /// The process is draining: what ends now says nothing of the new variant. There is no way back.
  package mutating func rest() { isResting = true }

  /// A new flag file is in force. Counting begins anew, and a file that names the latched revision opens the latch.
  ///
  /// - Parameter sums: of both arms until now; what was counted since the last look belongs to the file before.
  package mutating func fileChanged(
    revision: String, hash: String, acknowledged: String, sums: GuardArms? = nil
  ) -> Transition? {
    guard hash != file.hash else { return nil }
    if let sums { latest = Sums(treated: sums.treated, control: sums.control) }
    file = (revision, hash)
    history = [latest]
    phaseStart = latest
    failures = [:]
    reports = []
    phaseReports = []
    wasWorse = false
    verdict = .notEnough
    guard let latch, latch.hash != hash, !acknowledged.isEmpty, acknowledged == latch.revision else { return nil }
    self.latch = nil
    return .released(revision: acknowledged)
  }

  /// Another gateway has tripped: what it took back is taken back here too. A process that is draining takes nothing.
  ///
  /// - Returns: whether anything is different now.
  package mutating func adopt(_ latch: Latch) -> Bool {
    guard !isResting, latch != self.latch, latch.effect != .none else { return false }
    // A hold elsewhere gives nothing back here.
    guard self.latch?.effect != .rollback || latch.effect == .rollback else { return false }
    self.latch = latch
    return true
  }

  /// Judges the sums of all workers once, which is a look. To be called every `policy.interval`, holds included.
  package mutating func evaluate(treated: GuardArm, control: GuardArm, at now: WallTime) -> [Transition] {
    guard !isResting else { return [] }
    latest = Sums(treated: treated, control: control)
    history.append(latest)
    if history.count > policy.window + 1 { history.removeFirst(history.count - policy.window - 1) }
    guard let oldest = history.first else { return [] }
    let (window, phase) = (latest - oldest, latest - phaseStart)
    reports = policy.reports(treated: window.treated, control: window.control)
    phaseReports = policy.reports(treated: phase.treated, control: phase.control)
    var transitions: [Transition] = []
    let before = verdict
    verdict = policy.overall(reports)
    if verdict == .worse || phaseVerdict == .worse { wasWorse = true }
    if verdict != before { transitions.append(.verdict(verdict)) }
    if let latch = judge(at: now) {
      self.latch = latch
      transitions.append(.tripped(latch))
    }
    return transitions
  }

  /// A fault may be sudden or slow: the last looks show the one, all since the file changed the other.
  private mutating func judge(at now: WallTime) -> Latch? {
    for (window, phase) in zip(reports, phaseReports) where !policy.dryRun.contains(window.metric) {
      let isWorse = window.verdict == .worse || phase.verdict == .worse
      failures[window.metric] = isWorse ? failures[window.metric, default: 0] + 1 : 0
      guard latch == nil else { continue }
      let name = window.metric.rawValue
      if window.isHardStop { return latch("\(name) is above its absolute limit: \(window.summary)", now) }
      guard failures[window.metric, default: 0] >= policy.failLimit else { continue }
      return latch("\(name) is worse: \((window.verdict == .worse ? window : phase).summary)", now)
    }
    return nil
  }

  private func latch(_ reason: String, _ now: WallTime) -> Latch {
    Latch(
      effect: policy.onRegress == .rollback ? .rollback : .hold, revision: file.revision, hash: file.hash, at: now,
      reason: reason)
  }
}

extension GuardMachine.Latch {
  package var json: JSONValue {
    [
      "effect": .string(effect.rawValue), "revision": .string(revision), "hash": .string(hash),
      "at": .string(at.rfc3339), "reason": .string(reason),
    ]
  }

  /// Reads what `json` wrote; `nil` when it is anything else.
  package init?(_ json: JSONValue?) {
    guard let json, let effect = json["effect"]?.string.flatMap(GuardMachine.Effect.init), effect != .none,
      let revision = json["revision"]?.string, let hash = json["hash"]?.string
    else { return nil }
    let at = json["at"]?.string.flatMap(WallTime.init(rfc3339:)) ?? WallTime(milliseconds: 0)
    self.init(effect: effect, revision: revision, hash: hash, at: at, reason: json["reason"]?.string ?? "")
  }
}

/// The state file, and what `/flags` shows.
extension GuardMachine {
  /// What must survive a restart: the latch.
  package var json: JSONValue {
    ["latch": latch?.json ?? .null]
  }

  /// Takes the latch over from a state file; anything unreadable is no latch.
  package mutating func restore(_ json: JSONValue) {
    latch = Latch(json["latch"]) ?? latch
  }

  /// For `/flags`: effect, verdicts and every comparison, of the last looks and of the whole phase.
  package var report: JSONValue {
    let treated = phaseTreated
    return [
      "effect": .string(effect.rawValue), "verdict": .string(verdict.rawValue), "latch": json["latch"] ?? .null,
      "metrics": .array(reports.map { $0.json(isDryRun: policy.dryRun.contains($0.metric)) }),
      "phase": [
        "verdict": .string(phaseVerdict.rawValue), "wasWorse": .bool(wasWorse), "streams": JSONValue(treated.streams),
        "identities": JSONValue(treated.identities),
        "metrics": .array(phaseReports.map { $0.json(isDryRun: policy.dryRun.contains($0.metric)) }),
      ],
    ]
  }
}

extension GuardReport {
  func json(isDryRun: Bool) -> JSONValue {
    [
      "metric": .string(metric.rawValue), "verdict": .string(verdict.rawValue), "missing": .string(missing),
      "summary": .string(summary),
      "treated": treated.json(isRate: metric.isRate), "control": control.json(isRate: metric.isRate),
      "differenceLow": .number(Self.rounded(interval.lowerBound)),
      "differenceHigh": .number(Self.rounded(interval.upperBound)),
      "noticeable": noticeable.isFinite ? .number(Self.rounded(noticeable)) : .null, "dryRun": .bool(isDryRun),
    ]
  }

  /// One line for people: both values, how many streams and identities, and what would have been noticed.
  package var summary: String {
    "\(describe(treated)) against \(describe(control)); \(sensitivity)"
  }

  /// Nothing is compared while an arm is empty. No rate rises by more than 100 points; of a time, a rise to more than
  /// tenfold is not worth a number.
  private var sensitivity: String {
    guard treated.samples > 0, control.samples > 0, noticeable.isFinite, noticeable < (metric.isRate ? 1 : 9) else {
      return "no rise would have been noticed yet"
    }
    let rise = JSONValue.text(of: (noticeable * 1000).rounded() / 10) + (metric.isRate ? " points" : " %")
    return "a rise of \(rise) or more would have been noticed"
  }

  private func describe(_ arm: RatioEstimate) -> String {
    guard arm.samples > 0 else { return "no streams" }
    let identities = arm.occupied == GuardArm.buckets ? "\(arm.occupied) or more" : "\(arm.occupied)"
    let count = "of \(arm.samples) streams, \(identities) identities"
    guard metric.isRate else {
      return "\(Int(min(Logarithm.exponential(arm.ratio), 1e15).rounded())) ms (\(count))"
    }
    return "\(Self.percent(arm.ratio)) (\(count))"
  }

  static func percent(_ value: Double) -> String { JSONValue.text(of: (value * 1000).rounded() / 10) + " %" }

  static func rounded(_ value: Double) -> Double { (value * 100_000).rounded() / 100_000 }
}

extension RatioEstimate {
  fileprivate func json(isRate: Bool) -> JSONValue {
    let value = isRate ? GuardReport.rounded(ratio) : Logarithm.exponential(ratio).rounded()
    return [
      "samples": JSONValue(samples), "identities": JSONValue(occupied),
      "value": samples == 0 ? .null : .number(value),
    ]
  }
}
