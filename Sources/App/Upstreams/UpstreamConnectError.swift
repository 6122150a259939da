package import Sockets
package import Streams
package import TLS

/// Why there is no connection to a backend.
package enum UpstreamConnectError: Error {
  case dial(DialError)
  case tls(TLSError)

  package var fault: AttemptFault {
    switch self {
    case .dial(let error): error.phase == .timeout ? .timedOut : .connectFailed(error.description)
    case .tls(.timeout): .timedOut
    case .tls(let error): .tlsFailed(error.description)
    }
  }
}
