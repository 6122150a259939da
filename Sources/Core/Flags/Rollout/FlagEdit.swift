package import JSON

/// Changes of a flag file's document. Each bumps nothing by itself; `revised` gives the document its next revision.
package enum FlagEdit {
  package static func setDefault(_ variant: String, of key: String, in document: JSONValue) -> JSONValue {
    edited(document, ["flags", key, "defaultVariant"], .string(variant))
  }

  package static func setEnabled(_ isEnabled: Bool, _ key: String, in document: JSONValue) -> JSONValue {
    edited(document, ["flags", key, "state"], isEnabled ? "ENABLED" : "DISABLED")
  }

  /// Writes the rollout, and the rule and default variant that say the same to every other reader of the file.
  package static func setRollout(_ rollout: Rollout, of key: String, in document: JSONValue) -> JSONValue {
    var document = edited(document, ["$rollouts", key], rollout.json)
    document[path: ["flags", key, "targeting"]] = rollout.targeting
    document[path: ["flags", key, "defaultVariant"]] = .string(rollout.defaultVariant)
    if document[path: ["metadata", "fractional"]] == nil {
      document[path: ["metadata", "fractional"]] = .string(FractionalGeneration.v2.rawValue)
    }
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

  package static func revised(_ document: JSONValue, to revision: Int) -> JSONValue {
    edited(document, ["metadata", "version"], .string(String(revision)))
  }

  /// The bytes of the file that holds `document`.
  package static func file(_ document: JSONValue) -> [UInt8] {
    document.serialized(.pretty) + [0x0A]
  }
}
