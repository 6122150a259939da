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
  /// The number and hash of the last line, apart from the log, so that what is cut from its end is missed.
  private let lastLinePath: String
  private static let logLimit = 256 << 20

  init(beside path: String) {
    self.path = path
    logPath = path + ".audit.jsonl"
    directory = FilePath.directory(of: path) + "/history"
    access = SharedAccess(beside: path)
    lastLinePath = "\(directory)/\(FilePath.name(of: path)).last-line"
  }

  // MARK: - The log

  /// The lines of the log; none when there is no log yet.
  func lines() throws(FileError) -> [String] {
    Self.lines(in: try logBytes())
  }

  /// The lines of another log, such as an old one.
  static func lines(ofLog path: String) throws(FileError) -> [String] {
    lines(in: try readFile(path, limit: logLimit).bytes)
  }

  private static func lines(in bytes: [UInt8]) -> [String] {
    bytes.split(separator: 0x0A).map { String(decoding: $0, as: UTF8.self) }
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
    let line = record.line(after: AuditChain.last(of: try lines()))
    try appendLine(logPath, [UInt8](line.text.utf8) + [0x0A], access: access)
    // What was only begun may be lost.
    if record.kind != .intent { keep(line.link) }
  }

  /// The last line that was surely written; `nil` where none was kept.
  func lastWritten() -> AuditChain.Link? {
    guard let bytes = try? readFile(lastLinePath, limit: 4096).bytes, let value = try? JSONValue(parsing: bytes),
      let sequence = value["seq"]?.integer, let hash = value["hash"]?.string
    else { return nil }
    return AuditChain.Link(sequence: sequence, hash: hash)
  }

  /// Where it can't be kept, an older one is: that only misses less.
  private func keep(_ link: AuditChain.Link) {
    let value: JSONValue = ["seq": JSONValue(link.sequence), "hash": .string(link.hash)]
    try? access.makeDirectory(directory)
    try? AtomicFile.replace(lastLinePath, with: value.serialized(.compact) + [0x0A], access: access)
  }

  /// Puts the log in order before something is added to it: a torn line is put aside, what another process did and died
  /// before saying so is committed, and what changed the file without a line gets one.
  ///
  /// - Returns: what was found, for people, and how many places of the log were found broken.
  func repairLog(against loaded: LoadedFlags, at now: WallTime) throws(FileError) -> (notes: [String], breaks: Int) {
    let torn = try cutTornLine()
    var notes: [String] = []
    let known = try lines()
    if let intent = loaded.audited.unfinishedChange(in: known) {
      try commit(intent, loaded, at: now)
    } else if let disagreement = loaded.audited.disagreement(with: known) {
      notes.append(try writeFound(disagreement, loaded, at: now))
    }
    let breaks = AuditChain.verify(known).filter(\.isBreak)
    if !breaks.isEmpty { notes.append(try writeFound(breaks, loaded, at: now)) }
    guard let torn else { return (notes, breaks.count) }
    var record = automatic(.recovered, "log", at: now)
    record.reason = "a line was not whole, as after a crash; its beginning is now in \(torn)"
    record.fileHashBefore = loaded.diskHash
    record.fileHashAfter = loaded.diskHash
    (record.fromRevision, record.toRevision) = (loaded.revision, loaded.revision)
    try append(record)
    return (notes + ["\(logPath): the last line was torn; its beginning is now in \(torn)"], breaks.count)
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

  private func commit(_ intent: JSONValue, _ loaded: LoadedFlags, at now: WallTime) throws(FileError) {
    func text(_ name: String) -> String { intent[name]?.string ?? "" }
    let remark = "(recovered: begun at \(text("time")); the flag file has the change, the log did not have its end)"
    var record = AuditRecord(
      kind: .commit, time: now, actor: text("actor"), uid: intent["uid"]?.integer ?? 0, host: text("host"),
      pid: intent["pid"]?.integer ?? 0, verb: text("verb"), key: text("key"),
      reason: text("reason").isEmpty ? remark : "\(text("reason")) \(remark)", ticket: text("ticket"))
    record.fromRevision = intent["fromRevision"]?.integer ?? 0
    record.toRevision = intent["toRevision"]?.integer ?? 0
    record.fileHashBefore = text("fileSha256Before")
    record.fileHashAfter = loaded.diskHash
    record.patch = intent["patch"]?.array ?? []
    (record.phaseBefore, record.phaseAfter) = (text("phaseBefore"), text("phaseAfter"))
    record.guardSnapshot = intent["guardSnapshot"] ?? .null
    record.forced = intent["forced"]?.array?.compactMap(\.string) ?? []
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

  private func writeFound(
    _ breaks: [AuditChain.Problem], _ loaded: LoadedFlags, at now: WallTime
  ) throws(FileError) -> String {
    let shown = breaks.prefix(5).map(\.description).joined(separator: "; ")
    let more = breaks.count > 5 ? "; and \(breaks.count - 5) more" : ""
    var record = automatic(.found, "found", at: now)
    record.reason = "the log is not as it was written: \(shown)\(more)"
    record.problems = breaks
    record.fileHashBefore = loaded.diskHash
    record.fileHashAfter = loaded.diskHash
    (record.fromRevision, record.toRevision) = (loaded.revision, loaded.revision)
    try append(record)
    return "\(logPath): \(record.reason)"
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
  /// - Parameter breaks: how many places of the old one were found broken just now.
  /// - Returns: where the old one is now.
  func rotate(_ loaded: LoadedFlags, breaks: Int, at now: WallTime) throws(FileError) -> String {
    let link = AuditChain.last(of: try lines())
    var record = automatic(.rotated, "log rotate", at: now)
    let old = "\(logPath).\(link.sequence)"
    record.reason = "goes on from \(FilePath.name(of: old)), whose last line has the hash \(link.hash)"
    if breaks > 0 {
      let places = breaks == 1 ? "1 place" : "\(breaks) places"
      record.reason += "; that log is broken in \(places), as its line \(link.sequence) tells"
    }
    record.fileHashBefore = loaded.diskHash
    record.fileHashAfter = loaded.diskHash
    (record.fromRevision, record.toRevision) = (loaded.revision, newestRevision(than: loaded.revision))
    let line = record.line(after: link)
    // A copy first, so that there is a log at any moment.
    try AtomicFile.replace(old, with: try logBytes(), access: access)
    try AtomicFile.replace(logPath, with: [UInt8](line.text.utf8) + [0x0A], access: access)
    keep(line.link)
    return old
  }

  /// What is wrong with the logs before this one, the newest first.
  func verifyEarlier(than lines: [String]) throws(FileError) -> [(path: String, problems: [AuditChain.Problem]?)] {
    var (lines, found): ([String], [(path: String, problems: [AuditChain.Problem]?)]) = (lines, [])
    while let link = AuditChain.earlier(than: lines) {
      let old = "\(logPath).\(link.sequence)"
      do throws(FileError) {
        lines = try Self.lines(ofLog: old)
      } catch .notFound {
        return found + [(old, nil)]
      }
      var problems = AuditChain.verify(lines)
      if AuditChain.last(of: lines) != link {
        let message = "does not end with the line that the log after it goes on from"
        problems.append(AuditChain.Problem(line: 0, message: message, isUnfinished: false))
        found.append((old, problems))
        // Its own beginning is no word on what came before.
        return found
      }
      found.append((old, problems))
    }
    return found
  }

  // MARK: - Revisions

  private var revisionFiles: RevisionFiles { RevisionFiles(beside: path, in: directory, access: access) }

  /// Keeps a copy of a revision, and only so many of them.
  func keep(_ bytes: [UInt8], revision: Int) throws(FileError) { try revisionFiles.keep(bytes, revision: revision) }

  /// The kept revisions of this flag file, the oldest first.
  func revisions() -> [(revision: Int, path: String)] { revisionFiles.all() }

  /// The file of a revision. A file that was edited by hand is kept under the number that it had: the one that the log
  /// names comes before it.
  func path(ofRevision number: Int) -> String? {
    let kept = revisions().filter { $0.revision == number }
    guard kept.count > 1 else { return kept.last?.path }
    let written = ((try? lines()) ?? []).compactMap { try? JSONValue(parsing: $0) }.last { record in
      record["kind"] == "commit" && record["toRevision"]?.integer == number
    }?["fileSha256After"]?.string
    return (kept.first { $0.path.hasSuffix("-\(written?.prefix(8) ?? "").json") } ?? kept.last)?.path
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
