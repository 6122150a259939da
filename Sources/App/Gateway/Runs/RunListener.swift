import HTTP
import Runs
import Streams
import Time

/// Who is given what a run's log takes in. Lives on the run's loop.
protocol RunListener: AnyObject {
  /// What it is given next of the log; `nil` when it waits for nothing there.
  var place: LogPosition? { get }
  /// The run has a stream, of which this is the backend's head.
  func runOpened(_ head: ResponseHead)
  /// The log has more than it had.
  func advance()
  /// There is no stream and will be none.
  func runFailed(_ failure: RunFailure)
}

/// Sends a run's log to a copy of the run on another loop.
protocol RunRelay: RunListener {
  /// The number of the copy's loop.
  var home: Int { get }
  /// Sends nothing until `goOn`: the copy's readers have yet to get what its memory has room for.
  func holdUp()
  func goOn()
}

/// A client of a run, as the run sees it: waits for the stream, then reads the log from its place to its end.
protocol RunClient: RunListener, ClientStreamHandler {
  var wish: RunWish { get }
  var mode: Mode { get }
  /// When it asked for the run.
  var askedAt: MonotonicTime { get }
  /// Whether it waits for the stream.
  var isWaiting: Bool { get }
  /// Whether the stream may be opened towards it before a backend has answered well.
  var opensEarly: Bool { get }
  /// Whether there is nothing that it could be given now.
  var hasAll: Bool { get }
  /// Whether it takes less than the log holds.
  var isBlocked: Bool { get }
  /// Whether what waits for the client has not become less than `stream.lowWater` for so long that it may have to go.
  func isStuck(at now: MonotonicTime) -> Bool
  /// Whether it has more than the log, as far as its last id tells.
  ///
  /// - Parameter isCatchingUp: whether more is on its way to the log already.
  func isAhead(isCatchingUp: Bool, at now: MonotonicTime) -> Bool
  /// Ends the client's stream; the run goes on, as far as its policy lets it.
  func finish(_ outcome: Outcome, reason: String)
  /// The backend's response is no stream, and is this client's.
  func takeOver(_ upstreamRequest: UpstreamRequest, _ head: consuming ResponseHead, _ framing: BodyFraming)
  /// Backends wait for the body of the request that has opened the run, or take it again.
  func wantsBody()
  func takesBody()
}
