/// The life of one client response, and how it ended in the client's eyes. One machine for every mode and every
/// transport; it decides, and whoever holds the connection acts.
package struct ClosingMachine: Sendable {
  private enum State {
    /// Waits for the response's head. → streaming, terminalSeen, ending, ended
    case opening
    /// Waits for the backend. → terminalSeen, ending, ended
    case streaming
    /// The client has been sent what it may take for the end. → ending, ended
    case terminalSeen
    /// The last byte is queued; waits for the kernel to take it. → flushed, ended
    case ending
    /// The kernel has the last byte; waits for the peer. → ended
    case flushed
    /// Over. → nothing
    case ended
  }

  /// What to do with the connection once the last byte is with the kernel.
  package enum AfterFlush: Equatable, Sendable {
    /// The body is framed: the connection serves the next request. Watch until the peer has everything.
    case keep
    /// Send our end, then read and drop until the peer's, at most for the linger time: input that nobody read would
    /// become a reset that eats the tail.
    case linger
    /// The cut must show: close without ending the body.
    case abort
  }

  /// How the close went (`fermata_close_total`).
  package enum Result: String, CaseIterable, Sendable {
    /// The client had everything and closed, or asked for more on the same connection.
    case confirmed
    /// The client's kernel had acknowledged the last byte when we stopped waiting.
    case acked
    /// It had not, within the linger time.
    case lingerTimeout = "linger_timeout"
    /// The client broke the connection before that.
    case reset
    /// The gateway ended the response with a cut of its own.
    case cut
  }

  private var state = State.opening
  private var sawTerminal = false
  private var isAcknowledged = false
  private var afterFlush = AfterFlush.keep

  package init() {}

  /// Whether the client has been sent the dialect's terminal: leaving now is no abort.
  package var hasSentTerminal: Bool { sawTerminal }
  package var isOver: Bool { state == .ended }
  /// Whether the end is queued or sent.
  package var isEnding: Bool { state == .ending || state == .flushed || state == .ended }

  package mutating func headWasSent() {
    if state == .opening { state = .streaming }
  }

  /// The dialect's terminal is queued, or sent.
  package mutating func terminalWasSent() {
    if state != .ended { sawTerminal = true }
    if state == .opening || state == .streaming { state = .terminalSeen }
  }

  /// The last byte is queued.
  package mutating func endWasQueued(then: AfterFlush) {
    guard !isEnding else { return }
    afterFlush = then
    state = .ending
  }

  /// The kernel took the last byte.
  ///
  /// - Returns: what to do now; `nil` if there is nothing (it was said already, or it is over).
  package mutating func queueEmptied() -> AfterFlush? {
    guard state == .ending else { return nil }
    state = .flushed
    return afterFlush
  }

  /// The peer's kernel acknowledged the last byte.
  package mutating func lastByteWasAcknowledged() {
    if state == .flushed { isAcknowledged = true }
  }

  /// The peer closed its side in order, or sent its next request.
  package mutating func peerWasDone() -> Result? {
    switch state {
    case .flushed:
      state = .ended
      return afterFlush == .abort ? .cut : .confirmed
    case .terminalSeen:
      // OpenAI's clients close at `[DONE]`, with the rest unread: they have what they wanted.
      state = .ended
      return .confirmed
    default: return nil
    }
  }

  /// The connection broke. A client that has been sent its terminal has what it wanted: closing with the last chunk or
  /// `stream_end` unread is how OpenAI's clients leave, and looks like this.
  package mutating func peerReset() -> Result? {
    guard state != .ended else { return nil }
    let isCut = isEnding && afterFlush == .abort
    let wasConfirmed = isAcknowledged || (sawTerminal && afterFlush != .abort)
    state = .ended
    if wasConfirmed { return .confirmed }
    return isCut ? .cut : .reset
  }

  /// We stop waiting: the linger time is over, or a kept connection's last byte was acknowledged.
  package mutating func stoppedWaiting() -> Result? {
    guard state != .ended else { return nil }
    state = .ended
    return isAcknowledged ? .acked : .lingerTimeout
  }

  /// We broke the connection ourselves, to show a cut.
  package mutating func aborted() -> Result? {
    guard state != .ended else { return nil }
    state = .ended
    return .cut
  }
}
