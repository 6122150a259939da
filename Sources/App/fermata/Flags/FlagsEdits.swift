import Flags
import JSON

/// `set`, `enable`, `disable`, `kill`, `revert`.
extension FlagsVerb {
  static let set = FlagsVerb(
    name: "set", summary: "change the default variant", usage: "[KEY] --default VARIANT --reason TEXT [OPTION …]",
    details: "  --default VARIANT  for everybody whom the flag's rule does not decide for\n\n" + TakeBack.table,
    options: ["--default"], isMutation: true
  ) { invocation throws(FlagsFailure) in
    guard let variant = invocation.arguments["--default"] else { throw .usage("set needs --default VARIANT") }
    return try FlagsMutation(invocation: invocation).run { loaded, key throws(FlagsFailure) in
      let names = loaded.set[key]?.variants.map(\.name) ?? []
      guard names.contains(variant) else {
        throw .usage("\"\(variant)\" is not one of the variants: \(names.joined(separator: ", "))")
      }
      if let rollout = try invocation.rollout(of: key, in: loaded.document), rollout.status != .finished {
        throw FlagsFailure(
          .refused, "rollout", "the default variant belongs to the rollout of \"\(rollout.variant)\"",
          next: "fermata flags rollout finish, or fermata flags rollout abort")
      }
      return FlagsMutation.Result(document: FlagEdit.setDefault(variant, of: key, in: loaded.document))
    }
  }

  static let enable = state(
    "enable", "let the flag decide again",
    "The rule and its rollout are where they were. A kill by POST /kill stays: fermata flags unkill --admin URL.", true)
  static let disable = state(
    "disable", "switch the flag off: every new stream gets the old behaviour",
    "Writes the state DISABLED: the caller's own default holds, which is the legacy closing.\n\n" + TakeBack.table,
    false)

  private static func state(_ name: String, _ summary: String, _ details: String, _ isEnabled: Bool) -> FlagsVerb {
    FlagsVerb(
      name: name, summary: summary, usage: "[KEY] --reason TEXT [OPTION …]", details: details, isMutation: true
    ) { invocation throws(FlagsFailure) in
      try FlagsMutation(invocation: invocation).run { loaded, key throws(FlagsFailure) in
        FlagsMutation.Result(
          document: FlagEdit.setEnabled(isEnabled, key, in: loaded.document), mayMoveClients: true,
          notes: isEnabled ? [] : FlagsKill.notes(loaded.document, key, isHard: false))
      }
    }
  }

  static let revert = FlagsVerb(
    name: "revert", summary: "go back to an earlier revision", usage: "REVISION --reason TEXT [OPTION …]",
    details: """
      The earlier file becomes a new revision; what is kept is in the directory history beside the file. A flag file
      that is broken or gone does not matter.
      """,
    operands: 1...1, isMutation: true
  ) { invocation throws(FlagsFailure) in
    let typed = invocation.arguments.operands[0]
    guard let revision = Int(typed) else { throw .usage("revert takes a revision's number, not \"\(typed)\"") }
    return try FlagsReverting.run(invocation, to: revision)
  }
}

/// `revert` names a revision where other verbs name a flag.
enum FlagsReverting {
  static func run(_ invocation: FlagsInvocation, to revision: Int) throws(FlagsFailure) -> FlagsOutput {
    let history = FlagHistory(beside: invocation.file)
    guard let path = history.path(ofRevision: revision) else {
      let kept = history.revisions()
      let known = kept.map { String($0.revision) }.joined(separator: ", ")
      throw FlagsFailure(
        .notFound, "revision_not_found",
        "the history beside \(invocation.file) has no revision \(revision)\(known.isEmpty ? "" : ", only \(known)")",
        next: kept.last.map { "fermata flags revert \($0.revision)" } ?? "there is no earlier revision to go back to")
    }
    let old = try LoadedFlags(path)
    var flagless = invocation
    flagless.keyOverride = old.set.flags.first?.key
    return try FlagsMutation(invocation: flagless, recoversFile: true).run { loaded, _ throws(FlagsFailure) in
      // The contents are compared without revision and log: reverting twice changes nothing.
      let document = FlagEdit.audited(
        FlagEdit.revised(old.document, to: loaded.revision), by: FlagEdit.lineHash(of: loaded.document))
      let isWeaker = loaded.recovery == nil && FlagEdit.weakensKill(from: loaded.document, to: document)
      let before = share(loaded, flagless)
      let after = share(old, flagless)
      var result = FlagsMutation.Result(
        document: document == loaded.document ? loaded.document : document, mayMoveClients: true,
        source: "revision \(revision) of the history", base: old.bytes)
      if isWeaker { result.notes.append("revision \(revision) lifts or weakens the kill that was in force") }
      if after > before, result.document != loaded.document {
        result.forced = ["conditions_skipped"]
        result.notes.append(
          "revision \(revision) gives \(FlagsState.percent(after)) of the clients the new variant, more than now; no condition "
            + "of the rollout was checked")
      }
      return result
    }
  }

  /// Parts of 10,000 that a file gives to its rollout's variant. A rollout that can't be read keeps nobody from going back.
  private static func share(_ loaded: LoadedFlags, _ invocation: FlagsInvocation) -> Int {
    guard let key = invocation.keyOverride else { return 0 }
    if let rollout = try? invocation.rollout(of: key, in: loaded.document) { return rollout.share }
    return loaded.set[key]?.defaultVariant == "graceful" ? RolloutPhase.wholeShare : 0
  }
}
