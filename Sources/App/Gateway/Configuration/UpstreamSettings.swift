package import HTTP
import JSON
import Streams
package import Time

/// One backend.
package struct UpstreamSettings: Sendable {
  package var name: String
  package var url: UpstreamURL
  package var connectTimeout = Nanoseconds.seconds(5)
  /// Idle connections kept for reuse, per worker.
  package var idleConnections = 256
  /// How long one is kept.
  package var idleTimeout = Nanoseconds.seconds(60)
  /// Whether the backend sees the client's `Host` instead of its own.
  package var preservesHost = false
  var timeouts: AttemptTimeouts? = nil
  var health = HealthPolicy()

  /// An upstream without a name of its own is named after its authority.
  init?(url text: String, fault: (String) -> Void) {
    let url: UpstreamURL
    do {
      url = try UpstreamURL(parsing: text)
    } catch {
      fault("\(error); expected something like \"http://127.0.0.1:9000\"")
      return nil
    }
    guard url.scheme == .http else {
      fault("https to a backend is not supported by this version; use http")
      return nil
    }
    self.init(name: "\(url.host):\(url.port)", url: url)
  }

  init?(named name: String, _ reader: JSONReader) {
    reader.require("url")
    let text = reader.string("url")
    guard let text, let parsed = UpstreamSettings(url: text, fault: { reader.fault("url", $0) }) else { return nil }
    self.init(name: name, url: parsed.url)
    connectTimeout = reader.duration("connectTimeout", default: connectTimeout)
    idleConnections = reader.int("idleConnections", in: 0...10_000, default: idleConnections)
    idleTimeout = reader.duration("idleTimeout", default: idleTimeout)
    preservesHost = reader.bool("preserveHost", default: preservesHost)
  }

  init(name: String, url: UpstreamURL) {
    self.name = name
    self.url = url
  }
}
