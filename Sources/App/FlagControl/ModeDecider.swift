package import Configuration
import Flags
package import HTTP
package import Loop
package import Streams
import Time

/// What the flag gives a client.
package struct ModeDecision {
  package let variant: Mode
  /// Why it is this one: an operator's kill and the guard count before the file.
  package let reason: FlagReason
  /// A hash of the client's identity, if it has one.
  package let clientKey: Int?
  package let standing: CohortStanding
  /// Whether the flag has a rule that looks at the client, and the client has no identity.
  package let lacksKey: Bool
}

/// Decides by the flag which variant a client gets, unless the guard or an operator has taken the new closing back.
///
/// Confined to its loop's thread.
package final class ModeDecider {
  private let loop: EventLoop
  package private(set) var flags: FlagSnapshot
  /// What the guard and operators have decided; it holds whatever the file says.
  private var override = ClosingOverride()

  package init(_ flags: FlagSnapshot, loop: EventLoop) {
    self.flags = flags
    self.loop = loop
  }

  /// The revision of the flag file in use.
  package var flagVersion: String { flags.version }
  /// How streams that are open now are to end: the stricter of what the file says and what the override says.
  package var recall: Recall { max(flags.recall, override.recall) }

  package func adopt(_ flags: FlagSnapshot) { self.flags = flags }
  package func adopt(_ override: ClosingOverride) { self.override = override }

  /// Evaluates the flag for a request on a route, with what the configuration says of clients' identities. Both are large,
  /// and are only asked for where the flag has a rule: to copy them would be felt in each stream.
  package func decide(
    for request: borrowing RequestHead, capability: Capability, on route: @autoclosure () -> RouteSettings,
    _ identity: @autoclosure () -> IdentitySettings
  ) -> ModeDecision {
    if let fixed = flags.fixed { return decision(fixed, client: nil, .noFraction) }
    let client = ClientIdentity.context(
      of: request, capability: capability, on: route(), identity(), seconds: loop.wallTime().milliseconds / 1000)
    let given = flags.decide(in: client)
    let hash = flags.clientHash(of: client)
    // What was taken back is no longer what the fraction gave.
    let standing: CohortStanding =
      override.isLegacy
      ? .noFraction
      : flags.standing(of: given, isCapable: capability.understandsStreamEnd, client: hash)
    return decision(given, client: hash, standing, lacksKey: client.targetingKey == nil)
  }

  /// Operators and the guard have the last word.
  private func decision(
    _ given: FlagDecision, client: Int?, _ standing: CohortStanding, lacksKey: Bool = false
  ) -> ModeDecision {
    ModeDecision(
      variant: override.isLegacy ? .legacy : given.variant,
      reason: override.kill != .none ? .killed : override.isRolledBack ? .guarded : given.reason, clientKey: client,
      standing: standing, lacksKey: lacksKey)
  }
}
