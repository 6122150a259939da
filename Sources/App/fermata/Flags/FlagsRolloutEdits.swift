import Flags
import JSON

/// `rollout allow add|remove`, `rollout plan`, `rollout clear`, and `ack`.
extension FlagsVerb {
  static let rolloutAllowAdd = allow("add", "give a client the variant in every phase", isIn: true)
  static let rolloutAllowRemove = allow("remove", "leave a client to the fraction again", isIn: false)

  private static func allow(_ word: String, _ summary: String, isIn: Bool) -> FlagsVerb {
    FlagsVerb(
      name: "rollout allow \(word)", summary: summary, usage: "TARGETING_KEY --reason TEXT [--flag KEY] [OPTION …]",
      details: "  --flag KEY         the flag, where the file has several", options: ["--flag"], operands: 1...1,
      isMutation: true
    ) { invocation throws(FlagsFailure) in
      let client = invocation.arguments.operands[0]
      return try step(try flagged(invocation), mayMoveClients: true) { rollout throws(RolloutRefusal) in
        rollout.withInternal(client, isIn: isIn)
      }
    }
  }

  /// The operand is a client; an option names the flag.
  private static func flagged(_ invocation: FlagsInvocation) throws(FlagsFailure) -> FlagsInvocation {
    var invocation = invocation
    let known = try invocation.load().set.flags.map(\.key)
    if let flag = invocation.arguments["--flag"] {
      guard known.contains(flag) else {
        throw FlagsFailure(
          .notFound, "flag_not_found", "\(invocation.file) has no flag \"\(flag)\"",
          next: "fermata flags list --file \(invocation.file)")
      }
      invocation.keyOverride = flag
    } else if known.count == 1 {
      invocation.keyOverride = known[0]
    } else {
      throw .usage("name the flag with --flag; the file has \(known.joined(separator: ", "))")
    }
    return invocation
  }

  static let rolloutPlan = FlagsVerb(
    name: "rollout plan", summary: "change the phases of a rollout; it stays where it is",
    usage: "[KEY] --reason TEXT [OPTION …]",
    details: """
        --plan 1,5,25,100      percent of each phase; the present one must be among them
        --min-duration 1h      how long a phase lasts at least
        --min-streams 100      streams of the variant that must have ended before a phase is left
        --min-identities 8     different clients that must have had them, 64 at most: so many groups tell them apart
        --on-regress hold|rollback     what the guard does when the variant is worse

      What is not given stays as it is. Who has the variant keeps it. Conditions that are made easier on the way count as
      forced: the log and the status say conditions_eased.
      """,
    options: RolloutPlanning.phaseOptions, isMutation: true
  ) { invocation throws(FlagsFailure) in
    guard RolloutPlanning.phaseOptions.contains(where: { invocation.arguments[$0] != nil }) else {
      throw .usage("rollout plan needs one of \(RolloutPlanning.phaseOptions.sorted().joined(separator: ", "))")
    }
    let loaded = try invocation.load()
    let key = try invocation.key(in: loaded)
    let current = try existing(invocation, loaded, key)
    let phases = try RolloutPlanning(invocation, loaded, key).phases(like: current)
    return try step(invocation) { rollout throws(RolloutRefusal) in try rollout.withPhases(phases) }
  }

  static let rolloutClear = FlagsVerb(
    name: "rollout clear", summary: "take a rollout that is over out of the file",
    usage: "[KEY] --reason TEXT [OPTION …]",
    details: """
      Removes the rollout, its evaluator and its metadata; where a rule of yours asks the rollout, its last word takes
      that place. Clients keep what they have. With flags.default in the gateway's configuration the file can go
      altogether then.
      """,
    isMutation: true
  ) { invocation throws(FlagsFailure) in
    try FlagsMutation(invocation: invocation).run { loaded, key throws(FlagsFailure) in
      guard let rollout = try invocation.rollout(of: key, in: loaded.document) else {
        return FlagsMutation.Result(document: loaded.document)
      }
      guard rollout.status == .finished || rollout.status == .rolledBack else {
        throw FlagsFailure(
          .refused, "not_over", "the rollout of \"\(rollout.variant)\" is \(rollout.status.rawValue)",
          next: "fermata flags rollout finish, or fermata flags rollout abort")
      }
      // The allow-list of one that was taken back goes too.
      return FlagsMutation.Result(
        document: FlagEdit.clearingRollout(rollout, of: key, in: loaded.document), mayMoveClients: true)
    }
  }

  static let ack = FlagsVerb(
    name: "ack", summary: "acknowledge what the guard took back, without a rollout",
    usage: "[KEY] --revision N --admin URL --reason TEXT [OPTION …]",
    details: """
        --revision N       the revision that the guard took back, as rollout status shows it
        --admin URL        the gateways, which are asked whether it is; may be given several times
        --admin-list FILE  such URLs, one a line
        --token TOKEN      their token (FERMATA_ADMIN_TOKEN)

      The file is in force again, as it says. With a rollout that runs: rollout resume --ack N.
      """,
    options: AdminGateways.options.union(["--revision"]), isMutation: true
  ) { invocation throws(FlagsFailure) in
    guard let revision = invocation.arguments["--revision"] else { throw .usage("ack needs --revision N") }
    return try FlagsMutation(invocation: invocation).run { loaded, key throws(FlagsFailure) in
      if let rollout = try invocation.rollout(of: key, in: loaded.document), rollout.status != .finished {
        throw FlagsFailure(
          .refused, "rollout", "there is a rollout of \"\(rollout.variant)\", \(rollout.status.rawValue)",
          next: "fermata flags rollout resume --ack \(revision) --admin URL")
      }
      guard let report = try AdminReport.fetch(invocation) else {
        throw FlagsFailure(
          .refused, "not_checked", "no gateway was asked whether revision \(revision) was taken back",
          next: "add --admin URL")
      }
      guard let latched = report.latchedRevision else {
        throw FlagsFailure(
          .refused, "no_trip", "no gateway that was asked has taken anything back", next: "nothing is to be done")
      }
      guard latched == revision else {
        throw FlagsFailure(
          .refused, "wrong_revision", "the trip that is in force is of revision \(latched), not \(revision)",
          next: "fermata flags ack --revision \(latched) --admin URL")
      }
      return FlagsMutation.Result(
        document: FlagEdit.acknowledging(revision, of: key, in: loaded.document), evidence: report.evidence)
    }
  }
}
