internal import JSON

/// One step of a rollout: who gets the new variant, and what must be true before the next step.
package struct RolloutPhase: Equatable, Sendable {
  package enum Advance: String, Sendable, CaseIterable { case manual, auto }
  package enum Regress: String, Sendable, CaseIterable { case hold, rollback }

  package var name: String
  /// Parts of 10,000 that get the variant; 0 leaves the allow-list alone.
  package var share: Int
  /// Shortest stay in the phase.
  package var minSeconds: Int
  /// Streams of the new variant that must have been judged before the next phase; in the internal one, streams of the
  /// allow-list that must have completed.
  package var minStreams: Int
  /// Different clients that must have had them, as far as `GuardArm.buckets` groups tell them apart: more than those are
  /// never asked for.
  package var minIdentities: Int
  package var advance: Advance
  /// What the guard does when the new variant is worse.
  package var onRegress: Regress
  /// How long a hold may last before somebody is to look.
  package var maxHoldSeconds: Int

  package static let wholeShare = 10_000

  /// Whether the phase may be left without a word from the gateways.
  var needsNoEvidence: Bool { minStreams == 0 && minIdentities == 0 }

  package init(
    name: String, share: Int, minSeconds: Int = 3600, minStreams: Int = 100, minIdentities: Int = 8,
    advance: Advance = .manual, onRegress: Regress = .rollback, maxHoldSeconds: Int = 86_400
  ) {
    self.name = name
    self.share = share
    self.minSeconds = minSeconds
    self.minStreams = minStreams
    self.minIdentities = minIdentities
    self.advance = advance
    self.onRegress = onRegress
    self.maxHoldSeconds = maxHoldSeconds
  }

  /// The internal phase and one for each share: 1 %, 5 %, 25 %, 100 % when nothing else is said.
  package static func plan(
    shares: [Int] = [100, 500, 2500, 10_000], minSeconds: Int = 3600, minStreams: Int = 100,
    minIdentities: Int = 8, onRegress: Regress = .rollback
  ) -> [RolloutPhase] {
    let first = RolloutPhase(
      name: "internal", share: 0, minSeconds: 0, minStreams: min(1, minStreams), minIdentities: 0, onRegress: onRegress)
    return [first]
      + shares.enumerated().map { index, share in
        RolloutPhase(
          name: "p\(index + 1)", share: share, minSeconds: minSeconds, minStreams: minStreams,
          minIdentities: minIdentities, onRegress: onRegress)
      }
  }

  init(_ reader: JSONReader) {
    self.init(
      name: reader.string("name", default: "phase"), share: reader.int("share", in: 0...Self.wholeShare, default: 0),
      minSeconds: reader.int("minSeconds", default: 0),
      // Files of before say `minSamples`.
      minStreams: reader.int("minStreams", default: reader.int("minSamples", default: 0)),
      minIdentities: reader.int("minIdentities", default: 0),
      advance: reader.choice("advance", Advance.self) ?? .manual,
      onRegress: reader.choice("onRegress", Regress.self) ?? .rollback,
      maxHoldSeconds: reader.int("maxHoldSeconds", default: 86_400))
  }

  var json: JSONValue {
    [
      "name": .string(name), "share": JSONValue(share), "minSeconds": JSONValue(minSeconds),
      "minStreams": JSONValue(minStreams), "minIdentities": JSONValue(minIdentities),
      "advance": .string(advance.rawValue),
      "onRegress": .string(onRegress.rawValue), "maxHoldSeconds": JSONValue(maxHoldSeconds),
    ]
  }
}
