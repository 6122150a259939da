import JSON
package import RedisLog
package import TLS
import Time

/// Where the runs that all replicas know are kept.
package struct RedisRunSettings: Sendable {
  package private(set) var redis: RedisSettings
  /// Whether the process is not ready while Redis is away.
  package private(set) var isNeededForReadiness = false
  /// Of `rediss`.
  private(set) var tls: TLSSettings?
  private var place: RedisPlace

  package var context: TLSContext? { tls?.context }
  /// Whether it is a Redis Cluster, and not one server.
  package var isCluster: Bool { redis.cluster != nil }

  /// - Returns: `nil` when there is a mistake, which has been told.
  init?(_ reader: JSONReader?, secrets: SecretSource) {
    guard let reader else { return nil }
    guard let place = reader.redisPlace(secrets) else { return nil }
    self.place = place
    redis = place.settings
    readUse(reader)
    guard reader.readTLS(of: redis, into: &tls) else { return nil }
  }

  /// Takes over what was made for an earlier configuration from the same settings.
  mutating func reuse(_ old: RedisRunSettings?) { tls?.reuse(old?.tls) }

  private mutating func readUse(_ reader: JSONReader) {
    Self.settings.read(reader, into: &self)
    if redis.cluster != nil, !redis.usesHashTags {
      reader.fault("hashTags", "must be true, or not be there, with redis+cluster://")
    }
    // Two renewals may be lost.
    redis.renewal = Nanoseconds(redis.lease.value * 3 / 10)
  }

  package static let settings: [Setting<RedisRunSettings>] = [
    .text("prefix", \.redis.prefix),
    .switched("hashTags", \.redis.usesHashTags),
    .time("ttl", \.redis.timeToLive, in: .seconds(1)...SettingKind.usualTimes.upperBound),
    .time("connectTimeout", \.redis.connectTimeout, in: RedisPlace.times),
    .time("commandTimeout", \.redis.commandTimeout, in: RedisPlace.times),
    .time("patience", \.redis.patience, in: RedisPlace.times),
    .time("lease", \.redis.lease, in: .seconds(1)...Nanoseconds.seconds(3600)),
    .switched("readiness", \.isNeededForReadiness),
  ]

  /// As the configuration writes it, without passwords.
  var document: JSONValue { place.document(Self.settings.members(of: self), tls: tls) }
}

/// Where a route's runs are kept.
package enum RunStoreKind: String, CaseIterable, Sendable {
  /// In this process.
  case memory
  /// In Redis too, for all replicas.
  case redis
}

/// What becomes of a run whose store is away.
package enum StoreFailure: String, CaseIterable, Sendable {
  /// It goes on, and can't be resumed.
  case degrade
  /// It is not begun, or ends.
  case refuse
}

/// Who feeds a route's runs.
package enum RunFeedKind: String, CaseIterable, Sendable {
  /// The response of a backend.
  case upstream
  /// A worker that writes to the run's stream in Redis.
  case redis
  /// A worker that publishes on the run's channel.
  case pubsub
  /// A job of a BullMQ queue.
  case bullmq
}
