package import HTTP
package import Loop
package import Streams

/// Who takes the body of a backend's response, piece by piece, and learns how it ended. Called on the backend
/// connection's loop.
package protocol ResponseSink: AnyObject {
  /// A piece of the body, taken out of its framing; valid during the call only, and may be framed in place.
  func received(_ input: InputBuffer, _ range: Range<Int>)
  /// The body is over. Nothing follows.
  func ended(_ end: UpstreamEnd)
}

/// A request that was sent on a backend's connection, until its response is over. Called on that connection's loop.
package protocol SentRequest: AnyObject {
  var method: HTTP.Method { get }
  /// Whether the backend is asked to switch to another protocol.
  var asksToSwitch: Bool { get }
  /// The backend says that it has switched: what it sends from here on, `range` of `input` first, is no HTTP.
  func protocolSwitched(_ head: consuming ResponseHead, _ input: InputBuffer, _ range: Range<Int>)
  /// The response's head is here; interim responses are left out.
  func headReceived(_ head: consuming ResponseHead, framing: BodyFraming)
  /// The attempt ended before there was a response.
  func upstreamFailed(_ failure: UpstreamFailure)
  /// The backend takes the request's body again.
  func upstreamDrained()
  /// The connection has served the response, or is gone.
  func upstreamLeft()
}

/// What ended an attempt before its response's head was complete.
package enum UpstreamFailure {
  /// The connection ended.
  case ended(UpstreamFault, receivedNothing: Bool)
  /// The backend refuses what it was shown in TLS's handshake: it may say so after it (RFC 8446, 4.4.2.4).
  case refused(String)
  case malformed(HTTP1Error)
}
