import Bytes
import Streams
package import Time

/// The backend's half of a stream: finds the events in what it sends, measures its silence, says how it ended.
///
/// The other half is a `ClientDelivery`, or a run's log.
struct BackendFeed {
  let parser: EventFeed
  private var clock: StreamClock
  private var hasFirstEvent = false
  private var hasContent = false

  /// - Parameters:
  ///   - openedAt: when the client asked: the total time counts from here.
  ///   - askedAt: when the backend was asked.
  init(_ parser: EventFeed, limits: Watchdogs, openedAt: MonotonicTime, askedAt: MonotonicTime? = nil) {
    self.parser = parser
    clock = StreamClock(limits: limits.ofBackend, openedAt: openedAt, askedAt: askedAt)
  }

  /// What is new of a piece of the backend's body.
  struct Progress {
    var isFirstEvent = false
    /// The first event that bears content in the dialect's eyes.
    var isFirstContent = false

    var isNews: Bool { isFirstEvent || isFirstContent }
  }

  // MARK: - The body

  /// A piece of the body is here, and about to be parsed.
  mutating func sent(at now: MonotonicTime) { clock.backendSent(at: now) }

  /// A piece of the body was parsed.
  mutating func noteProgress() -> Progress {
    var progress = Progress()
    if hasContent { return progress }
    if parser.hasContent {
      hasContent = true
      progress.isFirstContent = true
    }
    if !hasFirstEvent, parser.events > 0 {
      hasFirstEvent = true
      progress.isFirstEvent = true
      clock.firstTokenCame()
    }
    return progress
  }

  /// Why the stream ended whose body did.
  func reason(of end: UpstreamEnd, _ outcome: Outcome) -> EndReason {
    switch end {
    case .clean where outcome == .upstreamError: .backendToldError(name: parser.errorName)
    case .clean: parser.hasTerminal ? .backendEnded : .backendEndedWithoutTerminal
    case .cut(let fault): .backendCut(fault)
    }
  }

  // MARK: - The clock

  /// A good response is here: its backend was asked at `askedAt`, for a client that asked at `openedAt`.
  mutating func answered(limits: Watchdogs, openedAt: MonotonicTime, askedAt: MonotonicTime?) {
    clock = StreamClock(limits: limits.ofBackend, openedAt: openedAt, askedAt: askedAt)
  }

  /// The backend is not read, for the client's sake or because none has answered: its silence is not its own.
  mutating func paused() { clock.backendPaused() }
  mutating func resumed(at now: MonotonicTime) { clock.backendResumed(at: now) }

  /// When the backend last sent something.
  var lastSign: MonotonicTime { clock.lastSignOfBackend }

  var standing: BackendStanding { clock.isBackendPaused ? .paused : .sent(at: lastSign) }

  /// Looks at the clock.
  func verdict(at now: MonotonicTime) -> StreamClock.Verdict { clock.verdict(at: now, keepsAlive: false) }
}

/// What is known of the backend of an open stream.
package enum BackendStanding {
  /// It is not read, for its client's sake or because none has answered yet.
  case paused
  /// When it last sent something.
  case sent(at: MonotonicTime)
}

extension Watchdogs {
  /// Those that watch the backend, whoever reads.
  var ofBackend: Watchdogs {
    var limits = self
    limits.keepalive = .zero
    limits.clientStall = .zero
    return limits
  }

  /// Those that watch one client.
  var ofClient: Watchdogs {
    var limits = self
    limits.firstToken = .zero
    limits.idle = .zero
    limits.total = .zero
    return limits
  }
}
