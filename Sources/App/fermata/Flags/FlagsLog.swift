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
                           out, put in or cut from the end, or if the file was changed by something else. Old logs
                           that "log rotate" left beside it are checked too. What a later line tells of is shown, and
                           is no fault any more
        --log FILE         an old log in place of the one beside the flag file; --verify checks its chain alone
      """,
    options: ["--key", "--since", "--log"], switches: ["--verify"], operands: 0...0
  ) { invocation throws(FlagsFailure) in
    let history = FlagHistory(beside: invocation.file)
    let lines: [String]
    do throws(FileError) {
      if let old = invocation.arguments["--log"] {
        lines = try FlagHistory.lines(ofLog: old)
        if invocation.arguments.has("--verify") { return verification(of: lines, old, AuditChain.verify(lines)) }
      } else {
        // Before the log: what was written last is in it then.
        let file = invocation.arguments.has("--verify") ? try? LoadedFlags(recovering: invocation.file).audited : nil
        lines = try history.lines()
        if lines.isEmpty, history.lastWritten() == nil { _ = try FileStat(invocation.file) }
        if let file {
          let problems = AuditChain.verify(lines, file: file)
          return verification(of: lines, history.logPath, problems, earlier: try history.verifyEarlier(than: lines))
        }
      }
    } catch {
      throw .file(error)
    }
    let since = try earliest(invocation)
    var (entries, text): ([JSONValue], [String]) = ([], [])
    let unfinished = Set(AuditChain.verify(lines).filter(\.isUnfinished).map(\.line))
    for (index, line) in lines.enumerated() {
      guard let value = try? JSONValue(parsing: line) else { continue }
      if let key = invocation.arguments["--key"], value["key"]?.string != key { continue }
      if let since, let time = value["time"]?.string.flatMap(WallTime.init(rfc3339:)), time < since { continue }
      entries.append(value)
      if value["kind"] != "intent" { text.append(sentence(of: value)) }
      if unfinished.contains(index + 1) { text.append(sentence(of: value) + "  (begun; the log has no end of it)") }
    }
    return FlagsOutput(kind: "AuditLog", data: .array(entries), text: text.joined(separator: "\n"))
  }

  static let logRotate = FlagsVerb(
    name: "log rotate", summary: "begin a new audit log that goes on from the old one", usage: "[OPTION …]",
    details: """
      The old log stays beside the new one, under the number of its last line. The new one begins with the hash of that
      line, so the chain goes through both, and "log --verify" checks both. An old log that was moved away is checked by
      "log --verify --log FILE".
      """,
    operands: 0...0
  ) { invocation throws(FlagsFailure) in
    let loaded = try invocation.load()
    do throws(FileError) {
      let lock = try FileLock(invocation.file)
      let history = FlagHistory(beside: invocation.file)
      let (notes, breaks) = try history.repairLog(against: loaded, at: Caller.now)
      let old = try history.rotate(loaded, breaks: breaks, at: Caller.now)
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

  private typealias Earlier = [(path: String, problems: [AuditChain.Problem]?)]

  private static func verification(
    of lines: [String], _ path: String, _ problems: [AuditChain.Problem], earlier: Earlier = []
  ) -> FlagsOutput {
    let isWhole = !problems.contains(where: \.isBreak)
    let isEarlierWhole = !earlier.contains { ($0.problems ?? []).contains(where: \.isBreak) }
    let data: JSONValue = [
      "file": .string(path), "lines": JSONValue(lines.count), "isWhole": .bool(isWhole && isEarlierWhole),
      "problems": json(problems),
      "earlier": .array(
        earlier.map { log in
          ["file": .string(log.path), "isThere": .bool(log.problems != nil), "problems": json(log.problems ?? [])]
        }),
    ]
    var text = [isWhole ? "\(path): \(lines.count) lines, the chain is whole" : "\(path): the chain is broken"]
    text += problems.map { "  \($0)" }
    for log in earlier {
      guard let problems = log.problems else {
        text.append("\(log.path): is not here; where it was moved to, fermata flags log --verify --log FILE checks it")
        continue
      }
      let isWhole = !problems.contains(where: \.isBreak)
      text.append("\(log.path): the chain is \(isWhole ? "whole" : "broken")")
      text += problems.map { "  \($0)" }
    }
    if !isWhole || !isEarlierWhole { text.append(advice) }
    return FlagsOutput(
      kind: "AuditVerification", data: data, text: text.joined(separator: "\n"),
      exit: isWhole && isEarlierWhole ? .success : .invalidFile)
  }

  private static let advice = """
    what to do: keep a copy of the log, and compare it with a backup and with history/. The next change of the flag
    file writes a line that tells of what is wrong, and goes on from there; fermata flags log rotate begins a new log.
    """

  private static func json(_ problems: [AuditChain.Problem]) -> JSONValue {
    .array(
      problems.map { problem in
        var value: JSONObject = [
          "line": JSONValue(problem.line), "message": .string(problem.message),
          "unfinished": .bool(problem.isUnfinished),
        ]
        if problem.toldIn > 0 { value["toldIn"] = JSONValue(problem.toldIn) }
        return .object(value)
      })
  }
}
