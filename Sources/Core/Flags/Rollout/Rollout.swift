package import JSON
package import Time

/// Where the rollout of one flag stands. It lives in the flag file's top-level member `$rollouts`, which flagd and
/// its providers ignore; the flag's own rule always says the same thing in their language.
package struct Rollout: Equatable, Sendable {
  package enum Status: String, Sendable, CaseIterable {
    case running, held
    case rolledBack = "rolled_back"
    case finished
  }

  /// The variant that is being introduced.
  package var variant: String
  /// The variant that everybody had before.
  package var fallback: String
  /// Targeting keys that have the new variant from the first phase on.
  package var internalKeys: [String]
  /// A header, with the value, that marks an internal client.
  package var internalHeader: EvaluationContext.Header?
  package var phases: [RolloutPhase]
  /// Position in `phases`.
  package var index: Int
  package var status: Status
  package var startedAt: WallTime
  /// When the phase or the status last changed.
  package var since: WallTime
  /// Why it is held or was rolled back.
  package var cause: String
  /// The revision whose roll-back by the guard somebody has acknowledged; the guard's latch opens for newer files
  /// that name it.
  package var acknowledged: String
  /// The revision in which it was rolled back by command, by which somebody acknowledges that; `nil` otherwise, and until
  /// the document gets its revision.
  package var abortRevision: Int?
  /// The conditions that were not met when the last step was taken by force; empty when it was not.
  package var forced: [String]

  package var phase: RolloutPhase { phases[index] }
  package var isLastPhase: Bool { index == phases.count - 1 }

  /// Parts of 10,000 that get the variant now.
  package var share: Int {
    switch status {
    case .running, .held: phase.share
    case .rolledBack: 0
    case .finished: RolloutPhase.wholeShare
    }
  }

  /// The phase in the words of the five that users know.
  package var stage: String {
    switch status {
    case .rolledBack: "deployed off"
    case .finished: "finished"
    case .running, .held:
      phase.share == 0 ? "internal" : phase.share < RolloutPhase.wholeShare ? "gradual" : "clients updated"
    }
  }

  package static func == (left: Self, right: Self) -> Bool { left.json == right.json }
}

/// As JSON.
extension Rollout {
  /// The rollout of the flag `key` in a flag file; `nil` when there is none.
  /// - Throws: what is wrong with it.
  package init?(of key: String, in document: JSONValue) throws(DecodingFaults) {
    guard let value = document["$rollouts"]?[key] else { return nil }
    self = try JSONReader.decode(value, path: "$rollouts.\(key)") { reader in Rollout(reader) }
    // Files of before do not say it.
    if status == .rolledBack, abortRevision == nil { abortRevision = FlagEdit.revision(of: document) }
  }

  static let abortMember = "abortRevision"

  private init(_ reader: JSONReader) {
    variant = reader.string("variant", default: "")
    fallback = reader.string("fallback", default: "")
    for name in ["variant", "fallback", "phases", "phase", "status", "startedAt", "since"] { reader.require(name) }
    internalKeys = reader.strings("internal") ?? []
    internalHeader = reader.nested("internalHeader").map { header in
      EvaluationContext.Header(name: header.string("name", default: ""), value: header.string("value", default: ""))
    }
    phases = reader.nestedArray("phases").map(RolloutPhase.init)
    let name = reader.string("phase", default: "")
    index = phases.firstIndex { $0.name == name } ?? 0
    if !phases.contains(where: { $0.name == name }) { reader.fault("phase", "is not one of the phases") }
    if phases.isEmpty { phases = [RolloutPhase(name: "internal", share: 0)] }
    status = reader.choice("status", Status.self) ?? .held
    startedAt = reader.time("startedAt")
    since = reader.time("since")
    cause = reader.string("cause", default: "")
    acknowledged = reader.string("acknowledged", default: "")
    forced = reader.strings("forced") ?? []
    let revision = reader.int(Self.abortMember, default: 0)
    abortRevision = revision > 0 ? revision : nil
  }

  package var json: JSONValue {
    var object: JSONObject = [
      "variant": .string(variant), "fallback": .string(fallback), "status": .string(status.rawValue),
      "phase": .string(phase.name), "phases": .array(phases.map(\.json)),
      "internal": .array(internalKeys.map(JSONValue.string)),
    ]
    if let header = internalHeader {
      object["internalHeader"] = ["name": .string(header.name), "value": .string(header.value)]
    }
    object["startedAt"] = .string(startedAt.rfc3339)
    object["since"] = .string(since.rfc3339)
    if !cause.isEmpty { object["cause"] = .string(cause) }
    if let abortRevision { object[Self.abortMember] = JSONValue(abortRevision) }
    if !acknowledged.isEmpty { object["acknowledged"] = .string(acknowledged) }
    if !forced.isEmpty { object["forced"] = .array(forced.map(JSONValue.string)) }
    return .object(object)
  }
}

/// As the flag's rule: a shared evaluator, which the flag's targeting refers to wherever the operator puts it.
extension Rollout {
  /// The name of the evaluator in the file's `$evaluators`.
  package static func evaluatorName(of key: String) -> String { "rollout:\(key)" }

  /// What stands in the targeting for the rollout's word.
  package static func reference(to key: String) -> JSONValue { ["$ref": .string(evaluatorName(of: key))] }

  /// Allow-list first, then the fraction with the new variant in front, so that growing it takes nobody out. When
  /// finished, the variant for everybody, for clients without a key too.
  package var rule: JSONValue {
    guard status != .finished else { return ["if": [true, .string(variant)]] }
    return ["if": [internalCondition, .string(variant), fraction]]
  }

  /// Whether `targeting` is what a rollout writes by itself, and no rule of the operator's. Earlier versions wrote the
  /// rule itself into the flag.
  package static func isPlain(_ targeting: JSONValue?, of key: String, in document: JSONValue) -> Bool {
    guard let targeting, targeting.object?.count != 0, targeting != .null else { return true }
    if targeting == reference(to: key) { return true }
    guard let rollout = try? Rollout(of: key, in: document), rollout.status != .finished else { return false }
    return targeting == rollout.rule
  }

  /// Whether the rollout's word is asked somewhere in `targeting`.
  package static func isAsked(in targeting: JSONValue?, of key: String) -> Bool {
    if targeting == reference(to: key) { return true }
    switch targeting {
    case .array(let elements)?: return elements.contains { isAsked(in: $0, of: key) }
    case .object(let object)?: return object.members.contains { isAsked(in: $0.value, of: key) }
    default: return false
    }
  }

  package var defaultVariant: String { status == .finished ? variant : fallback }

  private var fraction: JSONValue {
    let rest = RolloutPhase.wholeShare - share
    return ["fractional": [[.string(variant), JSONValue(share)], [.string(fallback), JSONValue(rest)]]]
  }

  private var internalCondition: JSONValue {
    var conditions: [JSONValue] = [["==": [["var": ["internal", false]], true]]]
    if !internalKeys.isEmpty {
      conditions.append(["in": [["var": ["targetingKey", ""]], .array(internalKeys.map(JSONValue.string))]])
    }
    if let header = internalHeader {
      conditions.append(["==": [["var": [.string("headers.\(header.name)"), ""]], .string(header.value)]])
    }
    return conditions.count == 1 ? conditions[0] : ["or": .array(conditions)]
  }
}

extension JSONReader {
  /// A point in time as RFC 3339 writes it in UTC.
  fileprivate func time(_ name: String) -> WallTime {
    read(name, expected: "a time such as \"2026-01-31T12:00:00.000Z\"") { $0.string.flatMap(WallTime.init(rfc3339:)) }
      ?? WallTime(milliseconds: 0)
  }
}
