package import Time

/// The primary of a group of servers that Redis Sentinel watches: who knows where it is.
package struct SentinelSettings: Equatable, Sendable {
  /// Of a Sentinel, where none is named.
  package static let usualPort: UInt16 = 26_379

  /// What the Sentinels call it.
  package var primary: String
  /// Never empty.
  package var addresses: [RedisAddress]
  /// The account that the Sentinels want, which is another than Redis's.
  package var user: String?
  package var password: String?

  package init(primary: String, addresses: [RedisAddress]) {
    self.primary = primary
    self.addresses = addresses
  }
}

/// Where Redis is and how it is used. Prints without its password.
package struct RedisSettings: Equatable, Sendable, CustomStringConvertible {
  /// With Sentinel or of a cluster: the first of them.
  package var host = "127.0.0.1"
  package var port: UInt16 = 6379
  /// Who is asked where Redis is; `nil` when it is at `host` and `port`.
  package var sentinel: SentinelSettings?
  /// Servers of a Redis Cluster, never empty; `nil` when it is no cluster. Then `host` and `port` are the first's, the
  /// database is 0, and hash tags are used.
  package var cluster: [RedisAddress]?
  /// For Redis and for the Sentinels.
  package var usesTLS = false
  package var user: String?
  package var password: String?
  package var database = 0
  /// What the connections are called in `CLIENT LIST`.
  package var clientName = "fermata"
  /// Before every key and channel.
  package var prefix = "ai:"
  /// Writes run ids as `{id}`, so that in a Redis Cluster all keys of a run lie on one node.
  package var usesHashTags = false
  /// For making a connection, and for the answer to a command.
  package var connectTimeout = Nanoseconds.seconds(3)
  package var commandTimeout = Nanoseconds.seconds(5)
  /// How long the keys of a run outlive its last change.
  package var timeToLive = Nanoseconds.seconds(3600)
  /// How long what a loop holds stays its own without being renewed, and how often that is.
  package var lease = Nanoseconds.seconds(10)
  package var renewal = Nanoseconds.seconds(3)
  /// How long Redis may be away before a log or a follower says so.
  package var patience = Nanoseconds.seconds(10)
  /// Bytes of one run's entries that may wait to be stored.
  package var pendingLimit = 2 << 20

  package init() {}

  /// How often the keys of a run are given their time to live anew while it is going.
  var prolonging: Nanoseconds { max(.milliseconds(1), min(.seconds(60), .init(timeToLive.value / 3))) }

  /// Whether both name the same data on the same server, whatever account they use.
  package func isSamePlace(as other: RedisSettings) -> Bool {
    guard usesTLS == other.usesTLS, database == other.database else { return false }
    // Of a cluster too some servers may be named here and others there.
    if let cluster { return other.cluster?.contains { cluster.contains($0) } ?? false }
    guard let sentinel else {
      return other.sentinel == nil && other.cluster == nil && host == other.host && port == other.port
    }
    // Of a group's Sentinels some may be named here and others there; the name alone says little: most use the usual one.
    guard let others = other.sentinel, sentinel.primary == others.primary else { return false }
    return sentinel.addresses.contains { others.addresses.contains($0) }
  }

  /// Everybody who is to be found: Redis, the Sentinels, or the servers of the cluster.
  package var addresses: [RedisAddress] { sentinel?.addresses ?? cluster ?? [RedisAddress(host: host, port: port)] }

  /// The same with another's account and time limits of a connection.
  package func withAccount(of other: RedisSettings) -> RedisSettings {
    var settings = self
    settings.user = other.user
    settings.password = other.password
    settings.sentinel = other.sentinel
    settings.connectTimeout = other.connectTimeout
    settings.commandTimeout = other.commandTimeout
    return settings
  }

  /// Never with the password in it.
  package var description: String {
    let scheme = usesTLS ? "rediss" : "redis"
    if let sentinel {
      let places = sentinel.addresses.map(\.description).joined(separator: ",")
      return "\(scheme)+sentinel://\(sentinel.primary)@\(places)/\(database)"
    }
    let account = user == nil && password == nil ? "" : "\(user ?? ""):***@"
    if let cluster { return "\(scheme)+cluster://\(account)\(cluster.map(\.description).joined(separator: ","))/0" }
    return "\(scheme)://\(account)\(RedisAddress(host: host, port: port))/\(database)"
  }
}
