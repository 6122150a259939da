import Loop
package import Sockets
package import TLS
package import Time

/// Makes the connections that the Redis protocol is spoken over.
package protocol RedisTransport: AnyObject {
  /// - Parameter completion: called once from the loop, never before this returns, and not after the cancellation.
  /// - Returns: what gives the attempt up.
  func open(
    timeout: Nanoseconds, completion: @escaping (Result<any Connection, RedisError>) -> Void
  ) -> () -> Void
  /// The server that the last attempt was to; `nil` where that is not known.
  var place: RedisAddress? { get }
  /// Called when it leads to another server than before, so that connections that still stand lead to the wrong one.
  var onMove: () -> Void { get set }
  /// Nothing is opened any more.
  func close()
}

// A place of its own stays where it is.
extension RedisTransport {
  package var place: RedisAddress? { nil }

  package var onMove: () -> Void {
    get { {} }
    set {}
  }

  package func close() {}
}

/// An attempt in several steps.
final class RedisAttempt {
  /// Gives the present step up.
  var cancel: (() -> Void)?
}

/// Plain TCP.
package final class PlainRedisTransport: RedisTransport {
  private let dialer: Dialer
  private let host: String
  private let port: UInt16

  package var place: RedisAddress? { RedisAddress(host: host, port: port) }

  package init(dialer: Dialer, host: String, port: UInt16) {
    self.dialer = dialer
    self.host = host
    self.port = port
  }

  package func open(
    timeout: Nanoseconds, completion: @escaping (Result<any Connection, RedisError>) -> Void
  ) -> () -> Void {
    let attempt = dialer.connect(host: host, port: port, timeout: timeout) { result in
      switch result {
      case .success(let connection): completion(.success(connection))
      case .failure(let error): completion(.failure(.notConnected(error.description)))
      }
    }
    return { attempt.cancel() }
  }
}

/// TLS over TCP.
package final class EncryptedRedisTransport: RedisTransport {
  private let dialer: Dialer
  private let host: String
  private let port: UInt16

  private let context: TLSContext

  package var place: RedisAddress? { RedisAddress(host: host, port: port) }

  package init(dialer: Dialer, host: String, port: UInt16, context: TLSContext) {
    self.dialer = dialer
    self.host = host
    self.port = port
    self.context = context
  }

  package func open(
    timeout: Nanoseconds, completion: @escaping (Result<any Connection, RedisError>) -> Void
  ) -> () -> Void {
    let attempt = RedisAttempt()
    let dial = dialer.connect(host: host, port: port, timeout: timeout) { [self] result in
      switch result {
      case .success(let connection):
        let handshake = TLSConnection.connect(
          over: connection, context: context, serverName: host, timeout: timeout
        ) { result in
          switch result {
          case .success(let connection): completion(.success(connection))
          case .failure(let error): completion(.failure(.notConnected(error.description)))
          }
        }
        attempt.cancel = { handshake.cancel() }
      case .failure(let error): completion(.failure(.notConnected(error.description)))
      }
    }
    attempt.cancel = { dial.cancel() }
    return { attempt.cancel?() }
  }
}
