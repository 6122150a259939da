import Files
import Flags
import JSON

/// One change of a flag file: under the lock, checked, audited, atomic, and nothing when it is so already.
struct FlagsMutation {
  /// What a verb makes of the file.
  struct Result {
    var document: JSONValue
    /// Whether moving clients is what the verb is for, as it is for taking a variant back.
    var mayMoveClients = false
    var evidence: JSONValue = .null
    /// Conditions that were not met and were overridden.
    var forced: [String] = []
  }

  let invocation: FlagsInvocation
  private var arguments: Arguments { invocation.arguments }
  private var path: String { invocation.file }

  /// Runs `change` over the file and tells the state after it.
  func run(
    _ change: (LoadedFlags, String) throws(FlagsFailure) -> Result
  ) throws(FlagsFailure) -> FlagsOutput {
    let reason = try requiredReason()
    let target = Caller.linkTarget(of: path)
    // Looking needs no lock, and a ConfigMap's directory could not hold one.
    if arguments.has("--dry-run") || target != nil { return try prepare(change).preview(self, link: target) }
    return try locked(change, reason)
  }

  private func locked(
    _ change: (LoadedFlags, String) throws(FlagsFailure) -> Result, _ reason: String
  ) throws(FlagsFailure) -> FlagsOutput {
    do {
      let lock = try FileLock(path)
      let output = try apply(try prepare(change), reason)
      // Alive until the file is written.
      _ = consume lock
      return output
    } catch let error as FlagsFailure {
      throw error
    } catch let error as FileError {
      throw .file(error)
    } catch {
      throw FlagsFailure(.internal, "internal", "\(error)", next: "this is a bug")
    }
  }

  /// Somebody at a terminal is asked whether; a script has to say why.
  private func requiredReason() throws(FlagsFailure) -> String {
    let reason = arguments["--reason"] ?? ""
    guard reason.isEmpty, !Caller.isAtTerminal, !arguments.has("--dry-run") else { return reason }
    throw .usage("--reason is required when nobody is at a terminal: it goes to the audit log")
  }

  private func prepare(
    _ change: (LoadedFlags, String) throws(FlagsFailure) -> Result
  ) throws(FlagsFailure) -> PreparedChange {
    let loaded = try invocation.load()
    if let wanted = try invocation.number("--if-revision"), wanted != loaded.revision {
      throw FlagsFailure(
        .conflict, "revision_conflict", "\(path) is at revision \(loaded.revision), not \(wanted)",
        next: "look at the file again, then use --if-revision \(loaded.revision)")
    }
    let key = try invocation.key(in: loaded)
    let result = try change(loaded, key)
    let isApplied = result.document == loaded.document
    let document = isApplied ? loaded.document : FlagEdit.revised(result.document, to: loaded.revision + 1)
    let bytes = isApplied ? loaded.bytes : FlagEdit.file(document)
    let set = try LoadedFlags.parse(bytes, path)
    if !result.mayMoveClients, !arguments.has("--rebucket"),
      let finding = Rebucketing.findings(from: loaded.set, to: set, key: key).first
    {
      throw FlagsFailure(
        .refused, "rebuckets", "clients would change variants although their share does not shrink: \(finding)",
        next: "add --rebucket if that is meant")
    }
    return PreparedChange(loaded: loaded, key: key, bytes: bytes, set: set, isApplied: isApplied, result: result)
  }

  private func apply(_ change: PreparedChange, _ reason: String) throws -> FlagsOutput {
    guard !change.isApplied else { return try change.output(self) }
    if Caller.isAtTerminal, !arguments.has("--yes") {
      Terminal.error(change.patchText)
      guard Caller.confirms("write revision \(change.revision) of \(path)?") else {
        throw FlagsFailure(.refused, "not_confirmed", "nothing was changed", next: "--yes does not ask")
      }
    }
    let history = FlagHistory(beside: path)
    var record = AuditRecord(
      kind: .intent, time: Caller.now, actor: arguments["--actor"] ?? Caller.name, uid: Caller.uid, host: Caller.host,
      pid: Caller.pid, verb: invocation.verb, key: change.key, reason: reason, ticket: arguments["--ticket"] ?? "")
    try change.describe(in: &record)
    try history.recover(currentHash: change.loaded.set.hash, at: Caller.now)
    try history.keep(change.loaded.bytes, revision: change.loaded.revision)
    try history.append(record)
    try AtomicFile.replace(path, with: change.bytes)
    try history.keep(change.bytes, revision: change.revision)
    record.kind = .commit
    record.time = Caller.now
    try history.append(record)
    return try change.output(self)
  }
}

/// A change that is worked out and checked, not yet written.
struct PreparedChange {
  let loaded: LoadedFlags
  let key: String
  let bytes: [UInt8]
  let set: FlagSet
  let isApplied: Bool
  let result: FlagsMutation.Result

  var revision: Int { FlagEdit.revision(of: set.document) }

  private var patch: [JSONValue] { JSONPatch.difference(from: loaded.document, to: set.document) }
  var patchText: String { patch.map { $0.text() }.joined(separator: "\n") }

  func describe(in record: inout AuditRecord) throws(FlagsFailure) {
    record.fromRevision = loaded.revision
    record.toRevision = revision
    record.fileHashBefore = loaded.set.hash
    record.fileHashAfter = set.hash
    record.patch = JSONPatch.difference(
      from: Redaction.redacted(loaded.document), to: Redaction.redacted(set.document))
    record.phaseBefore = phase(in: loaded.document)
    record.phaseAfter = phase(in: set.document)
    record.guardSnapshot = result.evidence
    record.forced = result.forced
  }

  private func phase(in document: JSONValue) -> String {
    guard let rollout = try? Rollout(of: key, in: document) else { return "" }
    return rollout.status == .running ? rollout.phase.name : "\(rollout.phase.name) \(rollout.status.rawValue)"
  }

  /// The state after the change.
  func output(_ mutation: FlagsMutation) throws(FlagsFailure) -> FlagsOutput {
    let rollout = try mutation.invocation.rollout(of: key, in: set.document)
    var data = FlagsState.json(key, in: set, rollout)
    data[path: ["alreadyApplied"]] = .bool(isApplied)
    let text = (isApplied ? "already so: " : "") + FlagsState.text(key, in: set, rollout)
    let warnings = FlagLinter.lint(bytes).filter { $0.severity == .error }.map(\.description)
    return FlagsOutput(kind: "Flag", data: data, text: text, warnings: warnings)
  }

  /// What `--dry-run` shows; for a symbolic link, the document that has to be put where the link comes from.
  func preview(_ mutation: FlagsMutation, link: String?) throws(FlagsFailure) -> FlagsOutput {
    if let link, !mutation.invocation.arguments.has("--dry-run"), !isApplied {
      var failure = FlagsFailure(
        .refused, "symbolic_link",
        "\(loaded.path) is a symbolic link to \(link), as in a ConfigMap; it is not replaced",
        next: "put this document where the link comes from")
      failure.document = set.document
      throw failure
    }
    var output = try self.output(mutation)
    let sample = try FlagsContexts.sample(mutation.invocation)
    let difference = FlagDifference(key, from: loaded.set, to: set, sample)
    output.kind = "DryRun"
    output.data[path: ["patch"]] = .array(patch)
    output.data[path: ["sampled"]] = JSONValue(difference.total)
    output.data[path: ["changed"]] = JSONValue(difference.changed.count)
    if !isApplied { output.text += "\n\(patchText)" }
    output.text +=
      "\n\(difference.changed.count) of \(difference.total) sampled clients would change; nothing is written"
    return output
  }
}
