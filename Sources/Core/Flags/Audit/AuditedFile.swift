package import JSON

/// The flag file as far as the audit log is about it. The file carries the hash of the last line that was in the log
/// before it was written, so that lines can't be cut from the end unseen.
package struct AuditedFile: Sendable {
  /// SHA-256 of the file's bytes.
  package var hash: String
  package var revision: Int
  /// The hash of a line, "" in a file that `fermata flags` never wrote.
  package var lineHash: String
  /// The last line that was surely written, as it is kept apart from the log; `nil` where that is not known.
  package var written: AuditChain.Link?

  /// The highest revision that the history keeps, which a line of the log must have led to; 0 where none is kept.
  package var kept: Int

  package init(hash: String, revision: Int, lineHash: String, written: AuditChain.Link? = nil, kept: Int = 0) {
    self.hash = hash
    self.revision = revision
    self.lineHash = lineHash
    self.written = written
    self.kept = kept
  }

  /// What log and file disagree about.
  package enum Disagreement: Equatable, Sendable {
    /// There are no lines, and the file says that there were some.
    case logIsGone
    /// A line that was written, as the file or the history knows, is not there.
    case linesAreCut
    /// The last lines are there, and the file is newer than they.
    case changeHasNoLines
    /// The file is not as the last line left it.
    case fileIsChanged(knownHash: String)
  }

  /// - Parameter lines: of the log, torn ones left out.
  package func disagreement(with lines: [String]) -> Disagreement? {
    let entries = AuditChain.entries(of: lines)
    guard let last = entries.last else { return lineHash.isEmpty && written == nil ? nil : .logIsGone }
    let newest = entries.compactMap { $0["toRevision"]?.integer }.max() ?? 0
    // File and log may have been put back together; the history was not.
    guard isWritten(in: entries), kept <= max(newest, revision) else { return .linesAreCut }
    guard !isKnown(to: last) else { return nil }
    let hashes = entries.compactMap { $0["hash"]?.string }
    // The line may stand in a log before this one.
    let isRotated = entries[0]["kind"] == "rotated"
    guard lineHash.isEmpty || isRotated || hashes.contains(lineHash) else { return .linesAreCut }
    // The revision is in a line that is written before the file: a later one must have had a line.
    guard revision > newest, !lineHash.isEmpty else {
      return .fileIsChanged(knownHash: last["fileSha256After"]?.string ?? "")
    }
    return last["hash"]?.string == lineHash ? .changeHasNoLines : .linesAreCut
  }

  /// Whether the last line that was surely written is still there, or in a log before this one.
  private func isWritten(in entries: [JSONValue]) -> Bool {
    guard let written else { return true }
    if entries[0]["kind"] == "rotated", let first = entries[0]["seq"]?.integer, written.sequence < first { return true }
    return entries.contains { AuditChain.link(of: $0) == written }
  }

  /// The change that was begun last, when it is in the file and its end is not in the log.
  package func unfinishedChange(in lines: [String]) -> JSONValue? {
    let entries = AuditChain.entries(of: lines)
    guard let last = entries.last, last["kind"] == "intent", isWritten(in: entries), isResult(of: last) else {
      return nil
    }
    return last
  }

  /// Whether the file is what the line says that it became, in one of its forms.
  private func isResult(of entry: JSONValue) -> Bool {
    if entry["fileSha256After"]?.string == hash { return true }
    return entry["kind"] == "intent" && entry["fileSha256InPlace"]?.array?.contains(.string(hash)) == true
  }

  /// Whether the file is as `last` left it: or, where a writer died between its lines, as it was before.
  private func isKnown(to last: JSONValue) -> Bool {
    if isResult(of: last) { return true }
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
    case .logIsGone: "the log is gone: the flag file or the history names a line of it, and there is none"
    case .linesAreCut: "lines are missing from the end: one that the flag file or the history names is not there"
    case .changeHasNoLines:
      "the last change of the flag file has no lines: they were cut, or a kill could not write them, as on a full disk"
    case .fileIsChanged: "the flag file was changed by something else than fermata flags since the last line"
    }
  }
}
