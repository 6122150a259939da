import HTTP
import Loop
import Streams

/// Who takes the body of a backend's response, piece by piece, and learns how it ended. Called on the backend
/// connection's loop.
protocol ResponseSink: AnyObject {
  /// A piece of the body, taken out of its framing; valid during the call only, and may be framed in place.
  func received(_ input: InputBuffer, _ range: Range<Int>)
  /// The body is over. Nothing follows.
  func ended(_ end: UpstreamEnd)
}
