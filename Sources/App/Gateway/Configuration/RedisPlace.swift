import JSON
import RedisLog
import TLS

// What every Redis of the configuration is reached by.
extension JSONReader {
  /// Reads `url` and `password`.
  ///
  /// - Returns: `nil` when there is a mistake in them, which has been told.
  func redisPlace(_ secrets: SecretSource) -> (settings: RedisSettings, password: Secret?)? {
    require("url")
    let url = string("url")
    let password = secret("password", from: secrets)
    var settings = RedisSettings()
    do throws(RedisURLError) {
      if let url { settings = try RedisSettings(url: url) }
    } catch {
      fault("url", error.description)
      return nil
    }
    settings.password = password?.text ?? settings.password
    return (settings, password)
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
