import Bytes

/// What may follow the CR of the blank line that a client was sent last: its LF may come in the next piece. If a comment is
/// put in before it, that LF is sent in front of the comment and left out when it comes. Otherwise it would be a blank
/// line of its own.
struct LineEnd {
  private enum State {
    /// The line's end is whole. → open, unsent
    case closed
    /// The client was sent the CR last. → closed, completed
    case open
    /// The client was not sent the CR: the event was held back, left out, or a comment without its blank line. → closed
    case unsent
    /// The client was sent an LF behind the CR, which has not come yet. → closed
    case completed
  }

  private var state = State.closed
  /// Whether the line belongs to no block.
  private(set) var isOfFiller = false

  /// Whether the LF was sent before it came.
  var isCompleted: Bool { state == .completed }
  /// Whether an LF that comes next belongs to the line.
  var takesLineFeed: Bool { state != .closed }

  /// A block ended.
  ///
  /// - Parameters:
  ///   - endsInCR: whether nothing is known of what follows its last byte, a CR.
  ///   - isSent: whether the client gets that byte too, if it gets the block.
  ///   - out: what was written for the client since.
  mutating func blockEnded(inCR endsInCR: Bool, isSent: Bool, out: borrowing ByteBuffer) {
    if endsInCR {
      open(isSent: isSent, out: out)
      isOfFiller = false
    } else if state != .closed {
      state = .closed
    }
  }

  /// The same for a blank line that belongs to no block.
  mutating func fillerEnded(inCR endsInCR: Bool, isSent: Bool, out: borrowing ByteBuffer) {
    state = .closed
    if endsInCR { open(isSent: isSent, out: out) }
    isOfFiller = true
  }

  /// The same for blocks whose bytes were sent as they are.
  mutating func blocksWereSent(endsInCR: Bool) {
    state = endsInCR ? .open : .closed
    isOfFiller = false
  }

  private mutating func open(isSent: Bool, out: borrowing ByteBuffer) {
    state = isSent && out.withSpan { $0.endsInCR } ? .open : .unsent
  }

  /// The LF has come. Sends it on if it follows its CR.
  mutating func lineFeedCame(into out: inout ByteBuffer) {
    if state == .open { out.append(0x0A) }
    state = .closed
  }

  /// Something else has come.
  mutating func close() { state = .closed }

  /// A comment follows: sends the LF, should it still come.
  mutating func complete(into out: inout ByteBuffer) {
    guard state == .open else { return }
    out.append(0x0A)
    state = .completed
  }
}

extension Span<UInt8> {
  @inline(__always)
  var endsInCR: Bool { !isEmpty && self[count - 1] == 0x0D }
}
