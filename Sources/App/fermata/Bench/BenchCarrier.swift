import Harness
import TLS

/// What carries a scenario's streams to its clients.
enum BenchCarrier: Equatable {
  case plain
  /// HTTP/1.1 over TLS.
  case secure
  /// HTTP/2 over TLS.
  case http2(streamsPerConnection: Int)

  var isSecure: Bool { self != .plain }

  var isHTTP2: Bool {
    if case .http2 = self { true } else { false }
  }

  var streamsPerConnection: Int {
    if case .http2(let count) = self { count } else { 1 }
  }

  /// In words.
  var sharing: String {
    streamsPerConnection == 1 ? "a connection for each stream" : "\(streamsPerConnection) streams on a connection"
  }

  /// - Parameter roots: the certificates by which a server is trusted.
  func transport(roots: String?) throws(TLSError) -> ClientTransport {
    guard isSecure else { return ClientTransport() }
    var settings = TLSClientSettings()
    settings.roots = roots
    settings.protocols = [isHTTP2 ? "h2" : "http/1.1"]
    return ClientTransport(tls: try TLSContext(client: settings), speaksHTTP2: isHTTP2)
  }
}

/// What a server shows its clients.
struct BenchIdentity {
  let identity: TLSIdentity
  /// The certificates by which clients trust it.
  let roots: String
  let carrier: BenchCarrier
  /// Both in one file, as haproxy reads them.
  let bundle: String
}
