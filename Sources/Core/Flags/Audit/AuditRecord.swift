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
    /// The file was changed by something else, or lines of the log are gone.
    case found
    /// A writer died within a line; its rest was put aside.
    case recovered
    /// The first line of a log that goes on from another file.
    case rotated
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
  /// The hashes of the shorter forms in which an urgent change may be written over the file; `fileHashAfter` is not
  /// known before.
  package var fileHashesInPlace: [String] = []
  /// What is wrong with the lines before this one, so that it is told once.
  package var problems: [AuditChain.Problem] = []

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
    if !fileHashesInPlace.isEmpty { object["fileSha256InPlace"] = .array(fileHashesInPlace.map(JSONValue.string)) }
    if !problems.isEmpty { object["problems"] = .array(problems.map(\.identity)) }
    let hash = AuditChain.hash(of: .object(object), after: previous.hash)
    object["hash"] = .string(hash)
    return (JSONValue.object(object).text(), AuditChain.Link(sequence: previous.sequence + 1, hash: hash))
  }
}
