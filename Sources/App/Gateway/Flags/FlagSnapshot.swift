package import Flags
import Streams
package import Time

/// One accepted flag file, shared by all loops; never changes.
package final class FlagSnapshot: Sendable {
  package let flagSet: FlagSet
  package let loadedAt: WallTime
  /// The variant that everybody gets, when the flag has no rule that looks at the client.
  let fixedVariant: Mode?
  /// The flag is DISABLED: the old behaviour, for streams that are open too.
  package let isKilled: Bool

  init(_ set: FlagSet, loadedAt: WallTime) {
    flagSet = set
    self.loadedAt = loadedAt
    let anybody = set.evaluate(.streamClosing, EvaluationContext())
    isKilled = anybody.reason == .disabled
    switch anybody.reason {
    case .static, .disabled: fixedVariant = Self.mode(of: anybody)
    case .default, .targetingMatch, .error: fixedVariant = nil
    }
  }

  /// What operators call this revision.
  package var version: String { flagSet.version.isEmpty ? "built-in" : flagSet.version }

  func variant(in context: EvaluationContext) -> Mode {
    Self.mode(of: flagSet.evaluate(.streamClosing, context))
  }

  /// Which client it is, as far as fractions go by it; `nil` for one without an identity.
  func clientHash(of context: EvaluationContext) -> Int? {
    context.targetingKey.flatMap { flagSet.clientHash(.streamClosing, targetingKey: $0) }.map(Int.init)
  }

  /// Anything that is no mode is legacy: the code's own default.
  private static func mode(of resolution: Resolution) -> Mode {
    resolution.variant.flatMap(Mode.init(rawValue:)) ?? .legacy
  }
}
