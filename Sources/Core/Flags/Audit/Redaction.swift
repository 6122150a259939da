package import JSON

/// Takes identities out of a flag file before its changes are written down.
package enum Redaction {
  /// The document with allow-lists, and every value that rules compare with what clients send, left out.
  package static func redacted(_ document: JSONValue) -> JSONValue {
    guard case .object(var root) = document else { return document }
    for part in ["flags", "$evaluators"] {
      guard case .object(let members)? = root[part] else { continue }
      root[part] = .object(
        JSONObject(members.members.map { JSONObject.Member(name: $0.name, value: flag($0.value, part)) }))
    }
    if case .object(let rollouts)? = root["$rollouts"] {
      root["$rollouts"] = .object(
        JSONObject(rollouts.members.map { JSONObject.Member(name: $0.name, value: rollout($0.value)) }))
    }
    return .object(root)
  }

  private static func flag(_ flag: JSONValue, _ part: String) -> JSONValue {
    guard part == "flags" else { return rule(flag, isCompared: false) }
    var flag = flag
    if let targeting = flag["targeting"] { flag[path: ["targeting"]] = rule(targeting, isCompared: false) }
    return flag
  }

  private static func rollout(_ rollout: JSONValue) -> JSONValue {
    var rollout = rollout
    if let keys = rollout["internal"]?.array { rollout[path: ["internal"]] = .string("<\(keys.count) entries>") }
    if rollout["internalHeader"] != nil { rollout[path: ["internalHeader", "value"]] = "<value>" }
    return rollout
  }

  /// Operators whose literals say what the rule does, not whom it is about.
  private static let structural: Set<String> = [
    "if", "?:", "and", "or", "!", "!!", "var", "fractional", "sem_ver", "$ref",
  ]

  private static func rule(_ rule: JSONValue, isCompared: Bool) -> JSONValue {
    switch rule {
    case .string where isCompared: return "<value>"
    case .array(let elements):
      let strings = elements.filter { $0.string != nil }.count
      if isCompared, strings == elements.count, strings > 0 { return .string("<\(strings) entries>") }
      return .array(elements.map { self.rule($0, isCompared: isCompared) })
    case .object(let object):
      return .object(
        JSONObject(
          object.members.map { member in
            guard !structural.contains(member.name), case .array(let arguments) = member.value else {
              return JSONObject.Member(name: member.name, value: self.rule(member.value, isCompared: false))
            }
            let redacted = arguments.map { self.rule($0, isCompared: true) }
            return JSONObject.Member(name: member.name, value: .array(redacted))
          }))
    default: return rule
    }
  }
}
