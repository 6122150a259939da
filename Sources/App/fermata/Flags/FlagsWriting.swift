import Files
import Flags
import JSON

/// The steps by which a change gets onto the disk. An urgent one does without those that fail, and says so.
struct FlagsWriting {
  let path: String
  let isUrgent: Bool
  var record: AuditRecord
  /// What happened on the way, for people.
  private(set) var notes: [String] = []
  private let history: FlagHistory

  init(path: String, isUrgent: Bool, record: AuditRecord) {
    (self.path, self.isUrgent, self.record) = (path, isUrgent, record)
    history = FlagHistory(beside: path)
  }

  /// Puts the log in order, before anything is added to it.
  mutating func repairLog(against loaded: LoadedFlags) throws(FlagsFailure) {
    var found: [String] = []
    let history = history
    try attempt("the audit log") { () throws(FileError) in
      found = try history.repairLog(against: loaded, at: Caller.now).notes
    }
    notes += found
  }

  mutating func write(_ change: PreparedChange) throws(FlagsFailure) {
    let history = history
    if let recovery = change.loaded.recovery {
      let source = change.result.source.isEmpty ? recovery.source : change.result.source
      notes.append("\(recovery.fault); taken instead: \(source)")
      if recovery.isThere { try putAside(recovery) }
    } else {
      try attempt("the history") { () throws(FileError) in
        try history.keep(change.loaded.bytes, revision: change.loaded.revision)
      }
    }
    var intent = record
    if isUrgent { intent.fileHashesInPlace = shorterForms(of: change).map { SHA256.hexadecimal($0) } }
    try attempt("the audit log") { [intent] () throws(FileError) in try history.append(intent) }
    let written = try replace(with: change)
    try attempt("the history") { () throws(FileError) in
      try history.keep(written, revision: change.revision)
    }
    var commit = record
    commit.kind = .commit
    commit.time = Caller.now
    if written != change.bytes { Self.describe(written, of: change, in: &commit) }
    try attempt("the audit log") { [commit] () throws(FileError) in try history.append(commit) }
  }

  private mutating func putAside(_ recovery: LoadedFlags.Recovery) throws(FlagsFailure) {
    var aside = ""
    let history = history
    try attempt("keeping the broken file") { () throws(FileError) in
      aside = try history.putAside(recovery.disk, at: Caller.now)
    }
    if !aside.isEmpty { notes.append("the broken file is kept as \(aside)") }
  }

  /// One step; when it fails, an urgent change goes on.
  private mutating func attempt(
    _ what: String, _ step: () throws(FileError) -> Void
  ) throws(FlagsFailure) {
    do throws(FileError) {
      try step()
    } catch {
      guard isUrgent else { throw .file(error) }
      let note = "\(what): \(error); went on without it"
      if !notes.contains(note) { notes.append(note) }
    }
  }

  /// - Returns: the bytes that are on the disk now.
  private mutating func replace(with change: PreparedChange) throws(FlagsFailure) -> [UInt8] {
    do throws(FileError) {
      try AtomicFile.replace(path, with: change.bytes, access: SharedAccess(beside: path))
      return change.bytes
    } catch {
      guard isUrgent, let written = overwrite(with: change) else { throw failure(error) }
      notes.append("\(error); the file was written in place, which needs no room")
      return written
    }
  }

  /// What was written is not what was meant to be, in form or in contents.
  private static func describe(_ written: [UInt8], of change: PreparedChange, in commit: inout AuditRecord) {
    commit.fileHashAfter = SHA256.hexadecimal(written)
    guard let set = try? FlagSet(parsing: written) else { return }
    commit.patch = JSONPatch.difference(
      from: Redaction.redacted(change.loaded.document), to: Redaction.redacted(set.document))
  }

  private func failure(_ error: FileError) -> FlagsFailure {
    var failure = FlagsFailure.file(error)
    if isUrgent {
      failure.nextAction = "fermata flags kill --admin URL: in force on that gateway at once, without the file"
    }
    return failure
  }

  /// The last resort: over the bytes that are there, with as much as fits.
  ///
  /// - Returns: the bytes that fit; `nil` when none did.
  private func overwrite(with change: PreparedChange) -> [UInt8]? {
    ([change.bytes] + shorterForms(of: change)).first { bytes in
      (try? FlagSet(parsing: bytes)) != nil && (try? overwriteInPlace(path, with: bytes)) != nil
    }
  }

  private func shorterForms(of change: PreparedChange) -> [[UInt8]] {
    let document = change.set.document
    return [
      document.serialized(.compact) + [0x0A], FlagEdit.bare(document, key: change.key).serialized(.compact),
    ]
  }
}
