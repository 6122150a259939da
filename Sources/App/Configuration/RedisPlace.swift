import JSON
import RedisLog
import TLS
import Time

/// Where a Redis of the configuration is, and the accounts that are used there.
struct RedisPlace: Sendable {
  var settings = RedisSettings()
  var password: Secret?
  var sentinelPassword: Secret?

  /// As the configuration writes it, without passwords.
  ///
  /// - Parameter others: what else is set there.
  func document(_ others: [JSONObject.Member], tls: TLSSettings?) -> JSONValue {
    func text(_ text: String?) -> JSONValue { text.map { .string($0) } ?? .null }
    let sentinel: JSONValue? = sentinelPassword.map {
      ["user": text(settings.sentinel?.user), "password": .string($0.description)]
    }
    var object: JSONObject = [
      "url": .string(settings.description), "user": text(settings.user), "password": text(password?.description),
      "sentinel": sentinel ?? .null,
    ]
    for member in others { object[member.name] = member.value }
    object["tls"] = tls?.document ?? .null
    return .object(object)
  }

  /// How long a connection and an answer may be waited for.
  static let times = Nanoseconds.milliseconds(10)...Nanoseconds.seconds(600)
}

// What every Redis of the configuration is reached by.
extension JSONReader {
  /// Reads `url`, `user`, `password` and `sentinel`.
  ///
  /// - Returns: `nil` when there is a mistake in them, which has been told.
  func redisPlace(_ secrets: SecretSource) -> RedisPlace? {
    require("url")
    let url = string("url")
    var place = RedisPlace()
    do throws(RedisURLError) {
      if let url { place.settings = try RedisSettings(url: url) }
    } catch {
      fault("url", error.description)
      return nil
    }
    place.settings.user = string("user") ?? place.settings.user
    place.password = secret("password", from: secrets)
    place.settings.password = place.password?.text ?? place.settings.password
    if place.settings.user != nil, place.settings.password == nil { fault("user", "is of no use without a password") }
    guard let sentinel = nested("sentinel") else { return place }
    let account = (user: sentinel.string("user"), password: sentinel.secret("password", from: secrets))
    guard place.settings.sentinel != nil else {
      fault("sentinel", "is of no use without redis+sentinel:// or rediss+sentinel://")
      return nil
    }
    sentinel.require("password")
    place.sentinelPassword = account.password
    place.settings.sentinel?.user = account.user
    place.settings.sentinel?.password = account.password?.text
    return place
  }

  /// Reads `tls`, which only `rediss` has.
  ///
  /// - Returns: false when its files can't be used, which has been told.
  func readTLS(of redis: RedisSettings, into tls: inout TLSSettings?) -> Bool {
    let options = nested("tls").map { TLSSettings($0) }
    guard redis.usesTLS else {
      if options != nil { fault("tls", "is of no use without rediss://") }
      return true
    }
    do throws(TLSError) {
      if let options { tls = options } else { tls = try TLSSettings() }
    } catch {
      fault("tls", error.description)
      return false
    }
    return true
  }
}
