package import Time

/// Tries a route's upstreams in their order until one gives a good response. Pure: it is told what happened and says
/// what to do. Until `committed()` the client has seen nothing, or a stream that was opened early and is still empty.
///
/// Sending a request again because a kept connection died before the response's first byte is the same attempt.
package struct Waterfall: Sendable {
  private enum State {
    /// Nothing was tried. → attempting, over
    case waiting
    /// An upstream is being tried: waits for it, or for its limits. → attempting (the next one), over
    case attempting
    /// A response goes to the client, or there is nobody left to try. → nothing
    case over
  }

  package enum Step: Equatable, Sendable {
    /// Ask this one, by its index.
    case attempt(upstream: Int)
    /// Nobody is left who may be asked: `reports` says why.
    case exhausted
  }

  /// What a response's head means.
  package enum HeadVerdict: Equatable, Sendable {
    /// It goes to the client as it is, whatever it is; `committed()` follows.
    case relay
    /// A good event stream: it goes to the client from here on; `committed()` follows.
    case open
    /// An event stream that may be good: its body is held (`Gate`).
    case gate
    /// It is of no use: `failed(_:at:)` with this fault follows.
    case moveOn(AttemptFault)
  }

  package enum TimeVerdict: Equatable, Sendable {
    /// Nothing is due until then.
    case quiet(until: MonotonicTime)
    /// The attempt took too long: stop it; `failed(.timedOut, at:)` follows.
    case attemptTimedOut
    /// The client has waited long enough: its stream may be opened now; `openedEarly()` follows if it was. Said once.
    case openNow
  }

  private let order: [Int]
  private let policy: WaterfallPolicy
  private var request: AttemptRequest
  /// Whether an event stream is expected. May become known with the request's body.
  package var expectsStream: Bool {
    get { request.expectsStream }
    set { request.expectsStream = newValue }
  }
  /// Whether a plain answer is as welcome as a stream, as MCP's clients say of every call: then it has the time that
  /// plain answers have.
  package var acceptsAnswer = false
  private var mayReplay: Bool
  /// Whether the client is still sending its request: no limit runs but that of the connection.
  private var awaitsClient: Bool
  /// Where the limits of the whole waterfall count from.
  private var startedAt: MonotonicTime
  private var state = State.waiting
  private var position = 0
  /// The limits of each upstream in `order`, and those of the policy where there are none.
  private var timeouts: [AttemptTimeouts?] = []
  private var attemptStartedAt: MonotonicTime
  /// Where the attempt's own limits count from.
  private var limitsStartAt: MonotonicTime
  private var saidOpenNow = false
  private var smallestRetryAfter: Nanoseconds?
  package private(set) var phase = AttemptPhase.connect
  /// The limit that ends the attempt that runs.
  private var passedLimit: TimeLimit?
  /// One for each attempt that failed.
  package private(set) var reports: [AttemptReport] = []
  /// Whether another upstream was left, and was not asked because the request may have had its effect.
  package private(set) var mayHaveHadEffect = false
  /// Whether the client's stream was opened before there was a good response.
  package private(set) var isOpenEarly = false

  /// - Parameters:
  ///   - order: the upstreams by index, the best one first (`UpstreamOrder`).
  ///   - request: what is asked.
  ///   - mayReplay: whether the request can be sent again.
  ///   - awaitsClient: whether the request's body is not here in full; `requestWasSent(at:)` follows.
  package init(
    order: [Int], policy: WaterfallPolicy, request: AttemptRequest, mayReplay: Bool, awaitsClient: Bool = false,
    startedAt: MonotonicTime
  ) {
    self.order = order
    self.policy = policy
    self.request = request
    self.mayReplay = mayReplay
    self.awaitsClient = awaitsClient
    self.startedAt = startedAt
    attemptStartedAt = startedAt
    limitsStartAt = startedAt
  }

  /// The upstream that is tried, or whose response goes to the client.
  package var current: Int? {
    state == .waiting || position >= order.count ? nil : order[position]
  }

  /// What a refusal says in `Retry-After`: seconds, at least 1.
  package var retryAfter: Int {
    guard let smallestRetryAfter else { return 1 }
    return max(1, Int((smallestRetryAfter.value - 1) / 1_000_000_000 + 1))
  }

  /// - Parameter timeouts: an upstream's own ones, by its index.
  package mutating func begin(timeouts: (Int) -> AttemptTimeouts?, at now: MonotonicTime) -> Step {
    guard state == .waiting else { return .exhausted }
    for (place, upstream) in order.enumerated() {
      guard let own = timeouts(upstream) else { continue }
      if self.timeouts.isEmpty { self.timeouts = Array(repeating: nil, count: order.count) }
      self.timeouts[place] = own
    }
    guard !order.isEmpty else {
      state = .over
      return .exhausted
    }
    return startAttempt(at: now)
  }

  private mutating func startAttempt(at now: MonotonicTime) -> Step {
    state = .attempting
    phase = .connect
    passedLimit = nil
    attemptStartedAt = now
    limitsStartAt = now
    return .attempt(upstream: order[position])
  }

  /// The attempt has come as far as `next`. Phases may be left out: a kept connection begins at `head`.
  package mutating func entered(_ next: AttemptPhase, at now: MonotonicTime) {
    if state == .attempting, next > phase { phase = next }
  }

  /// The request is out in full: a backend that had to wait for its body is given its whole time.
  package mutating func requestWasSent(at now: MonotonicTime) {
    if awaitsClient {
      awaitsClient = false
      startedAt = now
    }
    if state == .attempting, phase <= .head { limitsStartAt = now }
  }

  /// Says what a response's head means.
  package mutating func receivedHead(_ answer: Answer, at now: MonotonicTime) -> HeadVerdict {
    switch answer.meaning(for: request, under: policy, isOpenEarly: isOpenEarly) {
    case .relay: return .relay
    case .stream: return .open
    case .next(let fault), .refuse(let fault): return .moveOn(fault)
    case .gate:
      entered(.firstEvent, at: now)
      // A request that expects no stream may have waited for longer than an event may take.
      if !awaitsStream { limitsStartAt = now }
      return .gate
    }
  }

  /// The attempt is over without a response that the client gets.
  package mutating func failed(_ fault: AttemptFault, at now: MonotonicTime) -> Step {
    guard state == .attempting else { return .exhausted }
    let isSpent = budgetEnd.map { $0 <= now } ?? false
    // Not when it took longer than another would have been given: that was its own doing.
    let wasCutShort = isSpent && deadline(asLast: false)?.time == budgetEnd
    let milliseconds = Int((now - attemptStartedAt).value / 1_000_000)
    reports.append(
      AttemptReport(
        upstream: order[position], phase: phase, fault: fault == .timedOut && wasCutShort ? .budgetSpent : fault,
        milliseconds: max(0, milliseconds), limit: fault == .timedOut ? limitPassed(wasCutShort) : nil))
    if let retryAfter = fault.retryAfter {
      smallestRetryAfter = min(smallestRetryAfter ?? retryAfter, retryAfter)
    }
    let mayRepeat = policy.mayRepeat(request, after: fault, in: phase)
    guard mayRepeat, !isSpent, !isLast else {
      state = .over
      mayHaveHadEffect = !mayRepeat && !isLast && fault.leavesEffectOpen
      return .exhausted
    }
    position += 1
    return startAttempt(at: now)
  }

  private func limitPassed(_ wasCutShort: Bool) -> TimeLimit? {
    wasCutShort ? budgetLimit : passedLimit ?? (phase < .head ? .connect : nil)
  }

  /// A limit that is watched elsewhere ends the attempt; `failed(.timedOut, at:)` follows.
  package mutating func passed(_ limit: TimeLimit) { passedLimit = limit }

  /// The request can't be sent again: the attempt that runs is the last one.
  package mutating func bodyOutgrewReplay() { mayReplay = false }

  /// The client's stream was opened though there is no good response yet.
  package mutating func openedEarly() { isOpenEarly = true }

  /// The response goes to the client.
  package mutating func committed() {
    guard state == .attempting else { return }
    state = .over
    phase = .streaming
  }

  /// What is due at `now`.
  package mutating func timePassed(at now: MonotonicTime) -> TimeVerdict {
    var next = now + .seconds(3600)
    guard state == .attempting else { return .quiet(until: next) }
    // An upstream is let go for being slow only where the request may be made again.
    let mayRepeat = policy.mayRepeat(request, after: .timedOut, in: phase)
    if let deadline = deadline(asLast: isLast || !mayRepeat) {
      if deadline.time <= now {
        passedLimit = deadline.limit
        return .attemptTimedOut
      }
      next = min(next, deadline.time)
    }
    if opensEarly {
      let due = startedAt + policy.commitAfter
      if due <= now {
        saidOpenNow = true
        return .openNow
      }
      next = min(next, due)
    }
    return .quiet(until: next)
  }

  private var awaitsStream: Bool { expectsStream && !acceptsAnswer }

  private var opensEarly: Bool {
    awaitsStream && !policy.isTransparent && !awaitsClient && !saidOpenNow && policy.commitAfter > .zero
  }

  private var isLast: Bool { !mayReplay || position + 1 >= order.count }

  private var budgetEnd: MonotonicTime? {
    let budget = awaitsStream ? policy.budget : policy.answerBudget
    return budget > .zero && !awaitsClient && !policy.isTransparent ? startedAt + budget : nil
  }

  private var budgetLimit: TimeLimit { awaitsStream ? .budget : .answerBudget }

  /// When the attempt that runs must be further than it is, and the limit that says so.
  ///
  /// The last of several candidates has what is left of the budget. One that is alone has no budget, but its own limits.
  private func deadline(asLast isLast: Bool) -> (time: MonotonicTime, limit: TimeLimit)? {
    let limits = (timeouts.isEmpty ? nil : timeouts[position]) ?? policy.timeouts
    var due = budgetEnd.map { (time: $0, limit: budgetLimit) }
    func bound(_ length: Nanoseconds, _ limit: TimeLimit) {
      let time = limitsStartAt + length
      if length > .zero, due.map({ time < $0.time }) ?? true { due = (time, limit) }
    }
    if phase < .head { bound(limits.connect, .connect) }
    if awaitsClient || (isLast && !policy.isTransparent) { return due }
    if phase <= .head { bound(awaitsStream ? limits.head : limits.answer, awaitsStream ? .head : .answer) }
    // Without a stream being expected, whether the answer has events shows with its head.
    guard !policy.isTransparent, awaitsStream || phase > .head else { return due }
    if policy.gate != .head, phase <= .firstEvent { bound(limits.firstEvent, .firstEvent) }
    if policy.gate == .firstToken, phase <= .firstToken { bound(limits.firstToken, .firstToken) }
    return due
  }
}
