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

    package var description: String { line == 0 ? message : "line \(line): \(message)" }
  }

  /// SHA-256 of the previous hash and the canonical line without its own.
  static func hash(of line: JSONValue, after previous: String) -> String {
    SHA256.hexadecimal([UInt8](previous.utf8) + line.serialized(.canonical))
  }

  /// The link at the end of a log.
  package static func last(of lines: [String]) -> Link {
    guard let value = lines.last.flatMap({ try? JSONValue(parsing: $0) }), let sequence = value["seq"]?.integer,
      let hash = value["hash"]?.string
    else { return Link(sequence: lines.count, hash: "") }
    return Link(sequence: sequence, hash: hash)
  }

  /// Every place where the chain is broken, every intent that nothing came of, and where log and flag file disagree.
  ///
  /// - Parameter file: the flag file beside the log; `nil` leaves it out.
  package static func verify(_ lines: [String], file: AuditedFile? = nil) -> [Problem] {
    chainProblems(lines) + (file.map { $0.problems(in: lines) } ?? [])
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
      let hash = object["hash"]?.string ?? ""
      object["hash"] = nil
      if object["prevHash"]?.string != link.hash {
        problems.append(Problem(line: line, message: "does not follow the line before it", isUnfinished: false))
      }
      if object["seq"]?.integer != link.sequence + 1 {
        problems.append(Problem(line: line, message: "has the wrong number", isUnfinished: false))
      }
      if Self.hash(of: .object(object), after: object["prevHash"]?.string ?? "") != hash {
        problems.append(Problem(line: line, message: "has been changed", isUnfinished: false))
      }
      link = Link(sequence: object["seq"]?.integer ?? link.sequence + 1, hash: hash)
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
