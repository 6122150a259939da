package import JSON
package import Time

/// One line of the audit log. Lines are chained: each carries the hash of the one before it, so that none can be
/// changed, taken out or put in unseen. There are no targeting keys and no context values in it.
package struct AuditRecord: Sendable {
  package enum Kind: String, Sendable, CaseIterable {
    /// Written before the file changes.
    case intent
    /// Written after it has changed.
    case commit
  }

  package var kind: Kind
  package var time: WallTime
  package var actor: String
  package var uid: Int
  package var host: String
  package var pid: Int
  /// The command: `set`, `kill`, `rollout advance`.
  package var verb: String
  package var key: String
  package var reason: String
  package var ticket: String
  package var fromRevision: Int
  package var toRevision: Int
  package var fileHashBefore: String
  package var fileHashAfter: String
  /// RFC 6902, identities left out.
  package var patch: [JSONValue]
  package var phaseBefore: String
  package var phaseAfter: String
  package var guardSnapshot: JSONValue
  package var isAutomatic: Bool
  /// Conditions that were not met and that `--force` overrode.
  package var forced: [String]

  package init(
    kind: Kind, time: WallTime, actor: String, uid: Int, host: String, pid: Int, verb: String, key: String,
    reason: String, ticket: String
  ) {
    self.kind = kind
    self.time = time
    self.actor = actor
    self.uid = uid
    self.host = host
    self.pid = pid
    self.verb = verb
    self.key = key
    self.reason = reason
    self.ticket = ticket
    self.fromRevision = 0
    self.toRevision = 0
    self.fileHashBefore = ""
    self.fileHashAfter = ""
    self.patch = []
    self.phaseBefore = ""
    self.phaseAfter = ""
    self.guardSnapshot = .null
    self.isAutomatic = false
    self.forced = []
  }

  /// The line that follows `previous` in the log, without its line break.
  package func line(after previous: AuditChain.Link) -> (text: String, link: AuditChain.Link) {
    var object: JSONObject = [
      "seq": JSONValue(previous.sequence + 1), "kind": .string(kind.rawValue), "time": .string(time.rfc3339),
      "actor": .string(actor), "uid": JSONValue(uid), "host": .string(host), "pid": JSONValue(pid),
      "verb": .string(verb), "key": .string(key), "reason": .string(reason), "ticket": .string(ticket),
      "fromRevision": JSONValue(fromRevision), "toRevision": JSONValue(toRevision),
      "fileSha256Before": .string(fileHashBefore), "fileSha256After": .string(fileHashAfter),
      "patch": .array(patch), "phaseBefore": .string(phaseBefore), "phaseAfter": .string(phaseAfter),
      "guardSnapshot": guardSnapshot, "automatic": .bool(isAutomatic), "prevHash": .string(previous.hash),
    ]
    if !forced.isEmpty { object["forced"] = .array(forced.map(JSONValue.string)) }
    let hash = AuditChain.hash(of: .object(object), after: previous.hash)
    object["hash"] = .string(hash)
    return (JSONValue.object(object).text(), AuditChain.Link(sequence: previous.sequence + 1, hash: hash))
  }
}

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

  /// Something that must not be in a log, by the number of its line.
  package struct Problem: Equatable, Sendable, CustomStringConvertible {
    package var line: Int
    package var message: String
    /// The log is as it was written, but a change was begun and not finished.
    package var isUnfinished: Bool

    package var description: String { "line \(line): \(message)" }
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

  /// Every place where the chain is broken, and every intent that nothing came of.
  package static func verify(_ lines: [String]) -> [Problem] {
    var problems: [Problem] = []
    var link = Link.beginning
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
      if let begun = open, value["kind"] == "intent" || begun.toRevision != revision || begun.key != key {
        problems.append(unfinished(begun.line))
        open = nil
      }
      open = value["kind"] == "intent" ? (line, revision, key) : nil
    }
    if let open { problems.append(unfinished(open.line)) }
    return problems
  }

  private static func unfinished(_ line: Int) -> Problem {
    Problem(line: line, message: "was begun and never committed", isUnfinished: true)
  }
}
