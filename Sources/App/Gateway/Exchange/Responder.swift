import HTTP
import Loop
import Sockets
import Streams
import Time

/// Who answers a request, once that is decided: a response that is passed on, a stream on its direct way, or a run.
///
/// It writes to the client's stream and takes what comes from elsewhere itself; here is what its exchange tells it.
/// Called on the client's loop.
protocol Responder: AnyObject {
  /// The event stream that is open towards the client, if there is one.
  var openStream: ClientDelivery? { get }
  /// The stream's own backend; `nil` where a run's log is read.
  var backend: BackendStanding? { get }
  /// Whether a client that has ended its side is taken for one that has left, where its route says so.
  var mayEndWithHalfClose: Bool { get }
  /// A piece of the request's body came; valid during the call only.
  ///
  /// - Returns: whether more of it can be taken now.
  func bodyReceived(_ input: InputBuffer, _ range: Range<Int>) -> Bool
  func bodyEnded()
  /// The client's queue is down to its low-water mark.
  func clientDrained()
  /// The client's connection is gone. The exchange is over already.
  ///
  /// - Parameter isWhole: whether the request had come in full.
  func clientGone(isWhole: Bool)
  /// Ends the event stream, if there is one, though its backend has not.
  func finish(_ outcome: Outcome, reason: String)
  /// Looks at the clocks.
  ///
  /// - Returns: when to look again; `nil` when the answer is over.
  func timePassed(_ now: MonotonicTime) -> MonotonicTime?
}

/// What a responder knows of the request that it answers, and whom it tells.
protocol ResponderHost: AnyObject {
  var client: any ClientStream { get }
  var context: LoopContext { get }
  var openedAt: MonotonicTime { get }
  var record: RequestRecord { get }
  /// More of the request's body is wanted.
  func takesBody()
  /// An answer's head is about to be sent.
  func answered(_ status: Int, by origin: ResponseOrigin)
  /// The answer is over.
  func responderLeft()
  /// There is no memory for the request's body, and no answer that could be told.
  func refuseForBodies()
  /// The client left before its answer was complete.
  func noteAbandoned()
}

/// A responder whose answer comes from a backend: it takes the body itself.
protocol BackendResponder: Responder, UpstreamRequestOwner {
  var host: any ResponderHost { get }
  /// Leads to the backend until the answer is over.
  var upstreamRequest: UpstreamRequest? { get }
}

extension BackendResponder {
  var readAllowance: ReadAllowance? { host.client.readAllowance }

  func bodyReceived(_ input: InputBuffer, _ range: Range<Int>) -> Bool {
    upstreamRequest?.bodyReceived(input, range) ?? true
  }

  func bodyEnded() { upstreamRequest?.bodyEnded() }
  func requestIsLate() {}
  func requestWantsBody() { host.client.sendContinue() }
  func requestTakesBody() { host.takesBody() }
  func requestNeedsTime() { host.client.exchangeNeedsTime() }
}
