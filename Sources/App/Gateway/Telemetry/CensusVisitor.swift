import Streams
import Telemetry

/// Whose stream it is, for the census: known when it opens, counted when it closes.
struct CensusVisitor {
  var product = ClientProduct.unknown
  /// A hash of the client's identity; `nil` for a client without one.
  var identity: UInt64?
}

/// Whether a client has a stable identity.
enum IdentityPresence: String, MetricLabel, CaseIterable {
  case absent = "false"
  case present = "true"
}
