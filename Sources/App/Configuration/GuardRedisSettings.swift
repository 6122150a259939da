import JSON
package import RedisLog
import Streams
package import TLS
import Time

/// The Redis over which gateways share kills, trips and what their guards have counted.
package struct GuardRedisSettings: Sendable {
  package private(set) var redis: RedisSettings
  private var tls: TLSSettings?
  private var place: RedisPlace

  package var context: TLSContext? { tls?.context }

  /// Nobody waits for it, so it is known soon that it is away.
  private static let patience = Nanoseconds.seconds(1)

  /// - Returns: `nil` when there is a mistake, which has been told.
  init?(_ reader: JSONReader, secrets: SecretSource) {
    guard let place = reader.redisPlace(secrets) else { return nil }
    self.place = place
    redis = place.settings
    (redis.connectTimeout, redis.commandTimeout) = (Self.patience, Self.patience)
    Self.settings.read(reader, into: &self)
    guard reader.readTLS(of: redis, into: &tls) else { return nil }
  }

  /// As the configuration writes it, without passwords.
  var document: JSONValue { place.document(Self.settings.members(of: self), tls: tls) }

  package static let settings: [Setting<GuardRedisSettings>] = [
    .text("prefix", \.redis.prefix),
    .time("connectTimeout", \.redis.connectTimeout, in: RedisPlace.times),
    .time("commandTimeout", \.redis.commandTimeout, in: RedisPlace.times),
  ]
}

/// Whether and where the guard's decisions are shared.
package enum GuardSharing: Sendable {
  /// Where the runs are, if they are in Redis.
  case withRuns
  case own(GuardRedisSettings)
  case off

  init(_ reader: JSONReader, secrets: SecretSource) {
    self = .withRuns
    if reader.value("guardRedis") == .bool(false) {
      self = .off
    } else if let inner = reader.nested("guardRedis"), let settings = GuardRedisSettings(inner, secrets: secrets) {
      self = .own(settings)
    }
  }

  var document: JSONValue {
    switch self {
    case .withRuns: .null
    case .own(let settings): settings.document
    case .off: false
    }
  }
}

extension Configuration {
  /// The Redis through which the guard's decisions are shared; `nil` when they are this process's alone.
  package var guardRedis: (settings: RedisSettings, tls: TLSContext?, names: GuardStore.LimitNames)? {
    var names = GuardStore.LimitNames()
    switch flags.guardSharing {
    case .off: return nil
    case .withRuns: return runs.redis.map { ($0.redis, $0.context, names) }
    case .own(let own):
      (names.connect, names.command) = (.guardConnect, .guardCommand)
      return (own.redis, own.context, names)
    }
  }
}
