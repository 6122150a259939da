internal import JSON

/// The flag file as far as the audit log is about it. The file carries the hash of the last line that was in the log
/// before it was written, so that lines can't be cut from the end unseen.
package struct AuditedFile: Sendable {
  /// SHA-256 of the file's bytes.
  package var hash: String
  package var revision: Int
  /// The hash of a line, "" in a file that `fermata flags` never wrote.
  package var lineHash: String

  package init(hash: String, revision: Int, lineHash: String) {
    self.hash = hash
    self.revision = revision
    self.lineHash = lineHash
  }

  /// What log and file disagree about.
  package enum Disagreement: Equatable, Sendable {
    /// There are no lines, and the file says that there were some.
    case logIsGone
    /// The line that the file names is not there.
    case linesAreCut
    /// The file is not as the last line left it.
    case fileIsChanged(knownHash: String)
  }

  /// - Parameter lines: of the log, torn ones left out.
  package func disagreement(with lines: [String]) -> Disagreement? {
    let entries = lines.compactMap { try? JSONValue(parsing: $0) }
    guard let last = entries.last else { return lineHash.isEmpty ? nil : .logIsGone }
    guard !isKnown(to: last) else { return nil }
    let hashes = entries.compactMap { $0["hash"]?.string }
    // The line may stand in a log before this one.
    let isRotated = entries[0]["kind"] == "rotated"
    guard lineHash.isEmpty || isRotated || hashes.contains(lineHash) else { return .linesAreCut }
    // The revision is in a line that is written before the file: a later one must have had a line.
    let newest = entries.compactMap { $0["toRevision"]?.integer }.max() ?? 0
    return revision > newest && !lineHash.isEmpty
      ? .linesAreCut : .fileIsChanged(knownHash: last["fileSha256After"]?.string ?? "")
  }

  /// Whether the file is as `last` left it: or, where a writer died between its lines, as it was before.
  private func isKnown(to last: JSONValue) -> Bool {
    if last["fileSha256After"]?.string == hash { return true }
    return last["kind"] == "intent" && last["fileSha256Before"]?.string == hash
  }

  func problems(in lines: [String]) -> [AuditChain.Problem] {
    guard let disagreement = disagreement(with: lines) else { return [] }
    return [AuditChain.Problem(line: 0, message: disagreement.text, isUnfinished: false)]
  }
}

extension AuditedFile.Disagreement {
  /// For people.
  package var text: String {
    switch self {
    case .logIsGone: "the log is gone: the flag file names a line of it, and there is none"
    case .linesAreCut: "lines are missing from the end: the flag file names one that is not there"
    case .fileIsChanged: "the flag file was changed by something else than fermata flags since the last line"
    }
  }
}
