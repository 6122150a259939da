package import Loop
package import Time

/// How a connection that was closed with care came to its end.
package enum CloseResult: String, Sendable, CaseIterable {
  /// The peer's FIN came after ours: it has read to the end.
  case confirmed
  /// The peer's kernel has acknowledged every byte; the peer itself said nothing.
  case acked
  /// Time was over with bytes unacknowledged.
  case lingerTimeout = "linger_timeout"
  case reset
}

/// Ends a connection so that its last bytes arrive: sends what is queued, then FIN, then reads and drops input until
/// the peer's FIN or a time limit, and closes. The limit begins anew as long as the peer takes what was sent.
///
/// Closing at once would answer unread input with RST, which makes the peer's kernel throw away what it has not yet
/// handed to its program.
package final class LingeringClose {
  /// Input that is read and dropped; a peer that sends more has to wait for the time limit.
  static let inputLimit = 1024 * 1024

  private let connection: any Connection
  /// How long the peer may acknowledge nothing, or say nothing once it has everything.
  private let timeout: Nanoseconds
  private var end: MonotonicTime
  /// What the peer had acknowledged, less what the socket had not taken, when that was last asked; `nil` before the
  /// first time.
  private var acknowledged: Int64?
  private let resets: Bool
  private var completion: ((CloseResult) -> Void)?
  private var handle: DeadlineHandle?
  private var dropped = 0
  // The peer's FIN came after ours: once everything is acknowledged as well, that is a confirmation.
  private var isAnswered = false

  /// Takes the connection over, whose last byte has been written.
  ///
  /// It lives until `completion` has been called with the result (not before this returns); nothing need be kept.
  /// - Parameter resets: end with RST once the last byte is acknowledged, and send no FIN: the visible cut of a body
  ///   that would else end with the connection.
  /// - Returns: what `endNow()` may be called on.
  @discardableResult
  package static func begin(
    _ connection: any Connection, timeout: Nanoseconds = .seconds(5), resets: Bool = false,
    completion: @escaping (CloseResult) -> Void
  ) -> LingeringClose {
    let close = LingeringClose(connection, timeout: timeout, resets: resets, completion: completion)
    close.start()
    return close
  }

  /// Ends it before its time: its descriptor is needed. Does nothing when it has ended already.
  package func endNow() {
    if connection.hasFailed || connection.isClosed { return finish(.reset) }
    let isComplete = (resets || connection.hasFinishedWriting) && connection.sendProgress.isComplete
    finish(isComplete ? .acked : .lingerTimeout)
  }

  private init(
    _ connection: any Connection, timeout: Nanoseconds, resets: Bool, completion: @escaping (CloseResult) -> Void
  ) {
    self.connection = connection
    self.completion = completion
    self.resets = resets
    self.timeout = timeout
    end = connection.loop.readClock() + timeout
  }

  /// After how long it is first asked what the peer has taken. Nearly all have closed by then, and need not be asked.
  private var firstCheckDelay: Nanoseconds { min(.milliseconds(250), Nanoseconds(timeout.value / 4)) }

  private func start() {
    // Retained by the deadline list, which is also what ends it.
    let deadlines = connection.loop.deadlines
    connection.handler = self
    connection.lowWaterMark = 0
    if !resets { connection.finishWriting() }
    if resets || connection.hasPeerFinished || connection.hasFailed || connection.isClosed {
      handle = deadlines.add(self, at: connection.loop.now)
    } else {
      handle = deadlines.add(self, at: connection.loop.now + firstCheckDelay)
      connection.startReading()
    }
  }

  private func finish(_ result: CloseResult) {
    guard let completion else { return }
    self.completion = nil
    if resets { connection.reset() } else { connection.close() }
    if let handle { connection.loop.deadlines.remove(handle) }
    handle = nil
    completion(result)
  }
}

extension LingeringClose: ConnectionHandler {
  package func connectionReceived(_ input: InputBuffer) {
    dropped += input.count
    if dropped > Self.inputLimit { connection.pauseReading() }
  }

  package func connectionDrained() {}

  package func connectionEnded(_ end: ConnectionEnd) {
    guard case .finished = end else {
      finish(.reset)
      return
    }
    isAnswered = connection.hasFinishedWriting
    if isAnswered, connection.sendProgress.isComplete {
      finish(.confirmed)
    } else if let handle {
      // Nothing more will come from the peer but acknowledgements: look for them at each tick.
      connection.loop.deadlines.move(handle, to: connection.loop.now)
    }
  }
}

extension LingeringClose: DeadlineMember {
  /// Whether the peer has taken something since this was last asked, or was not asked before. Then it has its time again.
  private func hasProgressed(at now: MonotonicTime) -> Bool {
    let before = acknowledged
    let known = Int64(clamping: connection.acknowledgedBytes) - Int64(connection.queuedBytes)
    acknowledged = known
    if let before, known <= before { return false }
    end = now + timeout
    return true
  }

  package func deadlinePassed(at now: MonotonicTime) -> MonotonicTime? {
    let isComplete = (resets || connection.hasFinishedWriting) && connection.sendProgress.isComplete
    if connection.hasFailed || connection.isClosed {
      finish(.reset)
    } else if connection.hasPeerFinished || resets, isComplete {
      finish(isAnswered ? .confirmed : .acked)
    } else if now >= end {
      if !isComplete, hasProgressed(at: now) { return end }
      finish(isComplete ? .acked : .lingerTimeout)
    } else {
      if acknowledged == nil, !isComplete { _ = hasProgressed(at: now) }
      return isAnswered || resets || connection.hasPeerFinished ? now : end
    }
    return nil
  }
}
