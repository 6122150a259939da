import Flags
import JSON
import Loop

/// A change that is worked out and checked, not yet written.
struct PreparedChange {
  let loaded: LoadedFlags
  let key: String
  let bytes: [UInt8]
  let set: FlagSet
  let isApplied: Bool
  let result: FlagsMutation.Result
  /// What happened on the way, for people.
  var notes: [String] = []

  var revision: Int { FlagEdit.revision(of: set.document) }

  private var patch: [JSONValue] { JSONPatch.difference(from: loaded.document, to: set.document) }
  var patchText: String { patch.map { $0.text() }.joined(separator: "\n") }

  /// On standard error, at a terminal or not: it is what the writer agrees to.
  func showRuleChange() {
    if !result.ruleChange.isEmpty { Terminal.error(result.ruleChange) }
  }

  func describe(in record: inout AuditRecord) throws(FlagsFailure) {
    record.fromRevision = loaded.revision
    record.toRevision = revision
    record.fileHashBefore = loaded.diskHash
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
    var rollout: Rollout?
    var faults: [String] = []
    // It is written by now: a rollout that can't be read must not look as if it were not.
    do throws(FlagsFailure) {
      rollout = try mutation.invocation.rollout(of: key, in: set.document)
    } catch {
      faults.append("the rollout can't be read: \(error.message.replacing("\n", with: "; ")); \(error.nextAction)")
    }
    var data = FlagsState.json(key, in: set, rollout)
    data[path: ["alreadyApplied"]] = .bool(isApplied)
    let text = (isApplied ? "already so: " : "") + FlagsState.text(key, in: set, rollout)
    let warnings =
      notes + faults + result.notes + FlagLinter.lint(bytes).filter { $0.severity == .error }.map(\.description)
    return FlagsOutput(kind: "Flag", data: data, text: text, warnings: warnings)
  }

  /// What `--dry-run` shows; for a symbolic link, the document that has to be put where the link comes from.
  func preview(_ mutation: FlagsMutation, link: String?) throws(FlagsFailure) -> FlagsOutput {
    if let link, !mutation.invocation.arguments.has("--dry-run"), !isApplied {
      var failure = FlagsFailure(
        .refused, "symbolic_link",
        "\(loaded.path) is a symbolic link to \(link), as in a ConfigMap; it is not replaced",
        next: "put this document where the link comes from"
          + (mutation.isUrgent ? "; fermata flags kill --admin URL is in force at once, without the file" : ""))
      failure.document = set.document
      failure.documentText = String(decoding: bytes.dropLast(), as: UTF8.self)
      throw failure
    }
    showRuleChange()
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
