import Files
import Flags
import JSON
import Time

/// The audit log beside a flag file, and the revisions that `revert` goes back to.
struct FlagHistory {
  let logPath: String
  let directory: String
  private static let keptRevisions = 100
  private static let logLimit = 256 << 20

  init(beside path: String) {
    logPath = path + ".audit.jsonl"
    directory = FilePath.directory(of: path) + "/history"
  }

  /// The lines of the log; none when there is no log yet.
  func lines() throws(FileError) -> [String] {
    do {
      let bytes = try readFile(logPath, limit: Self.logLimit).bytes
      return bytes.split(separator: 0x0A).map { String(decoding: $0, as: UTF8.self) }
    } catch .notFound {
      return []
    }
  }

  func append(_ record: AuditRecord) throws(FileError) {
    let written = try lines()
    let line = record.line(after: AuditChain.last(of: written)).text
    try appendLine(logPath, (try isTorn() ? [0x0A] : []) + [UInt8](line.utf8) + [0x0A])
  }

  /// Whether a writer died within a line.
  private func isTorn() throws(FileError) -> Bool {
    do {
      return try readFile(logPath, limit: Self.logLimit).bytes.last.map { $0 != 0x0A } ?? false
    } catch .notFound {
      return false
    }
  }

  /// Commits what another process announced and did but died before saying so.
  func recover(currentHash: String, at now: WallTime) throws(FileError) {
    guard let last = try lines().last, let value = try? JSONValue(parsing: last), value["kind"] == "intent",
      value["fileSha256After"]?.string == currentHash
    else { return }
    var record = AuditRecord(
      kind: .commit, time: now, actor: value["actor"]?.string ?? "", uid: value["uid"]?.integer ?? 0,
      host: value["host"]?.string ?? "", pid: value["pid"]?.integer ?? 0, verb: value["verb"]?.string ?? "",
      key: value["key"]?.string ?? "", reason: "recovered: the file was written, the log line was not", ticket: "")
    record.fromRevision = value["fromRevision"]?.integer ?? 0
    record.toRevision = value["toRevision"]?.integer ?? 0
    record.fileHashBefore = value["fileSha256Before"]?.string ?? ""
    record.fileHashAfter = currentHash
    record.isAutomatic = true
    try append(record)
  }

  /// Keeps a copy of a revision, and only so many of them.
  func keep(_ bytes: [UInt8], revision: Int) throws(FileError) {
    guard Caller.makeDirectory(directory) else { throw .permissionDenied(path: directory) }
    let path = "\(directory)/\(revision)-\(SHA256.hexadecimal(bytes).prefix(8)).json"
    if (try? FileStat(path)) == nil { try AtomicFile.replace(path, with: bytes) }
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
}
