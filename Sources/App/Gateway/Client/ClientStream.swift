package import Bytes
package import HTTP
package import Loop
package import Sockets
package import Streams
package import Time

/// A request's way back to its client, whatever carries it. One for each request; lives on the client's loop.
///
/// What is written before the answer begins or after its end is dropped.
package protocol ClientStream: AnyObject {
  /// What backends are told of the client.
  var forwarded: ForwardedClient { get }
  /// Whether the client has had an answer on this connection.
  var wasServed: Bool { get }

  // MARK: - The request's body

  /// Tells the client to send the body that it announced, if it is still waiting to (RFC 9110, 10.1.1).
  func sendContinue()
  /// Stops taking the request's body, so that the client has to wait.
  func pauseReading()
  func resumeReading()

  // MARK: - The answer

  var headIsSent: Bool { get }
  /// Sends the answer's head. The body follows, in pieces.
  ///
  /// - Parameter body: what is known of it; the client's HTTP version decides how it is framed.
  func sendHead(_ draft: borrowing ResponseDraft, body: BodyPlan)
  /// Sends a piece of the body that is in `input`. It may be framed in place.
  func send(_ input: InputBuffer, _ range: Range<Int>)
  /// Sends a piece of the body that was built, and empties `out`.
  func send(_ out: inout ByteBuffer)
  /// Sends a piece of the body from where it is.
  func send(_ bytes: Span<UInt8>)
  /// Ends the answer. `rest` holds what remains of its body, and is emptied.
  ///
  /// - Parameter closing: the close that is to be measured, for event streams.
  func end(_ end: BodyEnd, _ rest: inout ByteBuffer, closing: (machine: ClosingMachine, label: CloseLabel)?)
  /// Answers with a response of the gateway's own. The connection goes on if it may.
  ///
  /// - Parameter body: left out where the request or the status has none.
  func answer(_ draft: borrowing ResponseDraft, _ body: Span<UInt8>)
  /// Answers in the same way, and ends the connection after it: what follows on it can't be trusted.
  func refuse(_ response: borrowing ErrorResponse)
  /// Breaks the answer off, so that the client sees that it is not complete.
  func abandon()
  /// Closes at once.
  func close()

  /// Answers with 101, and gives the connection up to a tunnel. Where requests share a connection it is no answer: there
  /// nobody asks for it.
  func becomeTunnel(_ draft: borrowing ResponseDraft, to end: TunnelEnd)

  // MARK: - Whether the client keeps up

  /// Bytes that wait for the client.
  var queuedBytes: Int { get }
  /// Whether more waits than this stream's share of a connection whose streams hold too much together.
  var isOverShare: Bool { get }
  /// How much is to be read at a time of what goes to the client; `nil`: as much as comes.
  var readAllowance: ReadAllowance? { get }
  /// The exchange is told when no more than `bytes` wait; 0 for when none do.
  func setLowWaterMark(_ bytes: Int)
  /// Measures whether the client takes what waits for it.
  func measureProgress(with watch: inout SendWatch, _ now: MonotonicTime)
  /// Sends the first bytes of whatever comes next, to learn whether a client that finished sending still listens.
  func probe()
  /// Has the exchange look at its clocks soon.
  func exchangeNeedsTime()
}

extension ClientStream {
  package var isOverShare: Bool { false }
  package var readAllowance: ReadAllowance? { nil }

  /// Whether so much waits for the client that no more should be made for it.
  ///
  /// - Parameter highWater: the bytes that may wait.
  func isBehind(by highWater: Int) -> Bool { queuedBytes > highWater || isOverShare }

  package func end(_ end: BodyEnd, _ rest: inout ByteBuffer) { self.end(end, &rest, closing: nil) }

  package func becomeTunnel(_ draft: borrowing ResponseDraft, to end: TunnelEnd) {
    end.close(.failed)
    abandon()
  }

  /// Answers without a body.
  package func answer(_ draft: borrowing ResponseDraft) { answer(draft, Span()) }
}
