import Files
import Flags
import JSON
import Time

/// The audit log beside a flag file, and the revisions that `revert` goes back to.
struct FlagHistory {
  let path: String
  let logPath: String
  let directory: String
  /// Everything beside the flag file is for those who may change it.
  private let access: SharedAccess
  private static let keptRevisions = 100
  private static let logLimit = 256 << 20

  init(beside path: String) {
    self.path = path
    logPath = path + ".audit.jsonl"
    directory = FilePath.directory(of: path) + "/history"
    access = SharedAccess(beside: path)
  }

  // MARK: - The log

  /// The lines of the log; none when there is no log yet.
  func lines() throws(FileError) -> [String] {
    try logBytes().split(separator: 0x0A).map { String(decoding: $0, as: UTF8.self) }
  }

  private func logBytes() throws(FileError) -> [UInt8] {
    do {
      return try readFile(logPath, limit: Self.logLimit).bytes
    } catch .notFound {
      return []
    }
  }

  /// The hash of the last line; "" for a log without one.
  func lastHash() throws(FileError) -> String { AuditChain.last(of: try lines()).hash }

  func append(_ record: AuditRecord) throws(FileError) {
    let line = record.line(after: AuditChain.last(of: try lines())).text
    try appendLine(logPath, [UInt8](line.utf8) + [0x0A], access: access)
  }

  /// Puts the log in order before something is added to it: a torn line is put aside, what another process did and died
  /// before saying so is committed, and what changed the file without a line gets one.
  ///
  /// - Returns: what was found, for people.
  func settle(_ loaded: LoadedFlags, at now: WallTime) throws(FileError) -> [String] {
    let torn = try cutTornLine()
    var notes: [String] = []
    let known = try lines()
    if let intent = unfinished(in: known), intent["fileSha256After"]?.string == loaded.diskHash {
      try commit(intent, at: now)
    } else if let disagreement = loaded.audited.disagreement(with: known) {
      notes.append(try writeFound(disagreement, loaded, at: now))
    }
    guard let torn else { return notes }
    var record = automatic(.recovered, "log", at: now)
    record.reason = "a line was not whole, as after a crash; its beginning is now in \(torn)"
    record.fileHashBefore = loaded.diskHash
    record.fileHashAfter = loaded.diskHash
    (record.fromRevision, record.toRevision) = (loaded.revision, loaded.revision)
    try append(record)
    return notes + ["\(logPath): the last line was torn; its beginning is now in \(torn)"]
  }

  /// Moves what follows the last line break out of the log.
  ///
  /// - Returns: the file that has it now.
  private func cutTornLine() throws(FileError) -> String? {
    let bytes = try logBytes()
    guard let last = bytes.last, last != 0x0A else { return nil }
    let size = bytes.lastIndex(of: 0x0A).map { $0 + 1 } ?? 0
    let tail = Array(bytes[size...])
    if (try? JSONValue(parsing: String(decoding: tail, as: UTF8.self))) != nil {
      // All of it is there but its end.
      try appendLine(logPath, [0x0A], access: access)
      return nil
    }
    let torn = logPath + ".torn"
    try appendLine(torn, tail + [0x0A], access: access)
    try truncateFile(logPath, to: size)
    return torn
  }

  private func unfinished(in lines: [String]) -> JSONValue? {
    guard let last = lines.last, let value = try? JSONValue(parsing: last), value["kind"] == "intent" else {
      return nil
    }
    return value
  }

  private func commit(_ intent: JSONValue, at now: WallTime) throws(FileError) {
    func text(_ name: String) -> String { intent[name]?.string ?? "" }
    var record = AuditRecord(
      kind: .commit, time: now, actor: text("actor"), uid: intent["uid"]?.integer ?? 0, host: text("host"),
      pid: intent["pid"]?.integer ?? 0, verb: text("verb"), key: text("key"),
      reason: "recovered: the file was written, the log line was not", ticket: "")
    record.fromRevision = intent["fromRevision"]?.integer ?? 0
    record.toRevision = intent["toRevision"]?.integer ?? 0
    record.fileHashBefore = text("fileSha256Before")
    record.fileHashAfter = text("fileSha256After")
    record.isAutomatic = true
    try append(record)
  }

  private func writeFound(
    _ disagreement: AuditedFile.Disagreement, _ loaded: LoadedFlags, at now: WallTime
  ) throws(FileError) -> String {
    var record = automatic(.found, "found", at: now)
    var text = disagreement.text
    if let stat = try? FileStat(path) {
      let time = WallTime(milliseconds: stat.modified / 1_000_000).rfc3339
      text += "; \(path) belongs to \(fileOwner(path)), last changed \(time)"
    } else {
      text += "; \(path) is not there"
    }
    record.reason = text
    record.fileHashAfter = loaded.diskHash
    if case .fileIsChanged(let known) = disagreement {
      record.fileHashBefore = known
      if let old = document(ofHash: known), loaded.recovery == nil {
        record.patch = JSONPatch.difference(
          from: Redaction.redacted(old), to: Redaction.redacted(loaded.document))
      }
    }
    (record.fromRevision, record.toRevision) = (loaded.revision, loaded.revision)
    try append(record)
    return text
  }

  private func automatic(_ kind: AuditRecord.Kind, _ verb: String, at now: WallTime) -> AuditRecord {
    var record = AuditRecord(
      kind: kind, time: now, actor: Caller.name, uid: Caller.uid, host: Caller.host, pid: Caller.pid, verb: verb,
      key: "", reason: "", ticket: "")
    record.isAutomatic = true
    return record
  }

  /// Begins a new log that goes on from this one.
  ///
  /// - Returns: where the old one is now.
  func rotate(_ loaded: LoadedFlags, at now: WallTime) throws(FileError) -> String {
    let link = AuditChain.last(of: try lines())
    var record = automatic(.rotated, "log rotate", at: now)
    let old = "\(logPath).\(link.sequence)"
    record.reason = "goes on from \(FilePath.name(of: old)), whose last line has the hash \(link.hash)"
    record.fileHashBefore = loaded.diskHash
    record.fileHashAfter = loaded.diskHash
    (record.fromRevision, record.toRevision) = (loaded.revision, newestRevision(than: loaded.revision))
    let line = record.line(after: link).text
    // A copy first, so that there is a log at any moment.
    try AtomicFile.replace(old, with: try logBytes(), access: access)
    try AtomicFile.replace(logPath, with: [UInt8](line.utf8) + [0x0A], access: access)
    return old
  }

  // MARK: - Revisions

  /// Keeps a copy of a revision, and only so many of them.
  func keep(_ bytes: [UInt8], revision: Int) throws(FileError) {
    try access.makeDirectory(directory)
    let path = "\(directory)/\(revision)-\(SHA256.hexadecimal(bytes).prefix(8)).json"
    if (try? FileStat(path)) == nil { try AtomicFile.replace(path, with: bytes, access: access) }
    let kept = revisions()
    for old in kept.dropLast(Self.keptRevisions) { Caller.remove(old.path) }
  }

  /// The kept revisions, the oldest first.
  func revisions() -> [(revision: Int, path: String)] {
    Caller.names(in: directory).compactMap { name -> (revision: Int, path: String)? in
      guard name.hasSuffix(".json"), let number = name.split(separator: "-").first.flatMap({ Int($0) }) else {
        return nil
      }
      return (number, "\(directory)/\(name)")
    }.sorted { ($0.revision, $0.path) < ($1.revision, $1.path) }
  }

  /// The highest revision that there has ever been, as far as file, log and history know: none comes twice.
  func newestRevision(than revision: Int) -> Int {
    let logged = ((try? lines()) ?? []).compactMap { line in
      (try? JSONValue(parsing: line))?["toRevision"]?.integer
    }
    return max(revision, logged.max() ?? 0, revisions().last?.revision ?? 0)
  }

  private func document(ofHash hash: String) -> JSONValue? {
    guard !hash.isEmpty, let kept = revisions().last(where: { $0.path.hasSuffix("-\(hash.prefix(8)).json") }) else {
      return nil
    }
    return (try? LoadedFlags(kept.path))?.document
  }

  /// Keeps a file that can't be read as a flag file beside the one that takes its place.
  ///
  /// - Returns: where it is now.
  func putAside(_ bytes: [UInt8]?, at now: WallTime) throws(FileError) -> String {
    let time = now.rfc3339.filter { $0 != ":" && $0 != "-" && $0 != "." }
    let aside = "\(path).broken-\(time)"
    guard let bytes else {
      try renameFile(path, to: aside)
      return aside
    }
    try AtomicFile.replace(aside, with: bytes, access: access)
    return aside
  }
}
