import Configuration
import HTTP2
import Sockets
import TLS

/// Makes what speaks with a client, by its listener and by what the handshake agreed on.
enum ClientMaker {
  /// - Parameter listener: where it came.
  /// - Returns: `nil` when there is no memory for it.
  static func make(
    _ connection: any Connection, _ listener: ListenerSettings, _ speech: ClientSpeech, _ roster: ClientRoster
  ) -> (any Client)? {
    switch speech {
    case .http11: HTTP1Client(connection: connection, listener: listener, roster: roster)
    case .http2: try? HTTP2Client(connection: connection, listener: listener, roster: roster)
    case .either:
      ProtocolChoice(connection: connection, roster: roster) { [unowned roster] isHTTP2 in
        make(connection, listener, isHTTP2 ? .http2 : .http11, roster)
      }
    }
  }
}
