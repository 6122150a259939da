internal import JSON
package import Time

/// Why a step cannot be taken now.
package struct RolloutRefusal: Error, Equatable, Sendable, CustomStringConvertible {
  /// A word for programs.
  package var code: String
  package var description: String
  /// What to do instead.
  package var nextAction: String

  package init(_ code: String, _ description: String, next nextAction: String) {
    self.code = code
    self.description = description
    self.nextAction = nextAction
  }
}

/// The steps. Each gives the rollout after it, or `self` when it already stands there.
extension Rollout {
  package static func start(
    variant: String, fallback: String, phases: [RolloutPhase], internalKeys: [String],
    internalHeader: EvaluationContext.Header?, at now: WallTime
  ) -> Rollout {
    Rollout(
      variant: variant, fallback: fallback, internalKeys: internalKeys, internalHeader: internalHeader, phases: phases,
      index: 0, status: .running, startedAt: now, since: now, cause: "", acknowledged: "", forced: [])
  }

  /// Whether `other` would begin the same rollout.
  package func hasSamePlan(as other: Rollout) -> Bool {
    variant == other.variant && fallback == other.fallback && phases == other.phases
      && internalKeys == other.internalKeys && internalHeader?.name == other.internalHeader?.name
      && internalHeader?.value == other.internalHeader?.value
  }

  /// The next phase, or the phase `name`.
  /// - Parameter isForced: skips every condition but the order of states.
  package func advanced(
    to name: String? = nil, evidence: RolloutEvidence?, requiresPass: Bool = false, isForced: Bool, at now: WallTime
  ) throws(RolloutRefusal) -> Rollout {
    try requireRunning("advance")
    let target = try position(of: name)
    guard target != index else { return self }
    guard target > index else {
      throw RolloutRefusal(
        "not_forward", "a rollout does not go back one phase",
        next: "fermata flags rollout abort, then fermata flags rollout resume --ack REVISION --admin URL")
    }
    if !isForced {
      guard target == index + 1 else {
        throw RolloutRefusal(
          "skips_phases", "\(target - index - 1) phase(s) would be skipped",
          next: "fermata flags rollout advance, or the same with --force and --reason TEXT")
      }
      try require(criteria(evidence, requiresPass: requiresPass, at: now))
    }
    var next = self
    next.index = target
    next.forced = []
    if isForced {
      next.forced = unmet(evidence, requiresPass, now) + (target > index + 1 ? ["skips_phases"] : [])
    }
    next.since = now
    next.cause = ""
    return next
  }

  /// The conditions that a forced step skips.
  private func unmet(_ evidence: RolloutEvidence?, _ requiresPass: Bool, _ now: WallTime) -> [String] {
    criteria(evidence, requiresPass: requiresPass, at: now).filter { !$0.isMet }.map(\.code)
  }

  /// Refuses with the first condition that is not met, and names the others.
  private func require(_ criteria: [RolloutCriterion]) throws(RolloutRefusal) {
    let missing = criteria.filter { !$0.isMet }
    guard let criterion = missing.first else { return }
    throw RolloutRefusal(
      criterion.code, "\(phase.name) can't be left yet: \(missing.map(\.description).joined(separator: "; "))",
      next: "\(criterion.nextAction), or the same command with --force")
  }

  private func position(of name: String?) throws(RolloutRefusal) -> Int {
    guard let name else {
      guard !isLastPhase else {
        throw RolloutRefusal("last_phase", "\"\(phase.name)\" is the last phase", next: "fermata flags rollout finish")
      }
      return index + 1
    }
    guard let position = phases.firstIndex(where: { $0.name == name }) else {
      let names = phases.map(\.name).joined(separator: ", ")
      throw RolloutRefusal("unknown_phase", "there is no phase \"\(name)\"", next: "--to takes one of \(names)")
    }
    return position
  }

  package func held(_ cause: String, at now: WallTime) throws(RolloutRefusal) -> Rollout {
    if status == .held { return self }
    try requireRunning("hold")
    return with(.held, cause, at: now)
  }

  /// Goes on after a hold, in the same phase and with its checks from the beginning; after a roll-back, begins again at
  /// the first share with the same members, or in the internal phase where it had come no further. A rollout that runs
  /// is not moved.
  ///
  /// - Parameters:
  ///   - acknowledged: the revision whose roll-back is acknowledged; needed after one. It must be that of the guard's trip
  ///     that is in force, or where there is none, that in which the rollout was aborted.
  ///   - latched: the revision whose roll-back by the guard is in force, "" when none is, `nil` when no gateway was asked.
  package func resumed(
    acknowledging acknowledged: String?, latched: String?, at now: WallTime
  ) throws(RolloutRefusal) -> Rollout {
    if status == .finished {
      throw RolloutRefusal(
        "finished", "the rollout is finished",
        next: "fermata flags rollout abort takes it back; fermata flags ack opens a guard's latch")
    }
    if let acknowledged, acknowledged == self.acknowledged, status == .running, latched ?? "" == "" { return self }
    if acknowledged == nil, let latched, !latched.isEmpty {
      throw RolloutRefusal(
        "not_acknowledged", "the guard has taken revision \(latched) back",
        next: "when the cause is mended: fermata flags rollout resume --ack \(latched) --admin URL")
    }
    if let acknowledged, try isOfTrip(acknowledged, latched) { return restarted(acknowledged, at: now) }
    switch status {
    case .running, .finished: return self
    case .held: return with(.running, "", at: now)
    case .rolledBack:
      try requireAbort(acknowledged, isChecked: latched != nil)
      return restarted(acknowledged ?? "", at: now)
    }
  }

  /// Refuses another number than that of the abort, and one that no gateway was asked about: its guard may have taken
  /// something back before. A plan that asks the gateways nothing goes on without them here too.
  private func requireAbort(_ acknowledged: String?, isChecked: Bool) throws(RolloutRefusal) {
    let command = "fermata flags rollout resume --ack \(abortText) --admin URL"
    guard let acknowledged else {
      throw RolloutRefusal("not_acknowledged", "the roll-back is not acknowledged", next: command)
    }
    // A file of an earlier release does not say it.
    guard abortRevision == nil || acknowledged == abortText else {
      throw RolloutRefusal(
        "wrong_revision", "the rollout was aborted in revision \(abortText), not \(acknowledged)", next: command)
    }
    guard isChecked || phases.allSatisfy(\.needsNoEvidence) else {
      throw RolloutRefusal(
        "not_checked", "no gateway was asked whether its guard has taken something back too", next: command)
    }
  }

  private var abortText: String { abortRevision.map(String.init) ?? "REVISION" }

  /// Whether the acknowledgement is of the guard's trip that is in force; one of anything else is refused where the
  /// rollout would move although nothing has stopped it.
  private func isOfTrip(_ acknowledged: String, _ latched: String?) throws(RolloutRefusal) -> Bool {
    if let latched, !latched.isEmpty {
      guard latched == acknowledged else {
        throw RolloutRefusal(
          "wrong_revision", "the trip that is in force is of revision \(latched), not \(acknowledged)",
          next: "fermata flags rollout resume --ack \(latched) --admin URL")
      }
      return true
    }
    guard status == .running || status == .held else { return false }
    throw latched == nil
      ? RolloutRefusal(
        "not_checked", "the rollout is not rolled back in the file, and no gateway was asked what its guard did",
        next: "the same command with --admin URL, so that the number can be checked")
      : RolloutRefusal(
        "no_trip", "no gateway that was asked has taken anything back", next: "the same command without --ack")
  }

  private func restarted(_ acknowledged: String, at now: WallTime) -> Rollout {
    var next = with(.running, "", at: now)
    next.acknowledged = acknowledged
    next.forced = []
    // Back to the checks, never past them.
    next.index = min(index, phases.firstIndex { $0.share > 0 } ?? 0)
    return next
  }

  /// The allow-list with a key more or less.
  package func withInternal(_ key: String, isIn: Bool) -> Rollout {
    var next = self
    next.internalKeys.removeAll { $0 == key }
    if isIn { next.internalKeys = internalKeys.contains(key) ? internalKeys : internalKeys + [key] }
    return next
  }

  /// The same rollout with other phases; it stays where it is, so the new plan must have its share.
  package func withPhases(_ phases: [RolloutPhase]) throws(RolloutRefusal) -> Rollout {
    guard status != .finished else {
      throw RolloutRefusal("finished", "the rollout is finished", next: "nothing is left to plan")
    }
    guard let index = phases.firstIndex(where: { $0.share == phase.share }) else {
      let percent = JSONValue.text(of: Double(phase.share) / 100)
      throw RolloutRefusal(
        "share_missing", "\(phase.name) has \(percent) %, which the new plan does not have",
        next: "the same command with \(percent) in --plan")
    }
    var next = self
    next.phases = phases
    next.index = index
    if isEased(by: phases), !forced.contains(Self.eased) { next.forced.append(Self.eased) }
    return next
  }

  /// Stands among what was forced when the conditions of a rollout that runs were made easier.
  private static let eased = "conditions_eased"

  /// Whether a phase that is there or to come could be left earlier than by the plan until now.
  private func isEased(by plan: [RolloutPhase]) -> Bool {
    phases[index...].contains { old in
      plan.contains { new in
        new.share == old.share
          && (new.minSeconds < old.minSeconds || new.minStreams < old.minStreams
            || new.minIdentities < old.minIdentities)
      }
    }
  }

  /// Back to nobody, the allow-list aside.
  package func aborted(_ cause: String, dropsInternal: Bool, at now: WallTime) -> Rollout {
    if status == .rolledBack, !dropsInternal || internalKeys.isEmpty { return self }
    var next = with(.rolledBack, cause, at: now)
    next.forced = []
    if dropsInternal {
      next.internalKeys = []
      next.internalHeader = nil
    }
    return next
  }

  /// Takes the fraction out and makes the variant everybody's default.
  package func finished(
    evidence: RolloutEvidence?, requiresPass: Bool = false, isForced: Bool, at now: WallTime
  ) throws(RolloutRefusal) -> Rollout {
    if status == .finished { return self }
    try requireRunning("finish")
    guard isLastPhase, share == RolloutPhase.wholeShare || isForced else {
      throw RolloutRefusal(
        "not_last_phase", "\(phase.name) is not the last phase", next: "fermata flags rollout advance")
    }
    if !isForced { try require(criteria(evidence, requiresPass: requiresPass, at: now)) }
    var next = with(.finished, "", at: now)
    next.forced = []
    if isForced {
      next.forced = unmet(evidence, requiresPass, now) + (share < RolloutPhase.wholeShare ? ["not_last_phase"] : [])
    }
    return next
  }

  private func with(_ status: Status, _ cause: String, at now: WallTime) -> Rollout {
    var next = self
    next.status = status
    next.abortRevision = nil
    next.cause = cause
    next.since = now
    return next
  }

  private func requireRunning(_ step: String) throws(RolloutRefusal) {
    switch status {
    case .running: return
    case .held:
      throw RolloutRefusal("held", "the rollout is held: \(cause)", next: "fermata flags rollout resume")
    case .rolledBack:
      throw RolloutRefusal(
        "rolled_back", "it was rolled back: \(cause)",
        next: "fermata flags rollout resume --ack \(abortText) --admin URL")
    case .finished:
      throw RolloutRefusal(
        "finished", "the rollout is finished",
        next: "nothing is left to \(step); fermata flags rollout clear takes it out of the file")
    }
  }

  /// The steps that are possible now.
  package var availableActions: [String] {
    switch status {
    case .running: [isLastPhase ? "finish" : "advance", "hold", "abort"]
    case .held: ["resume", "abort"]
    case .rolledBack: ["resume --ack \(abortText)"]
    case .finished: ["abort"]
    }
  }
}
