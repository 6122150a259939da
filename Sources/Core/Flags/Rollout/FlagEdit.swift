package import JSON

/// Changes of a flag file's document. Each bumps nothing by itself; `revised` gives the document its next revision.
package enum FlagEdit {
  /// A flag file as it is shipped: everything is legacy.
  package static var builtIn: JSONValue {
    let names = ["legacy", "shield", "graceful"]
    let variants = JSONObject(names.map { JSONObject.Member(name: $0, value: .string($0)) })
    return [
      "flags": [
        FlagKey.streamClosing.description: [
          "state": "ENABLED", "variants": .object(variants), "defaultVariant": "legacy",
        ]
      ],
      "metadata": ["flagSetId": "gateway", "version": "0", "fractional": "v2"],
    ]
  }

  /// The document with nothing but what a killed flag needs: for a disk on which no more fits.
  package static func bare(_ document: JSONValue, key: String) -> JSONValue {
    var document = document
    document[path: ["flags", key, "targeting"]] = nil
    document[path: ["$rollouts"]] = nil
    document[path: ["$evaluators"]] = nil
    document[path: ["$schema"]] = nil
    return document
  }

  package static func setDefault(_ variant: String, of key: String, in document: JSONValue) -> JSONValue {
    edited(document, ["flags", key, "defaultVariant"], .string(variant))
  }

  /// The member of the flag's metadata that says how it was killed, and its value for streams that are open too.
  static let killMember = "kill"
  static let hardKill = "hard"

  /// Whether the flag is switched off for streams that are open too.
  package static func isKilledHard(_ key: String, in document: JSONValue) -> Bool {
    let flag = document[path: ["flags", key]]
    return flag?["state"] == "DISABLED" && flag?["metadata"]?[killMember] == .string(hardKill)
  }

  /// Whether a flag that is switched off in `old` is so no longer in `new`, or not for open streams too.
  package static func weakensKill(from old: JSONValue, to new: JSONValue) -> Bool {
    (old["flags"]?.object?.names ?? []).contains { key in
      let isOff = [old, new].map { $0[path: ["flags", key, "state"]] == "DISABLED" }
      return (isOff[0] && !isOff[1]) || (isKilledHard(key, in: old) && !isKilledHard(key, in: new))
    }
  }

  /// Switching off never weakens: a flag that is off for open streams too stays so until it is enabled.
  ///
  /// - Parameter isHard: for a flag that is switched off, whether streams that are open end the old way too.
  package static func setEnabled(
    _ isEnabled: Bool, _ key: String, isHard: Bool = false, in document: JSONValue
  ) -> JSONValue {
    let isHard = isHard || isKilledHard(key, in: document)
    var document = edited(document, ["flags", key, "state"], isEnabled ? "ENABLED" : "DISABLED")
    let path = ["flags", key, "metadata"]
    var metadata = document[path: path]?.object ?? JSONObject()
    let mark: JSONValue? = isHard && !isEnabled ? .string(hardKill) : nil
    guard metadata[killMember] != mark else { return document }
    metadata[killMember] = mark
    document[path: path] = metadata.count == 0 ? nil : .object(metadata)
    return document
  }

  private static func edited(_ document: JSONValue, _ path: [String], _ value: JSONValue) -> JSONValue {
    var document = document
    document[path: path] = value
    return document
  }

  /// The revision of a document: `metadata.version`, 0 when it is none or no number.
  package static func revision(of document: JSONValue) -> Int {
    document["metadata"]?["version"]?.string.flatMap(Int.init) ?? 0
  }

  /// The document as `revision`. A rollout that it rolls back keeps that number: by it the roll-back is acknowledged.
  package static func revised(_ document: JSONValue, to revision: Int) -> JSONValue {
    var document = edited(document, ["metadata", "version"], .string(String(revision)))
    for member in document["$rollouts"]?.object?.members ?? [] {
      guard member.value["status"]?.string == Rollout.Status.rolledBack.rawValue,
        member.value[Rollout.abortMember] == nil
      else { continue }
      document[path: ["$rollouts", member.name, Rollout.abortMember]] = JSONValue(revision)
    }
    return document
  }

  private static let auditMember = "audit"

  /// The hash of the audit log's last line when the file was written; "" in a file that no command wrote.
  package static func lineHash(of document: JSONValue) -> String {
    document["metadata"]?[auditMember]?.string ?? ""
  }

  /// The document with that hash; "" takes it out.
  package static func audited(_ document: JSONValue, by lineHash: String) -> JSONValue {
    var document = document
    guard lineHash != self.lineHash(of: document) else { return document }
    document[path: ["metadata", auditMember]] = lineHash.isEmpty ? nil : .string(lineHash)
    return document
  }

  /// Whether the file wants a reason for every change, at a terminal too.
  package static func requiresReason(_ document: JSONValue) -> Bool {
    document["metadata"]?["requireReason"] == true
  }

  /// The bytes of the file that holds `document`.
  ///
  /// - Parameter old: the file that was edited; what the edit left alone keeps its bytes.
  package static func file(_ document: JSONValue, editing old: [UInt8] = []) -> [UInt8] {
    let bytes =
      (try? JSONDocument(parsing: old, limits: .flagFile))?.rewritten(as: document) ?? document.serialized(.pretty)
    return bytes.last == 0x0A ? bytes : bytes + [0x0A]
  }
}
