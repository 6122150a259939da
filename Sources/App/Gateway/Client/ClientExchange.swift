package import HTTP
package import Loop
package import Runs
package import Streams
package import Time

/// What serves one request of a client: takes its body, writes its answer, and learns what becomes of the client.
///
/// Called on the client's loop.
package protocol ClientExchange: AnyObject {
  var method: HTTP.Method { get }
  /// The event stream that is open towards the client, if there is one.
  var stream: ClientDelivery? { get }
  /// The stream's own backend; `nil` where there is none, or a run's log is read.
  var backend: BackendStanding? { get }
  /// The name of the route that serves the request, once that is known.
  var routeName: String? { get }
  /// What is known of the request, for operators.
  var record: RequestRecord { get }
  /// Whether the client has no answer yet.
  var isWaiting: Bool { get }
  /// The connection to Redis that a request for a run began with, while it is needed.
  var store: (any RunStore)? { get }

  func begin()
  /// A piece of the request's body came; valid during the call only.
  func requestBodyReceived(_ input: InputBuffer, _ range: Range<Int>)
  func requestBodyEnded()
  /// The client's queue is down to its low-water mark.
  func clientDrained()
  /// The client sends no more. It may be listening still.
  func clientHalfClosed()
  /// The client's connection is gone.
  func clientGone()
  /// The request's body broke its own framing; nothing more of the request can be trusted.
  ///
  /// - Parameters:
  ///   - status: of the refusal that follows if no head was sent yet.
  ///   - code: the word for it.
  /// - Returns: the fields that the refusal carries.
  func clientBrokeFraming(status: Int, code: String) -> Fields
  /// Ends the event stream, if there is one, though its backend has not.
  func finishStream(_ outcome: Outcome, reason: String)
  /// Nothing is waited for any longer: without an answer on its way, the client is told that the gateway shuts down.
  func drainIsOver()
  /// Looks at the clocks.
  ///
  /// - Returns: when to look again; `nil` when the exchange is over.
  func timePassed(_ now: MonotonicTime) -> MonotonicTime?
}
