import Files
import Flags
import JSON
import Time

extension FlagsVerb {
  static let log = FlagsVerb(
    name: "log", summary: "who changed what, when and why", usage: "[OPTION …]",
    details: """
        --key KEY          changes of this flag only
        --since TIME       from that time on: 2026-01-31T12:00:00Z, or 2h for the last two hours
        --verify           check the chain of hashes, and the flag file against it: exit 3 if a line was changed, taken
                           out, put in or cut from the end, or if the file was changed by something else
      """,
    options: ["--key", "--since"], switches: ["--verify"], operands: 0...0
  ) { invocation throws(FlagsFailure) in
    let history = FlagHistory(beside: invocation.file)
    let lines: [String]
    do throws(FileError) {
      lines = try history.lines()
    } catch {
      throw .file(error)
    }
    if invocation.arguments.has("--verify") {
      let file = try LoadedFlags(recovering: invocation.file).audited
      return verification(of: lines, history.logPath, file)
    }
    let since = try earliest(invocation)
    var (entries, text): ([JSONValue], [String]) = ([], [])
    for line in lines {
      guard let value = try? JSONValue(parsing: line) else { continue }
      if let key = invocation.arguments["--key"], value["key"]?.string != key { continue }
      if let since, let time = value["time"]?.string.flatMap(WallTime.init(rfc3339:)), time < since { continue }
      entries.append(value)
      if value["kind"] != "intent" { text.append(sentence(of: value)) }
    }
    return FlagsOutput(kind: "AuditLog", data: .array(entries), text: text.joined(separator: "\n"))
  }

  static let logRotate = FlagsVerb(
    name: "log rotate", summary: "begin a new audit log that goes on from the old one", usage: "[OPTION …]",
    details: """
      The old log stays beside the new one, under the number of its last line. The new one begins with the hash of that
      line, so the chain goes through both; "log --verify --file" of either checks its part.
      """,
    operands: 0...0
  ) { invocation throws(FlagsFailure) in
    let loaded = try invocation.load()
    do throws(FileError) {
      let lock = try FileLock(invocation.file)
      let history = FlagHistory(beside: invocation.file)
      let notes = try history.settle(loaded, at: Caller.now)
      let old = try history.rotate(loaded, at: Caller.now)
      _ = consume lock
      return FlagsOutput(
        kind: "LogRotation", data: ["file": .string(history.logPath), "old": .string(old)],
        text: "\(history.logPath) goes on from \(old)", warnings: notes)
    } catch {
      throw .file(error)
    }
  }

  private static func earliest(_ invocation: FlagsInvocation) throws(FlagsFailure) -> WallTime? {
    guard let text = invocation.arguments["--since"] else { return nil }
    if let time = WallTime(rfc3339: text) { return time }
    guard let ago = Nanoseconds(parsing: text) else { throw .usage("--since takes a time in UTC, or a duration") }
    return WallTime(milliseconds: Caller.now.milliseconds - Int64(ago.milliseconds))
  }

  private static func sentence(of entry: JSONValue) -> String {
    func field(_ name: String) -> String { printable(entry[name]?.string ?? "") }
    let revisions = "\(entry["fromRevision"]?.integer ?? 0) -> \(entry["toRevision"]?.integer ?? 0)"
    var text = "\(field("time"))  \(revisions)  \(field("actor"))  \(field("verb")) \(field("key"))"
    if field("phaseBefore") != field("phaseAfter") { text += "  \(field("phaseBefore")) -> \(field("phaseAfter"))" }
    if let forced = entry["forced"]?.array?.compactMap(\.string), !forced.isEmpty {
      text += "  forced: \(forced.joined(separator: ", "))"
    }
    if !field("reason").isEmpty { text += "  \"\(field("reason"))\"" }
    return field("ticket").isEmpty ? text : text + "  \(field("ticket"))"
  }

  /// What somebody typed as a reason must not move a terminal's cursor.
  private static func printable(_ text: String) -> String {
    text.unicodeScalars.map { scalar in
      let isControl = scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value)
      return isControl ? "\\u{\(String(scalar.value, radix: 16))}" : String(scalar)
    }.joined()
  }

  private static func verification(of lines: [String], _ path: String, _ file: AuditedFile) -> FlagsOutput {
    let problems = AuditChain.verify(lines, file: file)
    let broken = problems.filter { !$0.isUnfinished }
    let data: JSONValue = [
      "file": .string(path), "lines": JSONValue(lines.count), "isWhole": .bool(broken.isEmpty),
      "problems": .array(
        problems.map {
          ["line": JSONValue($0.line), "message": .string($0.message), "unfinished": .bool($0.isUnfinished)]
        }),
    ]
    let verdict = broken.isEmpty ? "\(path): \(lines.count) lines, the chain is whole" : "\(path): the chain is broken"
    let text = ([verdict] + problems.map { "  \($0)" }).joined(separator: "\n")
    return FlagsOutput(
      kind: "AuditVerification", data: data, text: text, exit: broken.isEmpty ? .success : .invalidFile)
  }
}
