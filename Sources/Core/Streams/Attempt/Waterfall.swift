package import Time

/// Tries a route's upstreams in their order until one gives a good response. Pure: it is told what happened and says
/// what to do. Until `committed()` the client has seen nothing, or a stream that was opened early and is still empty.
///
/// Sending a request again because a kept connection died before the response's first byte is the same attempt.
package struct Waterfall: ~Copyable, Sendable {
  private enum State: ~Copyable, Sendable {
    /// Nothing was tried. → attempting, exhausted
    case waiting
    /// An upstream is being tried: waits for it, or for its limits. → attempting (the next one), committed, exhausted
    case attempting(Attempt)
    /// The response of the upstream in this place goes to the client. → nothing
    case committed(place: Int)
    /// There is nobody left to try. → nothing
    case exhausted(mayHaveHadEffect: Bool)
  }

  /// One upstream that is tried.
  private struct Attempt: Sendable {
    /// Its place in the order.
    let place: Int
    let startedAt: MonotonicTime
    /// Where its limits count from.
    var limitsStartAt: MonotonicTime
    var phase = AttemptPhase.connect
    /// The limit that ends it.
    var passedLimit: TimeLimit?

    init(place: Int, at now: MonotonicTime) {
      self.place = place
      startedAt = now
      limitsStartAt = now
    }

    mutating func entered(_ next: AttemptPhase) {
      if next > phase { phase = next }
    }
  }

  /// What to do.
  package enum Action: Equatable, Sendable {
    case nothing
    /// Nothing until then.
    case quiet(until: MonotonicTime)
    /// Ask this one, by its index.
    case attempt(upstream: Int)
    /// Tell the client that nobody is left who may be asked: `reports` says why.
    case exhausted
    /// Pass the response on as it is, whatever it is; `committed()` follows.
    case relay
    /// Pass a good event stream on from here; `committed()` follows.
    case open
    /// Hold the body of an event stream that may be good (`Gate`); `gateSaid(_:)` follows.
    case gate
    /// Pass on what the gate has held, and what comes; `committed()` follows.
    case release
    /// Stop the attempt, which is of no use; `failed(_:at:)` with this fault follows.
    case moveOn(AttemptFault)
    /// Open the stream of a client that has waited long enough; `openedEarly()` follows if it was. Said once.
    case openNow
  }

  private var state: State
  private var facts: Facts

  /// - Parameters:
  ///   - order: the upstreams by index, the best one first (`UpstreamOrder`).
  ///   - request: what is asked.
  ///   - mayReplay: whether the request can be sent again.
  ///   - awaitsClient: whether the request's body is not here in full; `requestWasSent(at:)` follows.
  package init(
    order: [Int], policy: WaterfallPolicy, request: AttemptRequest, mayReplay: Bool, awaitsClient: Bool = false,
    startedAt: MonotonicTime
  ) {
    self.init(
      .waiting,
      Facts(
        order: order, policy: policy, request: request, mayReplay: mayReplay, awaitsClient: awaitsClient,
        startedAt: startedAt))
  }

  private init(_ state: consuming State, _ facts: consuming Facts) {
    self.state = state
    self.facts = facts
  }

  /// Whether an event stream is expected. May become known with the request's body.
  package var expectsStream: Bool {
    get { facts.request.expectsStream }
    set { facts.request.expectsStream = newValue }
  }

  /// Whether a plain answer is as welcome as a stream, as MCP's clients say of every call: then it has the time that
  /// plain answers have.
  package var acceptsAnswer: Bool {
    get { facts.acceptsAnswer }
    set { facts.acceptsAnswer = newValue }
  }

  /// How far the attempt has come; `nil` when there is none.
  package var phase: AttemptPhase? {
    switch state {
    case .attempting(let attempt): attempt.phase
    case .committed: .streaming
    case .waiting: nil
    case .exhausted: nil
    }
  }

  /// The upstream that is tried, or whose response goes to the client.
  package var current: Int? {
    switch state {
    case .attempting(let attempt): facts.order[attempt.place]
    case .committed(let place): facts.order[place]
    case .waiting: nil
    case .exhausted: nil
    }
  }

  /// Whether another upstream was left, and was not asked because the request may have had its effect.
  package var mayHaveHadEffect: Bool {
    switch state {
    case .exhausted(let mayHaveHadEffect): mayHaveHadEffect
    case .waiting: false
    case .attempting: false
    case .committed: false
    }
  }

  /// One for each attempt that failed.
  package var reports: [AttemptReport] { facts.reports }

  /// Whether the client's stream was opened before there was a good response.
  package var isOpenEarly: Bool { facts.opening == .done }

  /// What a refusal says in `Retry-After`: seconds, at least 1.
  package var retryAfter: Int {
    guard let smallest = facts.smallestRetryAfter else { return 1 }
    return max(1, Int((smallest.value - 1) / 1_000_000_000 + 1))
  }

  // MARK: - Attempts

  /// - Parameter timeouts: an upstream's own ones, by its index.
  package mutating func begin(timeouts: (Int) -> AttemptTimeouts?, at now: MonotonicTime) -> Action {
    var facts = consume self.facts
    switch consume self.state {
    case .waiting:
      facts.take(timeouts)
      guard let first = facts.order.first else {
        self = Self(.exhausted(mayHaveHadEffect: false), facts)
        return .exhausted
      }
      self = Self(.attempting(Attempt(place: 0, at: now)), facts)
      return .attempt(upstream: first)
    case let other: self = Self(other, facts)
    }
    return .nothing
  }

  /// The attempt has come as far as `next`. Phases may be left out: a kept connection begins at `head`.
  package mutating func entered(_ next: AttemptPhase) {
    let facts = consume self.facts
    switch consume self.state {
    case .attempting(var attempt):
      attempt.entered(next)
      self = Self(.attempting(attempt), facts)
    case let other: self = Self(other, facts)
    }
  }

  /// The attempt is over without a response that the client gets.
  package mutating func failed(_ fault: AttemptFault, at now: MonotonicTime) -> Action {
    var facts = consume self.facts
    switch consume self.state {
    case .attempting(let attempt):
      let isSpent = facts.budgetEnd.map { $0 <= now } ?? false
      facts.note(fault, of: attempt, isSpent: isSpent, at: now)
      let mayRepeat = facts.policy.mayRepeat(facts.request, after: fault, in: attempt.phase)
      let isLast = facts.isLast(attempt)
      guard mayRepeat, !isSpent, !isLast else {
        let mayHaveHadEffect = !mayRepeat && !isLast && fault.leavesEffectOpen
        self = Self(.exhausted(mayHaveHadEffect: mayHaveHadEffect), facts)
        return .exhausted
      }
      let place = attempt.place + 1
      let upstream = facts.order[place]
      self = Self(.attempting(Attempt(place: place, at: now)), facts)
      return .attempt(upstream: upstream)
    case let other: self = Self(other, facts)
    }
    return .nothing
  }

  // MARK: - The request

  /// The request is out in full: a backend that had to wait for its body is given its whole time.
  package mutating func requestWasSent(at now: MonotonicTime) {
    var facts = consume self.facts
    facts.requestCameInFull(at: now)
    switch consume self.state {
    case .attempting(var attempt):
      if attempt.phase <= .head { attempt.limitsStartAt = now }
      self = Self(.attempting(attempt), facts)
    case let other: self = Self(other, facts)
    }
  }

  /// The request can't be sent again: the attempt that runs is the last one.
  package mutating func bodyOutgrewReplay() { facts.mayReplay = false }

  // MARK: - The response

  /// A response's head has come.
  package mutating func receivedHead(_ answer: Answer, at now: MonotonicTime) -> Action {
    let facts = consume self.facts
    switch consume self.state {
    case .attempting(var attempt):
      let action = facts.action(for: answer)
      if action == .gate {
        attempt.entered(.firstEvent)
        // A request that expects no stream may have waited for longer than an event may take.
        if !facts.awaitsStream { attempt.limitsStartAt = now }
      }
      self = Self(.attempting(attempt), facts)
      return action
    case let other: self = Self(other, facts)
    }
    return .nothing
  }

  /// The gate has looked at more of the response that it holds.
  package func gateSaid(_ verdict: Gate.Verdict) -> Action {
    guard let phase, phase > .head, phase < .streaming else { return .nothing }
    return switch verdict {
    case .holding: .nothing
    case .open: .release
    case .failed(let fault): .moveOn(fault)
    }
  }

  /// The response goes to the client.
  package mutating func committed() {
    let facts = consume self.facts
    switch consume self.state {
    case .attempting(let attempt): self = Self(.committed(place: attempt.place), facts)
    case let other: self = Self(other, facts)
    }
  }

  /// The client's stream was opened though there is no good response yet.
  package mutating func openedEarly() { facts.opening = .done }

  // MARK: - Time

  /// Says what is due at `now`.
  package mutating func timePassed(at now: MonotonicTime) -> Action {
    var facts = consume self.facts
    switch consume self.state {
    case .attempting(var attempt):
      let action = facts.due(of: &attempt, at: now)
      self = Self(.attempting(attempt), facts)
      return action
    case let other: self = Self(other, facts)
    }
    return .quiet(until: now + Facts.longestQuiet)
  }

  /// A limit that is watched elsewhere has passed.
  package mutating func passed(_ limit: TimeLimit) -> Action {
    let facts = consume self.facts
    switch consume self.state {
    case .attempting(var attempt):
      attempt.passedLimit = limit
      self = Self(.attempting(attempt), facts)
      return .moveOn(.timedOut)
    case let other: self = Self(other, facts)
    }
    return .nothing
  }
}

extension Waterfall {
  /// What holds in every state. Not copyable, so that a change of state moves it.
  private struct Facts: ~Copyable, Sendable {
    let order: [Int]
    let policy: WaterfallPolicy
    var request: AttemptRequest
    var acceptsAnswer = false
    var mayReplay: Bool
    /// Whether the client is still sending its request: no limit runs but that of the connection.
    private var awaitsClient: Bool
    /// Where the limits of the whole waterfall count from.
    private var startedAt: MonotonicTime
    /// The limits of each upstream in `order`, and those of the policy where there are none.
    private var timeouts: [AttemptTimeouts?] = []
    var opening = EarlyOpening.notDue
    private(set) var smallestRetryAfter: Nanoseconds?
    private(set) var reports: [AttemptReport] = []

    /// The opening of the client's stream before there is a good response.
    enum EarlyOpening {
      case notDue
      /// It was said that it may be.
      case said
      case done
    }

    static let longestQuiet = Nanoseconds.seconds(3600)

    init(
      order: [Int], policy: WaterfallPolicy, request: AttemptRequest, mayReplay: Bool, awaitsClient: Bool,
      startedAt: MonotonicTime
    ) {
      self.order = order
      self.policy = policy
      self.request = request
      self.mayReplay = mayReplay
      self.awaitsClient = awaitsClient
      self.startedAt = startedAt
    }

    mutating func take(_ timeouts: (Int) -> AttemptTimeouts?) {
      for (place, upstream) in order.enumerated() {
        guard let own = timeouts(upstream), own != policy.timeouts else { continue }
        if self.timeouts.isEmpty { self.timeouts = Array(repeating: nil, count: order.count) }
        self.timeouts[place] = own
      }
    }

    mutating func requestCameInFull(at now: MonotonicTime) {
      guard awaitsClient else { return }
      awaitsClient = false
      startedAt = now
    }

    func action(for answer: Answer) -> Action {
      switch answer.meaning(for: request, under: policy, isOpenEarly: opening == .done) {
      case .relay: .relay
      case .stream: .open
      case .next(let fault), .refuse(let fault): .moveOn(fault)
      case .gate: .gate
      }
    }

    /// Writes down how an attempt has failed.
    mutating func note(_ fault: AttemptFault, of attempt: Attempt, isSpent: Bool, at now: MonotonicTime) {
      // Not when it took longer than another would have been given: that was its own doing.
      let wasCutShort = isSpent && deadline(of: attempt, asLast: false)?.time == budgetEnd
      let ownLimit = attempt.passedLimit ?? (attempt.phase < .head ? .connect : nil)
      let limit = wasCutShort ? budgetLimit : ownLimit
      let milliseconds = Int((now - attempt.startedAt).value / 1_000_000)
      reports.append(
        AttemptReport(
          upstream: order[attempt.place], phase: attempt.phase,
          fault: fault == .timedOut && wasCutShort ? .budgetSpent : fault, milliseconds: max(0, milliseconds),
          limit: fault == .timedOut ? limit : nil))
      if let retryAfter = fault.retryAfter {
        smallestRetryAfter = min(smallestRetryAfter ?? retryAfter, retryAfter)
      }
    }

    /// What is due of the attempt that runs.
    mutating func due(of attempt: inout Attempt, at now: MonotonicTime) -> Action {
      var next = now + Self.longestQuiet
      // An upstream is let go for being slow only where the request may be made again.
      let mayRepeat = policy.mayRepeat(request, after: .timedOut, in: attempt.phase)
      if let deadline = deadline(of: attempt, asLast: isLast(attempt) || !mayRepeat) {
        if deadline.time <= now {
          attempt.passedLimit = deadline.limit
          return .moveOn(.timedOut)
        }
        next = min(next, deadline.time)
      }
      if opensEarly {
        let due = startedAt + policy.commitAfter
        if due <= now {
          opening = .said
          return .openNow
        }
        next = min(next, due)
      }
      return .quiet(until: next)
    }

    var awaitsStream: Bool { request.expectsStream && !acceptsAnswer }

    private var opensEarly: Bool {
      awaitsStream && !policy.isTransparent && !awaitsClient && opening == .notDue && policy.commitAfter > .zero
    }

    func isLast(_ attempt: Attempt) -> Bool { !mayReplay || attempt.place + 1 >= order.count }

    var budgetEnd: MonotonicTime? {
      let budget = awaitsStream ? policy.budget : policy.answerBudget
      return budget > .zero && !awaitsClient && !policy.isTransparent ? startedAt + budget : nil
    }

    private var budgetLimit: TimeLimit { awaitsStream ? .budget : .answerBudget }

    /// When an attempt must be further than it is, and the limit that says so.
    ///
    /// The last of several candidates has what is left of the budget. One that is alone has no budget, but its own limits.
    private func deadline(of attempt: Attempt, asLast isLast: Bool) -> (time: MonotonicTime, limit: TimeLimit)? {
      let limits = (timeouts.isEmpty ? nil : timeouts[attempt.place]) ?? policy.timeouts
      let phase = attempt.phase
      var due = budgetEnd.map { (time: $0, limit: budgetLimit) }
      func bound(_ length: Nanoseconds, _ limit: TimeLimit) {
        let time = attempt.limitsStartAt + length
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
}
