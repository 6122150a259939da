import Harness
import RunningGateway
import TLS

/// What carries the clients of a world.
enum Transport: String, CaseIterable, Sendable {
  case secure = "HTTP/1.1 over TLS"
  case http2 = "HTTP/2"
  case secureHTTP2 = "HTTP/2 over TLS"

  /// Has all stream clients and gateways in `body` use it that say nothing else.
  func carry<Result>(_ body: () async throws -> Result) async throws -> Result {
    var transport = ClientTransport(speaksHTTP2: self != .secure)
    var settings = ["http2": "cleartext"]
    if self != .http2 {
      let identity = try EndToEnd.HTTPS.localhost.get()
      settings = ["tls.cert": identity.certificate, "tls.key": identity.key]
      var tls = TLSClientSettings()
      tls.roots = try EndToEnd.HTTPS.certificates.get().roots
      tls.protocols = self == .secure ? ["http/1.1"] : ["h2", "http/1.1"]
      transport.tls = try TLSContext(client: tls)
    }
    return try await World.$standardSettings.withValue(settings) {
      try await ClientTransport.$standard.withValue(transport) { try await body() }
    }
  }
}
