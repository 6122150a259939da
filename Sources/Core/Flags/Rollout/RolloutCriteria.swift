package import Time

/// What is known about the running gateways when a rollout is to go on.
package struct RolloutEvidence: Equatable, Sendable {
  /// The guard's word on all streams since the phase began.
  package var verdict: GuardVerdict
  /// Whether a metric was worse at any look in this phase, or the guard has acted.
  package var wasWorse = false
  /// Judged streams of the new variant since the phase began.
  package var streams: Int
  /// At least so many different clients had them.
  package var identities: Int
  /// Streams of the allow-list that ended well with the new variant, since the phase began.
  package var internalCompleted = 0
  /// Whether all workers serve the file as it is on disk.
  package var workersAgree: Bool

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
}

extension Rollout {
  /// Every condition for leaving the current phase, met or not.
  ///
  /// - Parameter requiresPass: asks for proof that the new variant is not worse, where otherwise the absence of harm is
  ///   enough.
  package func criteria(
    _ evidence: RolloutEvidence?, requiresPass: Bool = false, at now: WallTime
  ) -> [RolloutCriterion] {
    let elapsed = max(0, Int((now.milliseconds - since.milliseconds) / 1000))
    var criteria = [timeCriterion(elapsed)]
    guard let evidence else {
      if !needsNoEvidence {
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
      criteria.append(
        countCriterion("too_few_identities", "identities", evidence.identities, phase.minIdentities, elapsed))
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

  private var needsNoEvidence: Bool { phase.minStreams == 0 && phase.minIdentities == 0 }

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
