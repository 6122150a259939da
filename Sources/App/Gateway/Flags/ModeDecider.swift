import Configuration
import Flags
import HTTP
import Loop
import Streams
import Telemetry
import Time

/// What the flag gives a client.
struct ModeDecision {
  var variant: Mode
  /// Why it is this one: an operator's kill and the guard count before the file.
  var reason: FlagReason
  /// A hash of the client's identity, if it has one.
  var clientKey: Int?
  var standing = CohortStanding.noFraction
}

/// Decides by the flag which variant a client gets, unless the guard or an operator has taken the new closing back.
///
/// Confined to its loop's thread.
final class ModeDecider {
  private let context: LoopContext
  private(set) var flags: FlagSnapshot
  /// What the guard and operators have decided; it holds whatever the file says.
  private(set) var override = ClosingOverride()

  init(_ flags: FlagSnapshot, context: LoopContext) {
    self.flags = flags
    self.context = context
  }

  /// The revision of the flag file in use.
  var flagVersion: String { flags.version }
  /// How streams that are open now are to end: the stricter of what the file says and what the override says.
  var recall: Recall { max(flags.recall, override.recall) }

  func adopt(_ flags: FlagSnapshot) { self.flags = flags }
  func adopt(_ override: ClosingOverride) { self.override = override }

  /// Evaluates the flag for a request, and counts the result.
  func decide(
    for request: borrowing RequestHead, capability: Capability, route: Route, settings: LoopSettings
  ) -> ModeDecision {
    if let fixed = flags.fixed {
      let (variant, reason) = count(fixed)
      return ModeDecision(variant: variant, reason: reason, clientKey: nil)
    }
    let client = ClientIdentity.context(
      of: request, capability: capability, route: route, settings: settings.configuration.identity,
      seconds: context.loop.wallTime().milliseconds / 1000)
    if client.targetingKey == nil { context.shard.increment(context.metrics.evaluationsWithoutKey) }
    let decision = flags.decide(in: client)
    let hash = flags.clientHash(of: client)
    // What was taken back is no longer what the fraction gave.
    let standing: CohortStanding =
      override.isLegacy
      ? .noFraction
      : flags.standing(of: decision, isCapable: capability.understandsStreamEnd, client: hash)
    let (variant, reason) = count(decision)
    return ModeDecision(variant: variant, reason: reason, clientKey: hash, standing: standing)
  }

  /// Counts what the flag gave, and returns what applies: operators and the guard have the last word.
  private func count(_ decision: FlagDecision) -> (Mode, FlagReason) {
    let variant = override.isLegacy ? .legacy : decision.variant
    let reason = override.kill != .none ? .killed : override.isRolledBack ? .guarded : decision.reason
    context.shard.increment(context.metrics.evaluations[variant, reason])
    return (variant, reason)
  }
}
