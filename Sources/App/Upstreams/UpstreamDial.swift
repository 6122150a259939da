package import Configuration
import HTTP
import Loop
package import Sockets
import TLS
import Time

/// A connection to a backend that is being made: dialled, and made one over TLS where the backend's URL says https.
package final class UpstreamDial {
  package typealias Completion = (Result<any Connection, UpstreamConnectError>) -> Void

  private let settings: UpstreamSettings
  private let room: UpstreamRoom
  private let end: MonotonicTime
  private var completion: Completion?
  private var dialing: (any BackendDial)?
  private var handshake: TLSHandshake?
  /// Called when the backend has been reached and the TLS handshake begins.
  package var willSecure: (() -> Void)?

  /// - Parameter completion: called once, never before this returns, and not at all after `cancel()`.
  package init(
    _ settings: UpstreamSettings, dialer: any BackendDialer, room: UpstreamRoom, completion: @escaping Completion
  ) {
    self.settings = settings
    self.completion = completion
    self.room = room
    room.upstreamBegan()
    end = dialer.loop.now + settings.connectTimeout
    dialing = dialer.dial(
      host: settings.url.host, port: settings.url.port, timeout: settings.connectTimeout
    ) { [self] result in dialled(result) }
  }

  package func cancel() {
    finish(nil)
  }

  private func dialled(_ result: Result<any Connection, DialError>) {
    dialing = nil
    switch result {
    case .failure(let error): finish(.failure(.dial(error)))
    case .success(let connection):
      // A connection that is played is as secure as its test says.
      guard let tls = settings.tls, let connection = connection as? TCPConnection else {
        return finish(.success(connection))
      }
      willSecure?()
      // What the address took is missing here: the two share one limit.
      let timeout = max(.zero, end - connection.loop.readClock())
      handshake = TLSConnection.connect(
        over: connection, context: tls.context, serverName: settings.url.host, timeout: timeout
      ) { [self] outcome in
        switch outcome {
        case .success(let connection): finish(.success(connection))
        case .failure(let error): finish(.failure(.tls(error)))
        }
      }
    }
  }

  private func finish(_ result: Result<any Connection, UpstreamConnectError>?) {
    guard let completion = completion.take() else { return }
    room.upstreamEnded()
    willSecure = nil
    dialing?.cancel()
    dialing = nil
    handshake?.cancel()
    handshake = nil
    if let result { completion(result) }
  }
}
