import HTTP
import Loop
import Sockets
import Upstreams

/// The requester of a good response: it learns of the response and receives the body.
protocol UpstreamRequestOwner: ResponseSink {
  /// How much of a response is to be read at a time; `nil`: as much as comes.
  var readAllowance: ReadAllowance? { get }
  /// A backend's response is good: here is its head, the body follows.
  func requestSucceeded(_ head: consuming ResponseHead, framing: BodyFraming, isStream: Bool)
  /// A backend has opened the WebSocket that was asked for: `range` of `input` are the first bytes of it. The
  /// request is to be finished when it is over.
  func requestSwitched(
    _ head: consuming ResponseHead, _ backend: any Connection, _ input: InputBuffer, _ range: Range<Int>)
  /// No backend gave one.
  func requestFailed(_ failure: UpstreamRequestFailure)
  /// It has taken so long that the stream should be opened without waiting further.
  func requestIsLate()
  /// The request announces a body and waits for leave to send it (RFC 9110, 10.1.1).
  func requestWantsBody()
  /// Backends take the request's body (again).
  func requestTakesBody()
  /// There is no memory for the request's body. Nothing was sent to a backend that could answer it.
  func requestHasNoRoom()
  /// Another attempt has begun: its limits may end sooner than the last one's, so the clocks want looking at.
  func requestNeedsTime()
}

extension UpstreamRequestOwner {
  var readAllowance: ReadAllowance? { nil }

  // Only who asks for it is told.
  func requestSwitched(
    _ head: consuming ResponseHead, _ backend: any Connection, _ input: InputBuffer, _ range: Range<Int>
  ) {}
}
