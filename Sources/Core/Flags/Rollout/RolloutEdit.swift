package import JSON

/// What a rollout writes into a flag file: its state, its evaluator, and where the flag has no rule of the operator's a
/// reference to that.
extension FlagEdit {
  /// Writes the rollout and the rule and default variant that say the same to every other reader of the file. A rule of
  /// the operator's that asks the rollout is left as it is.
  package static func setRollout(_ rollout: Rollout, of key: String, in document: JSONValue) -> JSONValue {
    let targetingPath = ["flags", key, "targeting"]
    let isPlain = Rollout.isPlain(document[path: targetingPath], of: key, in: document)
    var document = document
    document[path: ["$rollouts", key]] = rollout.json
    let isDone = rollout.status == .finished && isPlain
    // flagd's Python provider refuses a file whose evaluator has characters that JSON escapes.
    let isInline = isPlain && !isDone && !isPlainText(rollout.rule)
    document = settingEvaluator(isDone || isInline ? nil : rollout.rule, of: key, in: document)
    if isPlain {
      document[path: targetingPath] = isDone ? nil : isInline ? rollout.rule : Rollout.reference(to: key)
    }
    document[path: ["flags", key, "defaultVariant"]] = .string(rollout.defaultVariant)
    if document[path: ["metadata", "fractional"]] == nil {
      document[path: ["metadata", "fractional"]] = .string(FractionalGeneration.v2.rawValue)
    }
    return document
  }

  /// The flag's rule taken out, for a rollout that is to decide alone.
  package static func removingRule(of key: String, in document: JSONValue) -> JSONValue {
    var document = document
    document[path: ["flags", key, "targeting"]] = nil
    return document
  }

  /// The flag's rule with the rollout in front: to whom it gives the variant has it, the rule decides for the others.
  package static func adopting(_ variant: String, for key: String, in document: JSONValue) -> JSONValue {
    let path = ["flags", key, "targeting"]
    guard let rule = document[path: path], !Rollout.isAsked(in: rule, of: key) else { return document }
    var document = document
    document[path: path] = adopted(rule, variant, key)
    return document
  }

  /// What `adopting` writes, for messages.
  package static func adopted(_ rule: JSONValue, _ variant: String, _ key: String) -> JSONValue {
    ["if": [["==": [Rollout.reference(to: key), .string(variant)]], .string(variant), rule]]
  }

  /// Takes the rollout out: its state, its evaluator, and every reference to that, in whose place its last word comes.
  package static func clearingRollout(_ rollout: Rollout, of key: String, in document: JSONValue) -> JSONValue {
    var document = document
    let path = ["flags", key, "targeting"]
    let word = JSONValue.string(rollout.status == .finished ? rollout.variant : rollout.fallback)
    if Rollout.isPlain(document[path: path], of: key, in: document) {
      document[path: path] = nil
    } else if let rule = document[path: path] {
      document[path: path] = replacing(Rollout.reference(to: key), by: word, in: rule)
    }
    document = settingEvaluator(nil, of: key, in: document)
    document[path: ["$rollouts", key]] = nil
    if document["$rollouts"]?.object?.count == 0 { document[path: ["$rollouts"]] = nil }
    if !usesFraction(document) { document[path: ["metadata", "fractional"]] = nil }
    return document
  }

  private static func isPlainText(_ rule: JSONValue) -> Bool {
    rule.text().utf8.allSatisfy { (0x20...0x7E).contains($0) && $0 != UInt8(ascii: "\\") }
  }

  private static func settingEvaluator(_ rule: JSONValue?, of key: String, in document: JSONValue) -> JSONValue {
    var document = document
    guard rule != nil || document["$evaluators"] != nil else { return document }
    document[path: ["$evaluators", Rollout.evaluatorName(of: key)]] = rule
    if document["$evaluators"]?.object?.count == 0 { document[path: ["$evaluators"]] = nil }
    return document
  }

  private static func replacing(_ old: JSONValue, by new: JSONValue, in value: JSONValue) -> JSONValue {
    if value == old { return new }
    switch value {
    case .array(let elements): return .array(elements.map { replacing(old, by: new, in: $0) })
    case .object(let object):
      return .object(
        JSONObject(
          object.members.map { JSONObject.Member(name: $0.name, value: replacing(old, by: new, in: $0.value)) }))
    default: return value
    }
  }

  private static func usesFraction(_ value: JSONValue) -> Bool {
    switch value {
    case .array(let elements): return elements.contains(where: usesFraction)
    case .object(let object):
      return object.members.contains { member in
        // The metadata's own member of that name is no operator.
        (member.name == "fractional" && member.value.string == nil) || usesFraction(member.value)
      }
    default: return false
    }
  }

  // MARK: - The guard's latch

  private static let acknowledgedMember = "$acknowledged"

  /// The revision whose roll-back by the guard is acknowledged for a flag without a rollout; "" when none is.
  package static func acknowledged(_ key: String, in document: JSONValue) -> String {
    document[acknowledgedMember]?[key]?.string ?? ""
  }

  package static func acknowledging(_ revision: String, of key: String, in document: JSONValue) -> JSONValue {
    var document = document
    document[path: [acknowledgedMember, key]] = .string(revision)
    return document
  }
}
