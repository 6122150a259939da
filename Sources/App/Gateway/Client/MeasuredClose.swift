import Sockets
import Streams
import Time

/// The close of a connection's last answer: from the answer's last byte until it is known how it went, which then goes
/// into the books.
struct MeasuredClose {
  private var machine: ClosingMachine
  /// `nil` for answers that are no event streams: they are not counted.
  private let label: CloseLabel?
  private let books: StreamBooks
  /// Whether the socket has taken the last byte.
  private(set) var isFlushed = false
  private var sendWatch = SendWatch()

  init(
    _ closing: (machine: ClosingMachine, label: CloseLabel)?, then action: ClosingMachine.AfterFlush, books: StreamBooks
  ) {
    machine = closing?.machine ?? ClosingMachine()
    label = closing?.label
    self.books = books
    machine.endWasQueued(then: action)
  }

  var isCounted: Bool { label != nil }

  /// The socket took the last byte. Returns what to do now, the first time.
  mutating func lastByteWasTaken() -> ClosingMachine.AfterFlush? {
    isFlushed = true
    return machine.queueEmptied()
  }

  /// Whether a client that still has something to take has taken nothing for `limit`.
  mutating func isStalled(_ connection: any Connection, for limit: Nanoseconds, at now: MonotonicTime) -> Bool {
    sendWatch.measureProgress(of: connection, now)
    return sendWatch.isStalled(for: limit, at: now)
  }

  // MARK: - How it went

  /// The peer closed, or asked for more: it has the answer.
  consuming func peerWasDone() { books.note(machine.peerWasDone(), label) }

  consuming func peerReset() { books.note(machine.peerReset(), label) }

  /// We broke the connection.
  consuming func aborted() { books.note(machine.aborted(), label) }

  consuming func stoppedWaiting(isAcknowledged: Bool = false) {
    if isAcknowledged { machine.lastByteWasAcknowledged() }
    books.note(machine.stoppedWaiting(), label)
  }

  /// The connection was closed with care.
  consuming func closed(_ result: CloseResult) {
    switch result {
    case .confirmed: peerWasDone()
    case .acked: stoppedWaiting(isAcknowledged: true)
    case .lingerTimeout: stoppedWaiting()
    case .reset: peerReset()
    }
  }
}

extension SendWatch {
  /// Measures whether the peer takes what is queued for it.
  mutating func measureProgress(of connection: any Connection, _ now: MonotonicTime) {
    measureProgress(acknowledged: connection.acknowledgedBytes, writtenAt: connection.lastWriteProgress, at: now)
  }
}
