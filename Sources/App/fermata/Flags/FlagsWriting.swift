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
  mutating func settle(_ loaded: LoadedFlags) throws(FlagsFailure) {
    var found: [String] = []
    let history = history
    try attempt("the audit log") { () throws(FileError) in found = try history.settle(loaded, at: Caller.now) }
    notes += found
  }

  mutating func write(_ change: PreparedChange) throws(FlagsFailure) {
    let history = history
    if let recovery = change.loaded.recovery {
      notes.append("\(recovery.fault); taken instead: \(recovery.source)")
      if recovery.isThere { try putAside(recovery) }
    } else {
      try attempt("the history") { () throws(FileError) in
        try history.keep(change.loaded.bytes, revision: change.loaded.revision)
      }
    }
    let intent = record
    try attempt("the audit log") { () throws(FileError) in try history.append(intent) }
    try replace(with: change)
    try attempt("the history") { () throws(FileError) in
      try history.keep(change.bytes, revision: change.revision)
    }
    var commit = intent
    commit.kind = .commit
    commit.time = Caller.now
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

  private mutating func replace(with change: PreparedChange) throws(FlagsFailure) {
    do throws(FileError) {
      try AtomicFile.replace(path, with: change.bytes, access: SharedAccess(beside: path))
    } catch {
      guard isUrgent, overwrite(with: change) else { throw failure(error) }
      notes.append("\(error); the file was written in place, which needs no room")
    }
  }

  private func failure(_ error: FileError) -> FlagsFailure {
    var failure = FlagsFailure.file(error)
    if isUrgent {
      failure.nextAction = "fermata flags kill --admin URL: in force on that gateway at once, without the file"
    }
    return failure
  }

  /// The last resort: over the bytes that are there, with as much as fits.
  private func overwrite(with change: PreparedChange) -> Bool {
    let document = change.set.document
    let forms = [
      change.bytes, document.serialized(.compact) + [0x0A],
      FlagEdit.bare(document, key: change.key).serialized(.compact),
    ]
    return forms.contains { bytes in
      (try? FlagSet(parsing: bytes)) != nil && (try? overwriteInPlace(path, with: bytes)) != nil
    }
  }
}
