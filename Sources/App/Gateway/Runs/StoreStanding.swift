import RedisLog

/// Whether a loop has Redis.
enum StoreStanding: Equatable, Sendable {
  /// No run is kept there, or the first try is not over.
  case unknown
  case connected
  case away(reason: String)

  init(_ client: RedisClient) {
    self = client.isReady ? .connected : client.lastFault.map { .away(reason: $0) } ?? .unknown
  }

  var fault: String? {
    if case .away(let reason) = self { return reason }
    return nil
  }
}
