package import Configuration
import Files
package import Flags
package import Streams
package import Time

/// What the flag said, and why.
package struct FlagDecision: Sendable {
  package let variant: Mode
  package let reason: FlagReason
  /// Whether a fraction over clients' identities was asked.
  package let isByFraction: Bool

  package init(_ resolution: Resolution) {
    isByFraction = resolution.isByFraction
    // Anything that is no mode is legacy: the code's own default.
    variant = resolution.variant.flatMap(Mode.init(rawValue:)) ?? .legacy
    reason = FlagReason(resolution.reason)
  }
}

/// One accepted flag file, shared by all loops; never changes.
package final class FlagSnapshot: Sendable {
  package let flagSet: FlagSet
  package let loadedAt: WallTime
  /// What everybody gets, when the flag has no rule that looks at the client.
  package let fixed: FlagDecision?
  /// The flag is DISABLED: the old closing for every new stream.
  package let isKilled: Bool
  /// What that means for the streams that are open.
  package let recall: Recall
  /// The variant that a rollout introduces; without one, whatever is not legacy.
  private let introduced: Mode?

  package init(_ set: FlagSet, loadedAt: WallTime) {
    flagSet = set
    self.loadedAt = loadedAt
    let anybody = set.evaluate(.streamClosing, EvaluationContext())
    isKilled = anybody.reason == .disabled
    let isHard = set[FlagKey.streamClosing.description]?.isKilledHard ?? false
    recall = isKilled ? (isHard ? .hard : .announced) : .none
    let rollout = try? Rollout(of: FlagKey.streamClosing.description, in: set.document)
    introduced = rollout.flatMap { Mode(rawValue: $0.variant) }
    switch anybody.reason {
    case .static, .disabled: fixed = FlagDecision(anybody)
    case .default, .targetingMatch, .error: fixed = nil
    }
  }

  /// What operators call this revision.
  package var version: String { flagSet.name }

  /// Bytes that a flag file may have.
  static let fileLimit = 1 << 20

  /// Says what is wrong with the file of `settings`, where the program would not start with it; `nil` when it would.
  package static func fault(of settings: FlagSettings) -> String? {
    guard let path = settings.file, !settings.startsWithoutFile else { return nil }
    do {
      _ = try FlagSet(parsing: try readFile(path, limit: fileLimit).bytes, requiring: [.streamClosing])
      return nil
    } catch let error as FlagFileError {
      return describe("\(path): \(error.first)")
    } catch {
      return describe("\(error)")
    }
  }

  static func describe(_ fault: String) -> String {
    "the flag file can't be used: \(fault)\n"
      + "(set flags.startWithout to start with everything at legacy; \"fermata flags lint\" tells more)"
  }

  package func decide(in context: EvaluationContext) -> FlagDecision {
    FlagDecision(flagSet.evaluate(.streamClosing, context))
  }

  /// Whether the guard judges a stream for which this was decided.
  package func standing(of decision: FlagDecision, isCapable: Bool, client: Int?) -> CohortStanding {
    guard isCapable else { return .notCapable }
    guard let client else { return .withoutIdentity }
    let isTreated = introduced.map { decision.variant == $0 } ?? (decision.variant != .legacy)
    return decision.isByFraction
      ? .judged(Cohort(isTreated: isTreated, client: client, file: flagSet.hash)) : .ownRule(isTreated: isTreated)
  }

  /// Which client it is, as far as fractions go by it; `nil` for one without an identity.
  package func clientHash(of context: EvaluationContext) -> Int? {
    context.targetingKey.flatMap { flagSet.clientHash(.streamClosing, targetingKey: $0) }.map(Int.init)
  }
}
