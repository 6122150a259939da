import Sockets
import Streams

/// Why there is no connection to a backend.
struct UpstreamConnectError: Error {
  let fault: AttemptFault

  init(_ error: DialError) {
    fault = error.phase == "timeout" ? .timedOut : .connectFailed(error.description)
  }
}

/// A connection to a backend that is being made.
typealias UpstreamDial = DialAttempt
