package import Flags
import Streams
package import Time

/// What the flag said, and why.
struct FlagDecision: Sendable {
  let variant: Mode
  let reason: FlagReason

  init(_ resolution: Resolution) {
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
  let fixed: FlagDecision?
  /// The flag is DISABLED: the old behaviour, for streams that are open too.
  package let isKilled: Bool

  init(_ set: FlagSet, loadedAt: WallTime) {
    flagSet = set
    self.loadedAt = loadedAt
    let anybody = set.evaluate(.streamClosing, EvaluationContext())
    isKilled = anybody.reason == .disabled
    switch anybody.reason {
    case .static, .disabled: fixed = FlagDecision(anybody)
    case .default, .targetingMatch, .error: fixed = nil
    }
  }

  /// What operators call this revision.
  package var version: String { flagSet.version.isEmpty ? "built-in" : flagSet.version }

  func decide(in context: EvaluationContext) -> FlagDecision {
    FlagDecision(flagSet.evaluate(.streamClosing, context))
  }

  /// Which client it is, as far as fractions go by it; `nil` for one without an identity.
  func clientHash(of context: EvaluationContext) -> Int? {
    context.targetingKey.flatMap { flagSet.clientHash(.streamClosing, targetingKey: $0) }.map(Int.init)
  }
}
