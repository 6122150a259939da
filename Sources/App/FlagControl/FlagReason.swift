import Flags

/// Why a client got its variant, in OpenFeature's words and one of our own.
package enum FlagReason: String, CaseIterable, Sendable {
  case `static`
  case `default`
  case targetingMatch = "targeting_match"
  case disabled
  case error
  /// The guard took the new closing back.
  case guarded
  /// An operator did, by `POST /kill`.
  case killed

  init(_ reason: Resolution.Reason) {
    switch reason {
    case .static: self = .static
    case .default: self = .default
    case .targetingMatch: self = .targetingMatch
    case .disabled: self = .disabled
    case .error: self = .error
    }
  }
}
