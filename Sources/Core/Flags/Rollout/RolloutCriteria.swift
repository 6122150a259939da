package import Time

/// What is known about the running gateways when a rollout is to go on.
package struct RolloutEvidence: Equatable, Sendable {
  /// What a gateway's guard has done and nobody has acknowledged.
  package struct Trip: Equatable, Sendable {
    package var gateway: String
    package var revision: String
    package var effect: GuardMachine.Effect

    package init(gateway: String, revision: String, effect: GuardMachine.Effect) {
      (self.gateway, self.revision, self.effect) = (gateway, revision, effect)
    }
  }

  /// The guard's word on all streams since the phase began.
  package var verdict: GuardVerdict
  /// Whether a metric was worse at any look in this phase, or the guard has acted.
  package var wasWorse = false
  /// Judged streams of the new variant since the phase began.
  package var streams: Int
  /// At least so many different clients had them; no more than `GuardArm.buckets` are told apart.
  package var identities: Int
  /// Streams of the allow-list that ended well with the new variant, since the phase began.
  package var internalCompleted = 0
  /// Whether all workers serve the file as it is on disk.
  package var workersAgree: Bool
  /// The trips that are in force.
  package var trips: [Trip] = []
  /// The gateways that are killed.
  package var killed: [String] = []
  /// The gateways that take no new streams.
  package var draining: [String] = []

  package init(verdict: GuardVerdict, streams: Int, identities: Int, workersAgree: Bool) {
    self.verdict = verdict
    self.streams = streams
    self.identities = identities
    self.workersAgree = workersAgree
  }
}

/// One condition for leaving a phase: what is there, what is needed, and what to do about it.
package struct RolloutCriterion: Equatable, Sendable {
  /// A word for programs, and for the audit log when the condition was overridden.
  package var code: String
  package var isMet: Bool
  /// For people: `34 of 100 treated streams, about 1 h 40 min to go`.
  package var description: String
  package var nextAction: String

  /// Whether it says how many streams or clients there were.
  package var isCount: Bool { ["no_internal_stream", "too_few_streams", "too_few_identities"].contains(code) }
}

extension Rollout {
  /// Every condition for leaving the current phase, met or not; what has stopped the rollout comes first.
  ///
  /// - Parameters:
  ///   - requiresPass: asks for proof that the new variant is not worse, where otherwise the absence of harm is enough.
  ///   - isEnabled: whether the flag is enabled in the file.
  package func criteria(
    _ evidence: RolloutEvidence?, requiresPass: Bool = false, isEnabled: Bool = true, at now: WallTime
  ) -> [RolloutCriterion] {
    let elapsed = max(0, Int((now.milliseconds - since.milliseconds) / 1000))
    var criteria = [heldCriterion, Self.killedCriterion(evidence, isEnabled)]
    if let evidence { criteria += [Self.tripCriterion(evidence), Self.drainCriterion(evidence)] }
    criteria.append(timeCriterion(elapsed))
    guard let evidence else {
      if !phase.needsNoEvidence {
        criteria.append(
          RolloutCriterion(
            code: "no_evidence", isMet: false, description: "the guard's report is not known",
            nextAction: "the same command with --admin URL"))
      }
      return criteria
    }
    if phase.share == 0 {
      criteria.append(internalCriterion(evidence))
    } else {
      criteria.append(countCriterion("too_few_streams", "streams", evidence.streams, phase.minStreams, elapsed))
      let identities = min(phase.minIdentities, GuardArm.buckets)
      criteria.append(countCriterion("too_few_identities", "identities", evidence.identities, identities, elapsed))
      criteria.append(guardCriterion(evidence, requiresPass: requiresPass))
    }
    criteria.append(
      RolloutCriterion(
        code: "workers_differ", isMet: evidence.workersAgree,
        description: evidence.workersAgree ? "all workers serve this file" : "not all workers serve this file",
        nextAction:
          "wait a second and try again; fermata flags rollout status --json --admin URL shows each worker's file"))
    return criteria
  }

  private var heldCriterion: RolloutCriterion {
    let isHeld = status == .held
    return RolloutCriterion(
      code: "held", isMet: !isHeld, description: isHeld ? "the rollout is held: \(cause)" : "the rollout is not held",
      nextAction: "fermata flags rollout resume")
  }

  private static func killedCriterion(_ evidence: RolloutEvidence?, _ isEnabled: Bool) -> RolloutCriterion {
    let gateways = evidence?.killed ?? []
    let killed = (isEnabled ? [] : ["the flag is disabled in the file"]) + gateways.map { "\($0) is killed" }
    let command = "fermata flags unkill" + gateways.map { " --admin \($0)" }.joined()
    return RolloutCriterion(
      code: "killed", isMet: killed.isEmpty,
      description: killed.isEmpty ? "nothing is killed" : killed.joined(separator: ", "),
      nextAction: isEnabled ? command : "fermata flags enable")
  }

  private static func tripCriterion(_ evidence: RolloutEvidence) -> RolloutCriterion {
    let trips = evidence.trips.map { trip in
      let did = trip.effect == .hold ? "holds revision \(trip.revision)" : "has taken revision \(trip.revision) back"
      return "the guard of \(trip.gateway) \(did)"
    }
    let command = "fermata flags rollout resume --ack \(evidence.trips.first?.revision ?? "REVISION")"
    return RolloutCriterion(
      code: "latched", isMet: trips.isEmpty,
      description: trips.isEmpty ? "the guard has taken nothing back" : trips.joined(separator: ", "),
      nextAction: command + evidence.trips.map { " --admin \($0.gateway)" }.joined())
  }

  private static func drainCriterion(_ evidence: RolloutEvidence) -> RolloutCriterion {
    RolloutCriterion(
      code: "draining", isMet: evidence.draining.isEmpty,
      description: evidence.draining.isEmpty
        ? "no gateway is draining"
        : evidence.draining.map { "\($0) is draining: it takes no new streams" }.joined(separator: ", "),
      nextAction: "wait for the process that takes its place, and ask that")
  }

  private func timeCriterion(_ elapsed: Int) -> RolloutCriterion {
    let rest = phase.minSeconds - elapsed
    return RolloutCriterion(
      code: "too_early", isMet: rest <= 0,
      description: "\(DurationText.short(elapsed)) of at least \(DurationText.short(phase.minSeconds))"
        + (rest > 0 ? ", \(DurationText.short(rest)) to go" : ""), nextAction: "wait")
  }

  private func internalCriterion(_ evidence: RolloutEvidence) -> RolloutCriterion {
    let count = evidence.internalCompleted
    return RolloutCriterion(
      code: "no_internal_stream", isMet: count >= phase.minStreams,
      description: "\(count) internal \(count == 1 ? "stream" : "streams") completed with \"\(variant)\","
        + " \(phase.minStreams) needed",
      nextAction: "open a stream as a client of the allow-list that understands stream_end")
  }

  /// The rest at the present rate is told where there is a rate.
  private func countCriterion(
    _ code: String, _ what: String, _ count: Int, _ needed: Int, _ elapsed: Int
  ) -> RolloutCriterion {
    var text = "\(count) of \(needed) treated \(what)"
    if count < needed, count > 0 {
      let rest = Double(needed - count) * Double(elapsed) / Double(count)
      text += ", about \(DurationText.short(Int(min(rest, 1e9).rounded(.up)))) to go at this rate"
    }
    return RolloutCriterion(
      code: code, isMet: count >= needed, description: text, nextAction: "wait for traffic of the new variant")
  }

  private func guardCriterion(_ evidence: RolloutEvidence, requiresPass: Bool) -> RolloutCriterion {
    // With everybody in there is no second arm: the guard watches the absolute limits alone.
    let isAlone = phase.share == RolloutPhase.wholeShare && evidence.verdict == .noControl
    let isGood = evidence.verdict == .pass || (evidence.verdict == .noHarmSeen && !requiresPass) || isAlone
    var text = "the guard says \(evidence.verdict.rawValue)"
    if evidence.wasWorse { text += ", and it saw a metric worse in this phase" }
    return RolloutCriterion(
      code: "guard", isMet: isGood && !evidence.wasWorse, description: text,
      nextAction: "fermata flags rollout status --admin URL compares both arms by every metric")
  }
}

/// Durations for people.
package enum DurationText {
  /// `45 s`, `12 min`, `1 h 40 min`, `3 d 2 h`: two units at most, from whole seconds.
  package static func short(_ seconds: Int) -> String {
    let units = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")]
    guard let first = units.firstIndex(where: { seconds >= $0.0 }) else { return "0 s" }
    let (size, name) = units[first]
    let text = "\(seconds / size) \(name)"
    guard first + 1 < units.count else { return text }
    let (nextSize, nextName) = units[first + 1]
    let rest = seconds % size / nextSize
    return rest == 0 ? text : "\(text) \(rest) \(nextName)"
  }
}
