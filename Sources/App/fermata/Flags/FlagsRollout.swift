import Flags
import JSON

/// `rollout start`, `advance`, `hold`, `resume`, `abort`, `finish`. `status` has a file of its own.
extension FlagsVerb {
  static let rolloutVerbs: [FlagsVerb] = [
    rolloutStart, rolloutStatus, rolloutAdvance, rolloutHold, rolloutResume, rolloutAbort, rolloutFinish,
  ]

  private static let rolloutStart = FlagsVerb(
    name: "rollout start", summary: "begin to introduce a variant, with the allow-list",
    usage: "[KEY] --variant VARIANT --reason TEXT [OPTION …]",
    details: """
        --variant VARIANT      what is introduced
        --fallback VARIANT     what everybody has meanwhile; default: the default variant
        --internal KEY         a targeting key that gets it at once; may be given several times
        --internal-file FILE   such keys, one a line
        --internal-header NAME=VALUE   a header that marks such clients
        --plan 1,5,25,100      percent of each phase
        --min-duration 1h      how long a phase lasts at least
        --min-streams 100      streams of the variant that must have ended before a phase is left
        --min-identities 8     different clients that must have had them
        --on-regress hold|rollback     what the guard does when the variant is worse
      """,
    options: [
      "--variant", "--fallback", "--internal", "--internal-file", "--internal-header", "--plan", "--min-duration",
      "--min-streams", "--min-identities", "--on-regress",
    ],
    isMutation: true
  ) { invocation throws(FlagsFailure) in
    try FlagsMutation(invocation: invocation).run { loaded, key throws(FlagsFailure) in
      let rollout = try RolloutPlanning(invocation, loaded, key).rollout()
      // A finished rollout is history: the next one takes its place.
      if let current = try invocation.rollout(of: key, in: loaded.document), current.status != .finished {
        guard current.hasSamePlan(as: rollout), current.status == .running || current.status == .held else {
          throw FlagsFailure(
            .refused, "rollout_exists", "there is a rollout of \"\(current.variant)\", \(current.status.rawValue)",
            next: current.availableActions.joined(separator: " or "))
        }
        return FlagsMutation.Result(document: loaded.document)
      }
      if loaded.set[key]?.rule != nil, !invocation.arguments.has("--rebucket") {
        throw FlagsFailure(
          .refused, "rule_exists", "\"\(key)\" has a rule of its own, which the rollout would replace",
          next: "add --rebucket to replace it")
      }
      return FlagsMutation.Result(document: FlagEdit.setRollout(rollout, of: key, in: loaded.document))
    }
  }

  private static let evidenceOptions: Set<String> = ["--admin", "--token"]
  private static let evidenceHelp = """
      --admin URL        the gateway's admin listener, asked for the guard's verdict and the workers' files
      --token TOKEN      its token (FERMATA_ADMIN_TOKEN)
    """
  private static let gateHelp = """
      --require-pass     ask the guard for proof; without it the absence of harm is enough
      --force            skip the conditions; the audit log lists those that were not met
    """

  private static let rolloutAdvance = FlagsVerb(
    name: "rollout advance", summary: "go to the next phase", usage: "[KEY] --reason TEXT [--admin URL] [OPTION …]",
    details: evidenceHelp
      + "\n  --to PHASE         that phase\n" + gateHelp,
    options: evidenceOptions.union(["--to"]), switches: ["--force", "--require-pass"], isMutation: true
  ) { invocation throws(FlagsFailure) in
    try step(invocation, isGated: true) { rollout, evidence throws(RolloutRefusal) in
      try rollout.advanced(
        to: invocation.arguments["--to"], evidence: evidence,
        requiresPass: invocation.arguments.has("--require-pass"), isForced: invocation.arguments.has("--force"),
        at: Caller.now)
    }
  }

  private static let rolloutHold = FlagsVerb(
    name: "rollout hold", summary: "stay in the phase; who has the variant keeps it",
    usage: "[KEY] --reason TEXT [OPTION …]", details: "Resume goes on from here.", isMutation: true
  ) { invocation throws(FlagsFailure) in
    try step(invocation) { rollout, _ throws(RolloutRefusal) in
      try rollout.held(invocation.arguments["--reason"] ?? "", at: Caller.now)
    }
  }

  private static let rolloutResume = FlagsVerb(
    name: "rollout resume", summary: "go on after a hold, or begin again after a roll-back",
    usage: "[KEY] --reason TEXT [--ack REVISION] [OPTION …]",
    details: "  --ack REVISION     the revision that was rolled back, by the guard or by abort: somebody has looked",
    options: ["--ack"], isMutation: true
  ) { invocation throws(FlagsFailure) in
    try step(invocation, mayMoveClients: true) { rollout, _ throws(RolloutRefusal) in
      try rollout.resumed(acknowledging: invocation.arguments["--ack"], at: Caller.now)
    }
  }

  private static let rolloutAbort = FlagsVerb(
    name: "rollout abort", summary: "take the variant back from everybody but the allow-list",
    usage: "[KEY] --reason TEXT [OPTION …]", details: "  --drop-internal    from the allow-list too",
    switches: ["--drop-internal"], isMutation: true
  ) { invocation throws(FlagsFailure) in
    try step(invocation, mayMoveClients: true) { rollout, _ throws(RolloutRefusal) in
      let dropsInternal = invocation.arguments.has("--drop-internal")
      return rollout.aborted(
        invocation.arguments["--reason"] ?? "", dropsInternal: dropsInternal, at: Caller.now)
    }
  }

  private static let rolloutFinish = FlagsVerb(
    name: "rollout finish", summary: "make the variant the default and drop the fraction",
    usage: "[KEY] --reason TEXT [--admin URL] [OPTION …]",
    details: evidenceHelp + "\n" + gateHelp, options: evidenceOptions, switches: ["--force", "--require-pass"],
    isMutation: true
  ) { invocation throws(FlagsFailure) in
    try step(invocation, isGated: true) { rollout, evidence throws(RolloutRefusal) in
      try rollout.finished(
        evidence: evidence, requiresPass: invocation.arguments.has("--require-pass"),
        isForced: invocation.arguments.has("--force"), at: Caller.now)
    }
  }

  /// Changes an existing rollout by one step.
  private static func step(
    _ invocation: FlagsInvocation, mayMoveClients: Bool = false, isGated: Bool = false,
    _ take: (Rollout, RolloutEvidence?) throws(RolloutRefusal) -> Rollout
  ) throws(FlagsFailure) -> FlagsOutput {
    try FlagsMutation(invocation: invocation).run { loaded, key throws(FlagsFailure) in
      guard let rollout = try invocation.rollout(of: key, in: loaded.document) else {
        throw FlagsFailure(.notFound, "rollout_not_found", "\"\(key)\" has no rollout", next: "rollout start")
      }
      let report = try AdminReport.fetch(invocation)
      let evidence = report?.evidence(forHash: loaded.set.hash)
      if isGated, loaded.set[key]?.isEnabled == false {
        throw FlagsFailure(
          .refused, "killed", "\"\(key)\" is disabled: no client has the variant", next: "enable it first")
      }
      do throws(RolloutRefusal) {
        let next = try take(rollout, evidence)
        let document = next == rollout ? loaded.document : FlagEdit.setRollout(next, of: key, in: loaded.document)
        return FlagsMutation.Result(
          document: document, mayMoveClients: mayMoveClients, evidence: report?.guardReport ?? .null,
          forced: isGated && invocation.arguments.has("--force")
            ? rollout.criteria(evidence, at: Caller.now).filter { !$0.isMet }.map(\.code) : [])
      } catch {
        throw FlagsFailure(error)
      }
    }
  }
}

/// What `rollout start` was told.
private struct RolloutPlanning {
  let invocation: FlagsInvocation
  let loaded: LoadedFlags
  let key: String

  init(_ invocation: FlagsInvocation, _ loaded: LoadedFlags, _ key: String) {
    self.invocation = invocation
    self.loaded = loaded
    self.key = key
  }

  func rollout() throws(FlagsFailure) -> Rollout {
    let arguments = invocation.arguments
    let names = loaded.set[key]?.variants.map(\.name) ?? []
    guard let variant = arguments["--variant"] else { throw .usage("rollout start needs --variant VARIANT") }
    guard let fallback = arguments["--fallback"] ?? loaded.set[key]?.defaultVariant else {
      throw .usage("the flag has no default variant: say --fallback VARIANT")
    }
    for name in [variant, fallback] where !names.contains(name) {
      throw .usage("\"\(name)\" is not one of the variants: \(names.joined(separator: ", "))")
    }
    guard variant != fallback else { throw .usage("\"\(variant)\" is what everybody has already") }
    guard let onRegress = RolloutPhase.Regress(rawValue: arguments["--on-regress"] ?? "rollback") else {
      throw .usage("--on-regress is hold or rollback")
    }
    let phases = RolloutPhase.plan(
      shares: try shares(), minSeconds: try invocation.seconds("--min-duration") ?? 3600,
      minStreams: try invocation.number("--min-streams") ?? 100,
      minIdentities: try invocation.number("--min-identities") ?? 8, onRegress: onRegress)
    return Rollout.start(
      variant: variant, fallback: fallback, phases: phases, internalKeys: try internalKeys(),
      internalHeader: try internalHeader(), at: Caller.now)
  }

  private func shares() throws(FlagsFailure) -> [Int] {
    guard let text = arguments["--plan"] else { return [100, 500, 2500, 10_000] }
    var shares: [Int] = []
    for part in text.split(separator: ",") {
      guard let percent = Double(part), percent > 0, percent <= 100 else {
        throw .usage("--plan takes percents: 1,5,25,100")
      }
      shares.append(Int((percent * 100).rounded()))
    }
    guard shares.last == RolloutPhase.wholeShare, shares == shares.sorted(), Set(shares).count == shares.count else {
      throw .usage("--plan grows from phase to phase and ends at 100")
    }
    return shares
  }

  private var arguments: Arguments { invocation.arguments }

  private func internalKeys() throws(FlagsFailure) -> [String] {
    var keys = arguments.values["--internal"] ?? []
    if let file = arguments["--internal-file"] { keys += try FlagsContexts.lines(of: file) }
    return keys
  }

  private func internalHeader() throws(FlagsFailure) -> EvaluationContext.Header? {
    guard let text = arguments["--internal-header"] else { return nil }
    let parts = text.split(separator: "=", maxSplits: 1)
    guard parts.count == 2 else { throw .usage("--internal-header takes NAME=VALUE") }
    return EvaluationContext.Header(name: parts[0].lowercased(), value: String(parts[1]))
  }
}
