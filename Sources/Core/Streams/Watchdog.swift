package import Time

/// The time limits of a stream. Each has a clock of its own: a client that stalls is not a backend that is silent.
package struct Watchdogs: Equatable, Sendable {
  /// From the request to the backend that answers until the first event. 0 or less: none, here and below.
  package var firstToken = Nanoseconds.seconds(35)
  /// The same for clients in legacy: none unless it was asked for. They wait as long as they would without the gateway,
  /// as long as the backend says anything at all.
  package var firstTokenInLegacy = Nanoseconds.zero
  /// The longest silence of the backend after that.
  package var idle = Nanoseconds.seconds(55)
  /// The longest silence towards a client before a comment line is sent.
  package var keepalive = Nanoseconds.seconds(12)
  /// The whole stream.
  package var total = Nanoseconds.zero
  /// The longest time a client may take nothing while there is something for it.
  package var clientStall = Nanoseconds.seconds(30)
  /// The longest wait for a client's end after ours.
  package var linger = Nanoseconds.seconds(5)

  package init() {}

  /// Those of a stream in `mode`.
  package func serving(_ mode: Mode) -> Watchdogs {
    var limits = self
    if mode == .legacy { limits.firstToken = firstTokenInLegacy }
    return limits
  }
}

/// The stamps that the watchdogs of one stream compare. Nothing is re-armed when an event passes: a stamp is stored,
/// and looked at when the earliest limit may have been reached.
package struct StreamClock: Sendable {
  package enum Verdict: Equatable, Sendable {
    case firstTokenTimeout
    case idleTimeout
    case totalTimeout
    case clientStalled
    /// Nothing was sent to the client for the keepalive time.
    case keepaliveIsDue
    /// All is well until then.
    case quiet(until: MonotonicTime)
  }

  private let limits: Watchdogs
  private let openedAt: MonotonicTime
  /// When the backend was asked, or we read it again: its first event is waited for from here.
  private var askedAt: MonotonicTime
  private var backendAt: MonotonicTime
  private var sentAt: MonotonicTime
  /// Since when the client takes nothing though something is queued.
  private var stalledSince: MonotonicTime?
  private var hasFirstToken = false
  private var isPaused = false

  /// - Parameters:
  ///   - now: when the client asked: the total time counts from here.
  ///   - askedAt: when the backend was asked; later than `now` where others were asked before.
  package init(limits: Watchdogs, openedAt now: MonotonicTime, askedAt: MonotonicTime? = nil) {
    self.limits = limits
    openedAt = now
    self.askedAt = askedAt ?? now
    backendAt = self.askedAt
    sentAt = self.askedAt
  }

  /// The longest time that the client may take nothing.
  package var clientStall: Nanoseconds { limits.clientStall }

  /// When the backend last sent something.
  package var lastSignOfBackend: MonotonicTime { backendAt }

  /// Whether the backend is not read, for the client's sake.
  package var isBackendPaused: Bool { isPaused }

  /// The backend sent something.
  package mutating func backendSent(at now: MonotonicTime) { backendAt = now }

  /// The first event that counts came.
  package mutating func firstTokenCame() { hasFirstToken = true }

  /// Something was sent to the client.
  package mutating func sent(at now: MonotonicTime) { sentAt = now }

  /// The client's queue holds something that its socket does not take.
  package mutating func clientBlocked(at now: MonotonicTime) {
    if stalledSince == nil { stalledSince = now }
  }

  /// The client's socket took something, at `time`.
  package mutating func clientProgressed(at time: MonotonicTime) {
    if let since = stalledSince, since < time { stalledSince = time }
  }

  /// The client's queue is empty again: it took the last of it just now.
  package mutating func clientCaughtUp(at now: MonotonicTime) {
    guard stalledSince != nil else { return }
    stalledSince = nil
    sentAt = now
  }

  /// We stopped reading the backend for the client's sake: its silence is ours.
  package mutating func backendPaused() { isPaused = true }

  package mutating func backendResumed(at now: MonotonicTime) {
    isPaused = false
    backendAt = now
    askedAt = now
  }

  /// What is due at `now`.
  ///
  /// The time to look again is such that no limit is noticed late, whichever clock starts meanwhile: one that starts
  /// later than now ends no sooner than its limit from now.
  ///
  /// - Parameter keepsAlive: whether comment lines may be sent on this stream at all.
  package func verdict(at now: MonotonicTime, keepsAlive: Bool) -> Verdict {
    var next = now + .seconds(3600)
    func passed(_ limit: Nanoseconds, since start: MonotonicTime?) -> Bool {
      guard limit > .zero else { return false }
      let due = (start ?? now) + limit
      if due <= now { return true }
      next = min(next, due)
      return false
    }
    if passed(limits.total, since: openedAt) { return .totalTimeout }
    if passed(limits.clientStall, since: stalledSince) { return .clientStalled }
    let waitsForFirst = !hasFirstToken && limits.firstToken > .zero
    if waitsForFirst, passed(limits.firstToken, since: isPaused ? nil : askedAt) { return .firstTokenTimeout }
    if passed(limits.idle, since: isPaused || waitsForFirst ? nil : backendAt) { return .idleTimeout }
    if keepsAlive, passed(limits.keepalive, since: stalledSince == nil ? sentAt : nil) { return .keepaliveIsDue }
    return .quiet(until: next)
  }
}

extension StreamClock.Verdict {
  /// How the verdict ends a stream whose backend it blames, or whose time is up; `nil` for the others.
  package var ending: (outcome: Outcome, limit: TimeLimit, reason: EndReason)? {
    switch self {
    case .firstTokenTimeout:
      (.firstTokenTimeout, .streamFirstToken, .firstTokenTimeout)
    case .idleTimeout: (.idleTimeout, .idle, .idleTimeout)
    case .totalTimeout: (.cancelled, .total, .totalTimeout)
    case .clientStalled, .keepaliveIsDue, .quiet: nil
    }
  }
}
