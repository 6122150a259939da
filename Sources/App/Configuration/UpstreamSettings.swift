package import HTTP
import JSON
package import Streams
import TLS
package import Time

/// One backend.
package struct UpstreamSettings: Sendable {
  package var name: String
  package var url: UpstreamURL
  /// Sent in place of the client's fields of the same names.
  package var headers: [HeaderSetting] = []
  /// Fields that this backend does not get, whether the client sent them or the gateway would write them.
  package var removedHeaders: [FieldName] = []
  /// Whether fields stay behind too that differ by `_` for `-` from one that is set or removed.
  package var dropsTwins = true
  /// Its share within a tier, where the route does not say another.
  package var weight = 1
  /// What differs from the route's.
  package var timeouts = TimeoutSettings()
  package var health = HealthPolicy()
  /// The longest that any of its routes waits for a connection.
  package var connectTimeout = AttemptTimeouts().connect
  /// Idle connections kept for reuse, per worker.
  package var idleConnections = 256
  /// How long one is kept.
  package var idleTimeout = Nanoseconds.seconds(60)
  /// Whether the backend sees the client's `Host` instead of its own.
  package var preservesHost = false
  /// Of a backend with an https URL, and of no other.
  package var tls: TLSSettings?

  /// An upstream without a name of its own is named after its authority.
  init?(url text: String, fault: (String) -> Void) {
    guard let url = Self.url(text, fault: fault) else { return nil }
    self.init(name: "\(url.host):\(url.port)", url: url)
    guard url.scheme == .https else { return }
    do throws(TLSError) {
      tls = try TLSSettings()
    } catch {
      fault(error.description)
      return nil
    }
  }

  private static func url(_ text: String, fault: (String) -> Void) -> UpstreamURL? {
    do {
      return try UpstreamURL(parsing: text)
    } catch {
      fault("\(error); expected something like \"http://127.0.0.1:9000\"")
      return nil
    }
  }

  init?(named name: String, _ reader: JSONReader, health inherited: HealthPolicy, secrets: SecretSource) {
    reader.require("url")
    let url = reader.string("url").flatMap { text in Self.url(text) { reader.fault("url", $0) } }
    // The rest is read even without a URL, so that all mistakes are told at once.
    headers = HeaderSetting.read(reader, from: secrets)
    removedHeaders = HeaderSetting.readRemoved(reader)
    dropsTwins = reader.bool("dropUnderscoreTwins", default: dropsTwins)
    weight = reader.int("weight", in: RouteUpstream.weights, default: 1)
    timeouts = TimeoutSettings(reader.nested("timeouts"))
    health = inherited
    if let inner = reader.nested("health") { health.read(inner) }
    idleConnections = reader.int("idleConnections", in: 0...10_000, default: idleConnections)
    idleTimeout = reader.duration("idleTimeout", default: idleTimeout)
    preservesHost = reader.bool("preserveHost", default: preservesHost)
    tls = Self.tls(reader, for: url)
    guard let url else { return nil }
    self.name = name
    self.url = url
  }

  private static func tls(_ reader: JSONReader, for url: UpstreamURL?) -> TLSSettings? {
    if let inner = reader.nested("tls") {
      if url?.scheme == .http { reader.fault("tls", "is of no use with an http:// URL") }
      return TLSSettings(inner)
    }
    guard url?.scheme == .https else { return nil }
    do throws(TLSError) {
      return try TLSSettings()
    } catch {
      reader.fault("tls", error.description)
      return nil
    }
  }

  init(name: String, url: UpstreamURL) {
    self.name = name
    self.url = url
  }

  /// Whether connections to the one, and what is known of it, serve the other as well. What is left out (the weight, the
  /// times of attempts) belongs to the routes.
  package func isSameBackend(as other: UpstreamSettings) -> Bool {
    name == other.name && url == other.url && headers == other.headers && removedHeaders == other.removedHeaders
      && dropsTwins == other.dropsTwins
      && health == other.health && connectTimeout == other.connectTimeout && idleConnections == other.idleConnections
      && idleTimeout == other.idleTimeout && preservesHost == other.preservesHost && tls?.context === other.tls?.context
  }

  /// The headers as fields for requests.
  package var overrides: Fields {
    var fields = Fields()
    for header in headers { fields.set(header.name, header.value) }
    return fields
  }
}
