import Flags
import JSON

/// `rollout start`, `advance`, `hold`, `resume`, `abort`, `finish`. `status` has a file of its own.
extension FlagsVerb {
  static let rolloutVerbs: [FlagsVerb] = [
    rolloutStart, rolloutStatus, rolloutClients, rolloutAdvance, rolloutHold, rolloutResume, rolloutAbort,
    rolloutFinish, rolloutAllowAdd, rolloutAllowRemove, rolloutPlan, rolloutClear,
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
        --min-identities 8     different clients that must have had them, 64 at most: so many groups tell them apart
        --on-regress hold|rollback     what the guard does when the variant is worse
        --admin URL            a gateway's admin listener: refused while it is killed or its guard holds something back;
                               may be given several times
        --admin-list FILE      such URLs, one a line
        --token TOKEN          their token (FERMATA_ADMIN_TOKEN)
        --adopt                put the rollout in front of the flag's own rule, and show both; --rebucket takes the
                               rule's place
      \(StandingOrders.help)

      Refused while the flag is disabled. Without --admin it says what it could not know.
      """,
    options: RolloutPlanning.phaseOptions.union(AdminGateways.options).union(StandingOrders.options).union([
      "--variant", "--fallback", "--internal", "--internal-file", "--internal-header",
    ]),
    switches: ["--adopt"], isMutation: true
  ) { invocation throws(FlagsFailure) in
    var notes: [String] = []
    var output = try FlagsMutation(invocation: invocation).run { loaded, key throws(FlagsFailure) in
      let rollout = try RolloutPlanning(invocation, loaded, key).rollout()
      // A finished rollout is history: the next one takes its place.
      if let current = try invocation.rollout(of: key, in: loaded.document), current.status != .finished {
        guard current.hasSamePlan(as: rollout), current.status == .running || current.status == .held else {
          throw FlagsFailure(
            .refused, "rollout_exists", "there is a rollout of \"\(current.variant)\", \(current.status.rawValue)",
            next: current.availableActions.map { action in
              RolloutStatus.command(action, key) + (action.hasPrefix("resume --ack") ? " --admin URL" : "")
            }.joined(separator: ", or "))
        }
        return FlagsMutation.Result(document: loaded.document)
      }
      let orders = try StandingOrders(invocation, loaded, key, try AdminReport.fetch(invocation))
      try orders.requireNothing(loaded, key, begins: true)
      notes = orders.notes
      let rule = RolloutRule(invocation, key, rollout.variant)
      let document = try rule.prepared(loaded.document)
      return FlagsMutation.Result(
        document: FlagEdit.setRollout(rollout, of: key, in: document),
        mayMoveClients: invocation.arguments.has("--adopt"),
        ruleChange: rule.change(from: loaded.document, to: document))
    }
    output.warnings += notes
    return output
  }

  private static let evidenceHelp = """
      --admin URL        a gateway's admin listener, asked for the guard's verdict and the workers' files; may be given
                         several times, and all of them must agree
      --admin-list FILE  such URLs, one a line
      --token TOKEN      their token (FERMATA_ADMIN_TOKEN)
    \(StandingOrders.help)
    """
  private static let gateHelp = """
      --require-pass     ask the guard for proof; without it the absence of harm is enough
      --force            skip the conditions; needs --reason; the log and the status list those that were not met
    """

  private static let rolloutAdvance = FlagsVerb(
    name: "rollout advance", summary: "go to the next phase", usage: "[KEY] --reason TEXT [--admin URL] [OPTION …]",
    details: evidenceHelp
      + "\n  --to PHASE         that phase\n" + gateHelp,
    options: AdminGateways.options.union(StandingOrders.options).union(["--to"]),
    switches: ["--force", "--require-pass"], isMutation: true
  ) { invocation throws(FlagsFailure) in
    try gatedStep(invocation) { rollout, evidence throws(RolloutRefusal) in
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
    try step(invocation) { rollout throws(RolloutRefusal) in
      try rollout.held(invocation.arguments["--reason"] ?? "", at: Caller.now)
    }
  }

  private static let rolloutResume = FlagsVerb(
    name: "rollout resume", summary: "go on after a hold, or begin again after a roll-back",
    usage: "[KEY] --reason TEXT [--ack REVISION --admin URL] [OPTION …]",
    details: """
        --ack REVISION     the revision that was rolled back, by the guard or by abort: somebody has looked
      \(evidenceHelp)

      After a hold it goes on in the same phase, whose conditions begin anew; after a roll-back at the first share, with
      the same members, or in the internal phase where it had come no further. A rollout that runs is not moved. The
      number is that of the guard's trip, or without one that of the abort; rollout status shows it. It is checked: name
      the gateways. They need not be asked after an abort where no phase wants streams or identities.
      """,
    options: AdminGateways.options.union(StandingOrders.options).union(["--ack"]), isMutation: true
  ) { invocation throws(FlagsFailure) in
    var notes: [String] = []
    var output = try FlagsMutation(invocation: invocation).run { loaded, key throws(FlagsFailure) in
      let rollout = try existing(invocation, loaded, key)
      let report = try AdminReport.fetch(invocation)
      let orders = try StandingOrders(invocation, loaded, key, report)
      notes = orders.notes
      let acknowledged = invocation.arguments["--ack"]
      // What was looked at is enough to refuse, not to take an acknowledgement for checked.
      let seen = acknowledged == nil ? orders.latchedRevision : nil
      let latched = report == nil ? seen : orders.latchedRevision ?? ""
      let next = try refusing { () throws(RolloutRefusal) in
        try rollout.resumed(acknowledging: acknowledged, latched: latched, at: Caller.now)
      }
      var result = try result(next, rollout, loaded, key)
      result.mayMoveClients = true
      result.evidence = report?.evidence ?? .null
      return result
    }
    output.warnings += notes
    return output
  }

  private static let rolloutAbort = FlagsVerb(
    name: "rollout abort", summary: "take the variant back from everybody but the allow-list",
    usage: "[KEY] --reason TEXT [OPTION …]",
    details: "  --drop-internal    from the allow-list too\n\n" + TakeBack.table,
    switches: ["--drop-internal"], isMutation: true
  ) { invocation throws(FlagsFailure) in
    try step(invocation, mayMoveClients: true) { rollout throws(RolloutRefusal) in
      let dropsInternal = invocation.arguments.has("--drop-internal")
      return rollout.aborted(
        invocation.arguments["--reason"] ?? "", dropsInternal: dropsInternal, at: Caller.now)
    }
  }

  private static let rolloutFinish = FlagsVerb(
    name: "rollout finish", summary: "make the variant the default and drop the fraction",
    usage: "[KEY] --reason TEXT [--admin URL] [OPTION …]",
    details: evidenceHelp + "\n" + gateHelp + """

        --max-legacy 1     percent of the streams of the last 7 days whose clients may stay in legacy
      """,
    options: AdminGateways.options.union(StandingOrders.options).union(["--max-legacy"]),
    switches: ["--force", "--require-pass"], isMutation: true
  ) { invocation throws(FlagsFailure) in
    let limit = try ClientsReport.limit(invocation)
    let clients = try ClientsReport.fetch(invocation)
    var output = try gatedStep(invocation, clients: clients.map { ($0, limit) }) {
      rollout, evidence throws(RolloutRefusal) in
      try rollout.finished(
        evidence: evidence, requiresPass: invocation.arguments.has("--require-pass"),
        isForced: invocation.arguments.has("--force"), at: Caller.now)
    }
    if let clients {
      output.data[path: ["staysLegacy"]] = JSONValue(clients.gate.staying)
      output.text += "\n" + clients.stayingText(now: Caller.now, limit: 20)
    } else {
      output.warnings.append("nobody was asked who stays in legacy; --admin URL asks a gateway")
    }
    return output
  }

  /// A step that the gateways must agree to.
  ///
  /// - Parameter clients: who the clients are, and the share of streams that may stay in legacy after this step.
  private static func gatedStep(
    _ invocation: FlagsInvocation, clients: (report: ClientsReport, limit: Double)? = nil,
    _ take: (Rollout, RolloutEvidence?) throws(RolloutRefusal) -> Rollout
  ) throws(FlagsFailure) -> FlagsOutput {
    if invocation.arguments.has("--force"), (invocation.arguments["--reason"] ?? "").isEmpty {
      throw .usage("--force needs --reason TEXT: the audit log keeps why the conditions were skipped")
    }
    var (notes, left): ([String], LeftPhase?) = ([], nil)
    var output = try FlagsMutation(invocation: invocation).run { loaded, key throws(FlagsFailure) in
      let rollout = try existing(invocation, loaded, key)
      let report = try AdminReport.fetch(invocation)
      let evidence = report?.evidence(forHash: loaded.set.hash)
      try requireNoKill(loaded, key, report)
      if report == nil {
        let orders = try StandingOrders(invocation, loaded, key, nil)
        if !invocation.arguments.has("--force") { try orders.requireNothing(loaded, key, begins: false) }
        notes = orders.notes
      }
      let next = try refusing { () throws(RolloutRefusal) in
        var next = try take(rollout, evidence)
        if next != rollout, let clients {
          next.forced += try clients.report.check(rollout, invocation.arguments, limit: clients.limit)
        }
        return next
      }
      var result = try result(next, rollout, loaded, key)
      result.evidence = report?.evidence ?? .null
      if next != rollout {
        result.forced = next.forced
        left = LeftPhase(rollout, evidence)
      }
      return result
    }
    output.warnings += notes
    if let left, output.kind != "DryRun" { left.tell(in: &output) }
    return output
  }

  private static func requireNoKill(
    _ loaded: LoadedFlags, _ key: String, _ report: AdminReport?
  ) throws(FlagsFailure) {
    if loaded.set[key]?.isEnabled == false {
      throw FlagsFailure(
        .refused, "killed", "\"\(key)\" is disabled: no client has the variant", next: "fermata flags enable \(key)")
    }
    if let killed = report?.gateways.first(where: \.isKilled) {
      throw FlagsFailure(
        .refused, "killed", "\(killed.url) is killed: no client of it has the variant",
        next: "fermata flags unkill --admin \(killed.url)")
    }
  }

  /// What there was of clients when a phase was left.
  private struct LeftPhase {
    let name: String
    let counts: [RolloutCriterion]

    init(_ rollout: Rollout, _ evidence: RolloutEvidence?) {
      name = rollout.phase.name
      counts = rollout.criteria(evidence, at: Caller.now).filter(\.isCount)
    }

    func tell(in output: inout FlagsOutput) {
      guard !counts.isEmpty else { return }
      output.text += "\n  \(name) was left with \(counts.map(\.description).joined(separator: ", "))"
      output.data[path: ["left"]] = [
        "phase": .string(name), "counts": .array(counts.map { .string($0.description) }),
      ]
    }
  }

  /// Changes an existing rollout by one step.
  static func step(
    _ invocation: FlagsInvocation, mayMoveClients: Bool = false,
    _ take: (Rollout) throws(RolloutRefusal) -> Rollout
  ) throws(FlagsFailure) -> FlagsOutput {
    try FlagsMutation(invocation: invocation).run { loaded, key throws(FlagsFailure) in
      let rollout = try existing(invocation, loaded, key)
      let next = try refusing { () throws(RolloutRefusal) in try take(rollout) }
      var result = try result(next, rollout, loaded, key)
      result.mayMoveClients = mayMoveClients
      result.forced = next.forced.filter { !rollout.forced.contains($0) }
      return result
    }
  }

  private static func refusing(_ take: () throws(RolloutRefusal) -> Rollout) throws(FlagsFailure) -> Rollout {
    do throws(RolloutRefusal) {
      return try take()
    } catch {
      throw FlagsFailure(error)
    }
  }

  static func existing(
    _ invocation: FlagsInvocation, _ loaded: LoadedFlags, _ key: String
  ) throws(FlagsFailure) -> Rollout {
    guard let rollout = try invocation.rollout(of: key, in: loaded.document) else {
      throw FlagsFailure(
        .notFound, "rollout_not_found", "\"\(key)\" has no rollout",
        next: "fermata flags rollout start \(key) --variant VARIANT")
    }
    return rollout
  }

  private static func result(
    _ next: Rollout, _ rollout: Rollout, _ loaded: LoadedFlags, _ key: String
  ) throws(FlagsFailure) -> FlagsMutation.Result {
    guard next != rollout else { return FlagsMutation.Result(document: loaded.document) }
    try RolloutRule.check(loaded.document, key, variant: rollout.variant)
    return FlagsMutation.Result(document: FlagEdit.setRollout(next, of: key, in: loaded.document))
  }
}

/// The flag's own rule beside the rollout: left alone where it asks the rollout, refused where it does not.
struct RolloutRule {
  let invocation: FlagsInvocation
  let key: String
  let variant: String

  init(_ invocation: FlagsInvocation, _ key: String, _ variant: String) {
    (self.invocation, self.key, self.variant) = (invocation, key, variant)
  }

  /// What becomes of a rule of the operator's own, for people; "" when it stays.
  func change(from old: JSONValue, to new: JSONValue) -> String {
    let rules = [old, new].map { $0[path: ["flags", key, "targeting"]] }
    guard rules[0] != rules[1], !Rollout.isPlain(rules[0], of: key, in: old), let rule = rules[0] else { return "" }
    guard let adopted = rules[1] else { return "the rule of \"\(key)\" is dropped:\n- \(rule.text())" }
    return "the rule of \"\(key)\" comes after the rollout:\n- \(rule.text())\n+ \(adopted.text())"
  }

  /// The document in which a rollout can begin.
  func prepared(_ document: JSONValue) throws(FlagsFailure) -> JSONValue {
    if invocation.arguments.has("--adopt") { return FlagEdit.adopting(variant, for: key, in: document) }
    if invocation.arguments.has("--rebucket") { return FlagEdit.removingRule(of: key, in: document) }
    try Self.check(document, key, variant: variant)
    return document
  }

  /// Refuses a rule that never asks the rollout, with what to write.
  static func check(_ document: JSONValue, _ key: String, variant: String) throws(FlagsFailure) {
    let rule = document[path: ["flags", key, "targeting"]]
    guard !Rollout.isPlain(rule, of: key, in: document), !Rollout.isAsked(in: rule, of: key), let rule else { return }
    let line = FlagEdit.adopted(rule, variant, key).text()
    let word = document[path: ["flags", key, "defaultVariant"]] ?? "legacy"
    let evaluator: JSONValue = [Rollout.evaluatorName(of: key): ["if": [true, word]]]
    throw FlagsFailure(
      .refused, "rule_exists",
      "\"\(key)\" has a rule of its own that never asks the rollout; put \(Rollout.reference(to: key).text()) "
        + "where the rollout is to decide, such as \"targeting\": \(line), and beside \"flags\" what it refers to "
        + "until the rollout has begun: \"$evaluators\": \(evaluator.text())",
      next: "edit the file, or add --adopt to rollout start for just that; --rebucket drops the rule")
  }
}
