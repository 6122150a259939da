import Glibc
package import Loop

/// Why a socket failed, in the words a caller decides by.
package enum SocketError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The peer sent RST.
  case reset
  /// The peer had closed its side for good when we wrote.
  case brokenPipe
  /// Nobody acknowledged for too long (keepalive, user timeout, or connecting).
  case timedOut
  case refused
  /// No route to the host or network.
  case unreachable
  case addressInUse
  /// The address isn't one of this machine's.
  case addressNotAvailable
  /// The system forbids it: a port below 1024 without the right, for instance.
  case permissionDenied
  /// The connection ended without the peer having said so (TLS's close_notify): anyone on the way can do that, so what
  /// was to end with the connection was cut.
  case truncated
  /// TLS failed after its handshake on this side: a record that was changed, for instance. With OpenSSL's reason.
  case tls(String)
  /// The peer ended TLS after its handshake, in this side's eyes.
  case alert(TLSAlert)
  /// No descriptor or memory left.
  case outOfDescriptors
  case other(SystemError)

  package init(_ error: SystemError) {
    switch error.code {
    case ECONNRESET: self = .reset
    case EPIPE: self = .brokenPipe
    case ETIMEDOUT: self = .timedOut
    case ECONNREFUSED: self = .refused
    case EHOSTUNREACH, ENETUNREACH, EHOSTDOWN, ENETDOWN: self = .unreachable
    case EADDRINUSE: self = .addressInUse
    case EADDRNOTAVAIL: self = .addressNotAvailable
    case EACCES, EPERM: self = .permissionDenied
    case EMFILE, ENFILE, ENOBUFS, ENOMEM: self = .outOfDescriptors
    default: self = .other(error)
    }
  }

  package var description: String {
    switch self {
    case .reset: "connection reset by peer"
    case .brokenPipe: "broken pipe"
    case .timedOut: "connection timed out"
    case .refused: "connection refused"
    case .unreachable: "host or network unreachable"
    case .addressInUse: "address already in use"
    case .addressNotAvailable: "address not available on this machine"
    case .permissionDenied: "permission denied"
    case .truncated: "ended without notice"
    case .tls(let reason): "TLS: \(reason)"
    case .alert(let alert): "TLS: ended by the peer with \(alert)"
    case .outOfDescriptors: "out of file descriptors or memory"
    case .other(let error): error.description
    }
  }
}
