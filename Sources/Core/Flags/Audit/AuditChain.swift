import JSON

/// The chain of audit lines.
package enum AuditChain {
  /// What the next line has to follow.
  package struct Link: Equatable, Sendable {
    package var sequence: Int
    package var hash: String

    package init(sequence: Int, hash: String) {
      self.sequence = sequence
      self.hash = hash
    }

    package static let beginning = Link(sequence: 0, hash: "")
  }

  /// Something that must not be in a log, by the number of its line; 0 for what no line has.
  package struct Problem: Equatable, Sendable, CustomStringConvertible {
    package var line: Int
    package var message: String
    /// The log is as it was written, but a change was begun and not finished.
    package var isUnfinished: Bool
    /// SHA-256 of the line as it is; "" for what no line has.
    var textHash = ""
    /// The line that a command wrote about it; 0 when none did.
    package var toldIn = 0

    package init(line: Int, message: String, isUnfinished: Bool) {
      self.line = line
      self.message = message
      self.isUnfinished = isUnfinished
    }

    /// Whether the log is not as it was written, and no line of it says so.
    package var isBreak: Bool { !isUnfinished && toldIn == 0 }

    package var description: String {
      let told = toldIn == 0 ? "" : " (line \(toldIn) tells of it)"
      return (line == 0 ? message : "line \(line): \(message)") + told
    }

    /// The same as a member of the line that tells of it.
    var identity: JSONValue {
      ["line": JSONValue(line), "message": .string(message), "lineSha256": .string(textHash)]
    }
  }

  /// SHA-256 of the previous hash and the canonical line without its own.
  static func hash(of line: JSONValue, after previous: String) -> String {
    SHA256.hexadecimal([UInt8](previous.utf8) + line.serialized(.canonical))
  }

  /// The link at the end of a log.
  package static func last(of lines: [String]) -> Link {
    // What is no line of the log is passed over: the next line would be broken too.
    for text in lines.reversed() {
      if let link = (try? JSONValue(parsing: text)).flatMap(link(of:)) { return link }
    }
    return .beginning
  }

  /// The lines that are in the chain, however they are linked.
  static func entries(of lines: [String]) -> [JSONValue] {
    lines.compactMap { try? JSONValue(parsing: $0) }.filter { link(of: $0) != nil }
  }

  static func link(of entry: JSONValue) -> Link? {
    guard let sequence = entry["seq"]?.integer, let hash = entry["hash"]?.string else { return nil }
    return Link(sequence: sequence, hash: hash)
  }

  /// The last line of the log before this one; `nil` for a log that goes on from none.
  package static func earlier(than lines: [String]) -> Link? {
    let link = beginning(of: lines)
    return link == .beginning ? nil : link
  }

  /// Every place where the chain is broken, every intent that nothing came of, and where log and flag file disagree.
  ///
  /// - Parameter file: the flag file beside the log; `nil` leaves it out.
  package static func verify(_ lines: [String], file: AuditedFile? = nil) -> [Problem] {
    told(chainProblems(lines), in: lines) + (file.map { $0.problems(in: lines) } ?? [])
  }

  /// The problems, with the lines that tell of them.
  private static func told(_ problems: [Problem], in lines: [String]) -> [Problem] {
    guard problems.contains(where: { !$0.isUnfinished }) else { return problems }
    let wrong = Set(problems.filter { !$0.isUnfinished }.map(\.line))
    var known: [(line: Int, problem: JSONValue)] = []
    for (index, text) in lines.enumerated() where !wrong.contains(index + 1) {
      guard let told = (try? JSONValue(parsing: text))?["problems"]?.array else { continue }
      known += told.map { (index + 1, $0) }
    }
    return problems.map { problem in
      var problem = problem
      guard problem.line > 0, !problem.isUnfinished else { return problem }
      problem.textHash = SHA256.hexadecimal([UInt8](lines[problem.line - 1].utf8))
      let identity = problem.identity
      problem.toldIn = known.first { $0.line > problem.line && $0.problem == identity }?.line ?? 0
      return problem
    }
  }

  private static func chainProblems(_ lines: [String]) -> [Problem] {
    var problems: [Problem] = []
    var link = beginning(of: lines)
    var open: (line: Int, toRevision: Int, key: String)?
    for (index, text) in lines.enumerated() {
      let line = index + 1
      guard let value = try? JSONValue(parsing: text), var object = value.object else {
        problems.append(Problem(line: line, message: "is no JSON object", isUnfinished: false))
        continue
      }
      guard let own = Self.link(of: value) else {
        problems.append(Problem(line: line, message: "has no number or no hash", isUnfinished: false))
        continue
      }
      let hash = own.hash
      object["hash"] = nil
      if object["prevHash"]?.string != link.hash {
        problems.append(Problem(line: line, message: "does not follow the line before it", isUnfinished: false))
      }
      if own.sequence != link.sequence + 1 {
        problems.append(Problem(line: line, message: "has the wrong number", isUnfinished: false))
      }
      if Self.hash(of: .object(object), after: object["prevHash"]?.string ?? "") != hash {
        problems.append(Problem(line: line, message: "has been changed", isUnfinished: false))
      }
      link = own
      let (revision, key) = (object["toRevision"]?.integer ?? 0, object["key"]?.string ?? "")
      let isEnd = value["kind"] == "commit" && (open?.toRevision != revision || open?.key != key)
      if let begun = open, value["kind"] == "intent" || isEnd {
        problems.append(unfinished(begun.line))
        open = nil
      }
      // What was found or put aside meanwhile is no end of what was begun.
      if value["kind"] == "intent" || value["kind"] == "commit" {
        open = value["kind"] == "intent" ? (line, revision, key) : nil
      }
    }
    if let open { problems.append(unfinished(open.line)) }
    return problems
  }

  /// Where the first line goes on from: a log that was rotated begins with the last link of the one before it.
  private static func beginning(of lines: [String]) -> Link {
    guard let first = lines.first.flatMap({ try? JSONValue(parsing: $0) }), first["kind"] == "rotated",
      let sequence = first["seq"]?.integer, sequence > 0
    else { return .beginning }
    return Link(sequence: sequence - 1, hash: first["prevHash"]?.string ?? "")
  }

  private static func unfinished(_ line: Int) -> Problem {
    Problem(line: line, message: "was begun and never committed", isUnfinished: true)
  }
}
