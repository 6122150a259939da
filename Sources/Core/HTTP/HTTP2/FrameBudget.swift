package import Time

/// Bounds what a client may make an HTTP/2 connection do for nothing (RFC 9113, 10.5).
///
/// A bucket of tokens that fills with time. Frames that an honest client has a use for are free, such as the reset by
/// which an EventSource leaves a stream that it has read. Knows no session and no clock.
package struct FrameBudget: Sendable {
  package struct Limits: Sendable, Equatable {
    /// Tokens of a full bucket.
    package var tokens: Int
    package var tokensPerSecond: Int
    /// WINDOW_UPDATE frames that are free for each DATA frame that is sent.
    package var windowUpdatesPerFrame: Int

    package init(tokens: Int = 1000, tokensPerSecond: Int = 50, windowUpdatesPerFrame: Int = 10) {
      self.tokens = max(1, tokens)
      self.tokensPerSecond = max(0, tokensPerSecond)
      self.windowUpdatesPerFrame = max(0, windowUpdatesPerFrame)
    }
  }

  /// How far the answer on a stream had come when the client reset it.
  package enum AnswerProgress: Sendable, Equatable {
    case headNotSent
    case headSent(MonotonicTime, sentBody: Bool)
  }

  /// What a connection deserves.
  package enum Verdict: Sendable, Equatable {
    case goOn
    /// A quarter of the tokens is left: the connection should take no new streams.
    case retire
    /// None are left: the connection should end with ENHANCE_YOUR_CALM.
    case end
  }

  /// A stream that was made for nothing, or that the client made this side reset.
  package static let wastedStreamCost = 10
  /// A stream beyond the limit, which a client may open before it knows the limit.
  package static let refusedStreamCost = 2
  /// A client that leaves a stream within this time, before a byte of the body was sent, did not want the answer.
  package static let earlyReset = Nanoseconds.seconds(1)
  /// A DATA frame below this that the client's window has cut short costs a token, in bytes.
  package static let shortFrame = 256
  /// WINDOW_UPDATE frames that are free for each stream, and once for the connection.
  private static let windowUpdatesPerStream = 2
  private static let firstWindowUpdates = 10
  /// What may be saved of free WINDOW_UPDATE frames.
  private static let windowUpdateRoom = 10_000

  private let limits: Limits
  /// In thousandths of a token.
  private var level: Int
  private let retireLevel: Int
  private var filledAt: MonotonicTime?
  private var freeWindowUpdates = FrameBudget.firstWindowUpdates

  package init(limits: Limits = Limits()) {
    self.limits = limits
    level = limits.tokens * 1000
    retireLevel = limits.tokens * 250
  }

  /// Tokens that are left, at least 0.
  package var tokens: Int { max(0, level / 1000) }

  package var verdict: Verdict {
    if level <= 0 { return .end }
    return isLow ? .retire : .goOn
  }

  /// Whether the verdict is another than to go on.
  package var isLow: Bool { level <= retireLevel }

  // MARK: - Time

  /// Adds the tokens of the time since the last call. An empty bucket stays empty: its connection is ending.
  package mutating func fill(at now: MonotonicTime) {
    if now == filledAt { return }
    guard let last = filledAt else {
      filledAt = now
      return
    }
    let passed = Int(clamping: (now - last).value)
    guard passed > 0, level > 0 else { return }
    let earned = (passed / 1_000_000).multipliedReportingOverflow(by: limits.tokensPerSecond)
    // What is less than a millisecond counts next time.
    guard passed >= 1_000_000 else { return }
    filledAt = last + Nanoseconds(Int64(passed / 1_000_000 * 1_000_000))
    let full = limits.tokens * 1000
    level = earned.overflow || earned.partialValue >= full - level ? full : level + earned.partialValue
  }

  // MARK: - What the client sends

  /// A frame that asks for work and brings nothing: PING, SETTINGS, PRIORITY, PRIORITY_UPDATE, CONTINUATION, GOAWAY, a
  /// frame of an unknown type, DATA without a byte that does not end its stream.
  package mutating func controlFrameCame() { spend(1) }

  /// A request's head came.
  package mutating func streamOpened() { addWindowUpdates(Self.windowUpdatesPerStream) }

  /// A WINDOW_UPDATE frame came.
  package mutating func windowUpdateCame() {
    if freeWindowUpdates > 0 { freeWindowUpdates -= 1 } else { spend(1) }
  }

  /// The client reset a stream whose answer was not complete.
  package mutating func streamWasReset(_ progress: AnswerProgress, at now: MonotonicTime) {
    switch progress {
    case .headNotSent: spend(Self.wastedStreamCost)
    case .headSent(let time, let sentBody):
      if !sentBody, now - time < Self.earlyReset { spend(Self.wastedStreamCost) }
    }
  }

  // MARK: - What it makes this side send

  /// A DATA frame of `length` bytes was sent.
  ///
  /// - Parameter isShort: whether the client's window, and not the end of what was ready, ended it.
  package mutating func dataWasSent(_ length: Int, isShort: Bool) {
    addWindowUpdates(limits.windowUpdatesPerFrame)
    if isShort, length < Self.shortFrame { spend(1) }
  }

  /// The head of a request was too large: it may have been made of few bytes, and all of it was decoded.
  package mutating func headWasTooLarge() { spend(Self.wastedStreamCost) }

  /// A stream had to be reset for a fault of the client's.
  package mutating func resetWasForced() { spend(Self.wastedStreamCost) }

  /// A stream beyond the limit was refused.
  package mutating func streamWasRefused() { spend(Self.refusedStreamCost) }

  private mutating func addWindowUpdates(_ count: Int) {
    freeWindowUpdates = min(Self.windowUpdateRoom, freeWindowUpdates + count)
  }

  private mutating func spend(_ count: Int) { level = max(0, level - count * 1000) }
}
