import Sockets
import Streams
import TLS

/// Why there is no connection to a backend.
enum UpstreamConnectError: Error {
  case dial(DialError)
  case tls(TLSError)

  var fault: AttemptFault {
    switch self {
    case .dial(let error): error.phase == .timeout ? .timedOut : .connectFailed(error.description)
    case .tls(.timeout): .timedOut
    case .tls(let error): .tlsFailed(error.description)
    }
  }
}
