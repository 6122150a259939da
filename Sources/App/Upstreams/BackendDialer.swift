package import Loop
package import Sockets
package import Time

/// Who makes connections to backends for one loop. Another than `Dialer` plays backends in tests.
package protocol BackendDialer: AnyObject {
  var loop: EventLoop { get }
  /// - Parameter completion: called once, never before this returns, and not at all after the dial was cancelled.
  func dial(
    host: String, port: UInt16, timeout: Nanoseconds,
    completion: @escaping (Result<any Connection, DialError>) -> Void
  ) -> any BackendDial
}

/// A connection that is being made.
package protocol BackendDial: AnyObject {
  func cancel()
}

extension Dialer: BackendDialer {
  package func dial(
    host: String, port: UInt16, timeout: Nanoseconds,
    completion: @escaping (Result<any Connection, DialError>) -> Void
  ) -> any BackendDial {
    connect(host: host, port: port, timeout: timeout) { completion($0.map { $0 }) }
  }
}

extension DialAttempt: BackendDial {}
