package import Sockets

/// Why there is no TLS context or no connection over TLS. Names files and reasons, never what is in a key.
package enum TLSError: Error, Hashable, Sendable, CustomStringConvertible {
  /// A file of certificates or a key can't be used.
  case file(String, reason: String)
  /// A setting makes no sense, such as a server name that is none.
  case setting(String)
  /// The peer's certificate was not accepted.
  case certificate(String)
  /// The two could not agree, as found on this side.
  case handshake(String)
  /// The peer speaks plain HTTP.
  case plainRequest
  /// The peer ended the handshake.
  case alert(TLSAlert)
  /// The peer ended the connection within the handshake.
  case closed
  case socket(SocketError)
  case timeout
  /// OpenSSL has no memory, or worse.
  case library(String)

  package var description: String {
    switch self {
    case .file(let path, let reason): "\(path): \(reason)"
    case .setting(let reason): reason
    case .certificate(let reason): "the peer's certificate: \(reason)"
    case .handshake(let reason): "handshake: \(reason)"
    case .plainRequest: "handshake: the peer speaks plain HTTP"
    case .alert(let alert): "handshake: ended by the peer with \(alert)"
    case .closed: "handshake: closed by the peer"
    case .socket(let error): "handshake: \(error)"
    case .timeout: "handshake: not over in time"
    case .library(let reason): "OpenSSL: \(reason)"
    }
  }
}
