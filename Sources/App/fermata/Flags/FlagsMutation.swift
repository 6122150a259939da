import Files
import Flags
import JSON
import Time

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
    /// Where the whole document is from, for people; "" when it was made from the one that was loaded.
    var source = ""
    /// The bytes of the file that it was made from; `nil` for the one that was loaded.
    var base: [UInt8]?
    /// What people should know although it was done.
    var notes: [String] = []
    /// What takes the place of the flag's own rule, for people to see before it is written; "" for nothing.
    var ruleChange = ""
  }

  typealias Change = (LoadedFlags, String) throws(FlagsFailure) -> Result

  let invocation: FlagsInvocation
  /// Whether a file that can't be used gives way to the last good one.
  var recoversFile = false
  /// Whether it must be in force whatever else fails: it asks nobody, needs no reason, and goes on without the lock, the
  /// log and the history.
  var isUrgent = false
  private var arguments: Arguments { invocation.arguments }
  private var path: String { invocation.file }

  init(invocation: FlagsInvocation, recoversFile: Bool = false, isUrgent: Bool = false) {
    (self.invocation, self.recoversFile, self.isUrgent) = (invocation, recoversFile, isUrgent)
  }

  /// Runs `change` over the file and tells the state after it.
  func run(_ change: Change) throws(FlagsFailure) -> FlagsOutput {
    let target = Caller.linkTarget(of: path)
    // Reading needs no lock, and a ConfigMap's directory could not hold one.
    if arguments.has("--dry-run") || target != nil { return try prepare(change).preview(self, link: target) }
    // Spaces are no reason.
    var reason = Self.trimmed(arguments["--reason"] ?? "")
    guard Caller.isAtTerminal, !isUrgent else {
      if reason.isEmpty, !isUrgent { throw Self.reasonIsMissing("when nobody is at a terminal") }
      return try locked(change, reason, agreed: nil)
    }
    // Answered before the lock is taken: a prompt that somebody left open holds nobody up.
    let prepared = try prepare(change)
    guard !prepared.isApplied else { return try prepared.output(self) }
    prepared.showRuleChange()
    let isRequired = FlagEdit.requiresReason(prepared.loaded.document)
    if reason.isEmpty, !arguments.has("--yes") {
      let rest = isRequired ? "this file requires a reason" : "may be empty"
      reason = Self.trimmed(Caller.asks("why? (for the audit log; \(rest))"))
    }
    if isRequired, reason.isEmpty { throw Self.reasonIsMissing(byFile: path) }
    try confirm(prepared)
    return try locked(change, reason, agreed: prepared)
  }

  private func confirm(_ change: PreparedChange) throws(FlagsFailure) {
    guard !arguments.has("--yes") else { return }
    Terminal.error(change.patchText)
    guard Caller.confirms("write revision \(change.revision) of \(path)?") else {
      throw FlagsFailure(.refused, "not_confirmed", "nothing was changed", next: "--yes does not ask")
    }
  }

  private static func reasonIsMissing(_ why: String) -> FlagsFailure {
    .usage("--reason is required \(why): it goes to the audit log")
  }

  private static func reasonIsMissing(byFile path: String) -> FlagsFailure {
    reasonIsMissing("by \(path) (\"requireReason\": true)")
  }

  private static func trimmed(_ text: String) -> String {
    let rest = text.drop(while: \.isWhitespace)
    return rest.lastIndex { !$0.isWhitespace }.map { String(rest[...$0]) } ?? ""
  }

  // MARK: - The lock

  /// How long a kill waits for somebody else's change.
  private static let urgentWait = Nanoseconds.seconds(2)

  private func locked(
    _ change: Change, _ reason: String, agreed: PreparedChange?
  ) throws(FlagsFailure) -> FlagsOutput {
    let lock: FileLock
    do throws(FileError) {
      lock = try FileLock(path, wait: isUrgent ? Self.urgentWait : .seconds(5))
    } catch {
      guard isUrgent else { throw lockFailure(error) }
      return try write(change, reason, agreed: nil, notes: [lockFailure(error).message + "; went on without it"])
    }
    let output = try write(change, reason, agreed: agreed, notes: [])
    // Alive until the file is written.
    _ = consume lock
    return output
  }

  private func lockFailure(_ error: FileError) -> FlagsFailure {
    guard case .locked = error else { return .file(error) }
    let holder = FileLock.holder(of: path).map { "by \($0)" } ?? "by another process"
    return FlagsFailure(
      .conflict, "locked", "\(path).lock is held \(holder)",
      next: "wait for it, or end it; fermata flags kill goes on without the lock")
  }

  // MARK: - Working it out

  private func prepare(_ change: Change) throws(FlagsFailure) -> PreparedChange {
    let loaded = recoversFile ? try LoadedFlags(recovering: path) : try invocation.load()
    if let wanted = try invocation.number("--if-revision"), wanted != loaded.revision {
      throw FlagsFailure(
        .conflict, "revision_conflict", "\(path) is at revision \(loaded.revision), not \(wanted)",
        next: "look at the file again, then use --if-revision \(loaded.revision)")
    }
    let key = try invocation.key(in: loaded)
    let result = try change(loaded, key)
    // What stands in for a broken file is not on the disk yet.
    let isApplied = result.document == loaded.document && loaded.recovery == nil
    let prepared = try prepared(loaded, key, result, isApplied: isApplied)
    if !result.mayMoveClients, !arguments.has("--rebucket"),
      let finding = Rebucketing.findings(from: loaded.set, to: prepared.set, key: key).first
    {
      throw FlagsFailure(
        .refused, "rebuckets", "clients would change variants although their share does not shrink: \(finding)",
        next: "add --rebucket if that is meant")
    }
    return prepared
  }

  private func prepared(
    _ loaded: LoadedFlags, _ key: String, _ result: Result, isApplied: Bool
  ) throws(FlagsFailure) -> PreparedChange {
    guard !isApplied else {
      return PreparedChange(
        loaded: loaded, key: key, bytes: loaded.bytes, set: loaded.set, isApplied: true, result: result)
    }
    let history = FlagHistory(beside: path)
    let revision = history.newestRevision(than: loaded.revision) + 1
    let lineHash = (try? history.lastHash()) ?? ""
    let document = FlagEdit.audited(FlagEdit.revised(result.document, to: revision), by: lineHash)
    let bytes = FlagEdit.file(document, editing: result.base ?? loaded.bytes)
    return PreparedChange(
      loaded: loaded, key: key, bytes: bytes, set: try LoadedFlags.parse(bytes, path), isApplied: false, result: result)
  }

  // MARK: - Writing it

  private func write(
    _ change: Change, _ reason: String, agreed: PreparedChange?, notes: [String]
  ) throws(FlagsFailure) -> FlagsOutput {
    var prepared = try prepare(change)
    prepared.notes = notes
    guard !prepared.isApplied else { return try prepared.output(self) }
    if agreed == nil { prepared.showRuleChange() }
    if let agreed, agreed.loaded.diskHash != prepared.loaded.diskHash {
      throw FlagsFailure(
        .conflict, "changed_meanwhile", "\(path) was changed while you were asked",
        next: "look at it again: fermata flags log --file \(path)")
    }
    if FlagEdit.requiresReason(prepared.loaded.document), reason.isEmpty, !isUrgent {
      throw Self.reasonIsMissing(byFile: path)
    }
    var writing = FlagsWriting(
      path: path, isUrgent: isUrgent,
      record: AuditRecord(
        kind: .intent, time: Caller.now, actor: arguments["--actor"] ?? Caller.name, uid: Caller.uid,
        host: Caller.host, pid: Caller.pid, verb: invocation.verb, key: prepared.key, reason: reason,
        ticket: arguments["--ticket"] ?? ""))
    try writing.repairLog(against: prepared.loaded)
    // What was found has lines now, and the file names the last of them.
    prepared = try self.prepared(prepared.loaded, prepared.key, prepared.result, isApplied: false)
    try prepared.describe(in: &writing.record)
    try writing.write(prepared)
    prepared.notes = notes + writing.notes
    return try prepared.output(self)
  }
}
