package import Time

/// What is known of an upstream's health on one loop, from its responses and from checks. Pure.
///
/// A client that goes away says nothing of the upstream: it is neither told as a success nor as a failure.
package struct UpstreamHealth: Sendable {
  /// Whether it may be asked.
  package enum State: Equatable, Sendable {
    /// Yes; its share of the requests is its weight times the factor, above 0 and at most 1.
    case available(weightFactor: Double)
    /// Not until then: it said so (`Retry-After`).
    case coolingDown(until: MonotonicTime)
    /// Not until then: it failed too often.
    case ejected(until: MonotonicTime)
    /// Not until its checks are good again.
    case unhealthy

    package var isAvailable: Bool {
      if case .available = self { true } else { false }
    }

    package var label: Label {
      switch self {
      case .available: .available
      case .coolingDown: .coolingDown
      case .ejected: .ejected
      case .unhealthy: .unhealthy
      }
    }

    /// The state as the value of a metric's label.
    package enum Label: String, CaseIterable, Sendable {
      case available
      case coolingDown = "cooling_down"
      case ejected
      case unhealthy
    }
  }

  /// What has happened so far; for operators.
  package struct Counts: Equatable, Sendable {
    package var successes = 0
    package var failures = 0
    package var truncations = 0
    package var ejections = 0
    package var coolDowns = 0
    package var checksPassed = 0
    package var checksFailed = 0
  }

  /// The least part of its weight that an upstream has when it comes back.
  package static let smallestFactor = 0.1

  private let policy: HealthPolicy
  package private(set) var counts = Counts()
  package private(set) var failuresInRow = 0
  package private(set) var truncationsInRow = 0
  private var checksPassedInRow = 0
  private var checksFailedInRow = 0
  private var isUnhealthy = false
  private var ejectedAt: MonotonicTime?
  private var ejectedUntil: MonotonicTime?
  /// How long the last ejection was; zero when it is forgiven.
  private var lastEjection = Nanoseconds.zero
  /// Whether it was ejected and has given no good response since.
  private var isOnProbation = false
  private var coolsDownUntil: MonotonicTime?
  /// Since when it is back.
  private var backSince: MonotonicTime?

  package init(policy: HealthPolicy) {
    self.policy = policy
  }

  package func state(at now: MonotonicTime) -> State {
    if isUnhealthy { return .unhealthy }
    if let ejectedUntil, now < ejectedUntil { return .ejected(until: ejectedUntil) }
    if let coolsDownUntil, now < coolsDownUntil { return .coolingDown(until: coolsDownUntil) }
    return .available(weightFactor: factor(at: now))
  }

  /// Whether it was never ejected or asked to be left alone, and its checks are good: a good response can't change its
  /// state then.
  package var isUntroubled: Bool { !isUnhealthy && ejectedUntil == nil && coolsDownUntil == nil }

  private func factor(at now: MonotonicTime) -> Double {
    guard policy.slowStart > .zero, let since = latest(ejectedUntil, backSince), since <= now else { return 1 }
    let share = Double((now - since).value) / Double(policy.slowStart.value)
    return min(1, max(Self.smallestFactor, share))
  }

  private func latest(_ one: MonotonicTime?, _ other: MonotonicTime?) -> MonotonicTime? {
    guard let one, let other else { return one ?? other }
    return max(one, other)
  }

  // MARK: - Requests

  /// A response was good enough to go to the client.
  package mutating func succeeded(at now: MonotonicTime) {
    counts.successes += 1
    failuresInRow = 0
    if let ejectedUntil, now < ejectedUntil { return }
    isOnProbation = false
    // Forgiven when it has been good for as long as it was left out.
    if let back = latest(ejectedUntil, backSince), back + lastEjection <= now { lastEjection = .zero }
  }

  /// A response that had been good came to its end.
  package mutating func completed(at now: MonotonicTime) { truncationsInRow = 0 }

  /// An attempt came to nothing: a cool-down, a failure or neither, as the fault says.
  ///
  /// - Parameter hasClientCredentials: whether the request carried the client's own credentials alone.
  package mutating func attemptFailed(
    _ fault: AttemptFault, hasClientCredentials: Bool = false, at now: MonotonicTime
  ) {
    if let status = fault.status {
      note(status, retryAfter: fault.retryAfter, hasClientCredentials: hasClientCredentials, at: now)
    } else if fault.blamesUpstream {
      failed(at: now)
    }
  }

  /// A response went to the client as it was, whatever its status.
  package mutating func answered(
    _ status: Int, retryAfter: Nanoseconds?, hasClientCredentials: Bool, at now: MonotonicTime
  ) {
    let meaning = note(status, retryAfter: retryAfter, hasClientCredentials: hasClientCredentials, at: now)
    if meaning == .nothing { succeeded(at: now) }
  }

  @discardableResult
  private mutating func note(
    _ status: Int, retryAfter: Nanoseconds?, hasClientCredentials: Bool, at now: MonotonicTime
  ) -> HealthPolicy.StatusMeaning {
    let meaning = policy.meaning(of: status, retryAfter: retryAfter, hasClientCredentials: hasClientCredentials)
    switch meaning {
    case .nothing: break
    case .failure: failed(at: now)
    case .coolDown(let wait): coolDown(until: now + wait, at: now)
    }
    return meaning
  }

  /// An attempt failed by the upstream's fault.
  package mutating func failed(at now: MonotonicTime) {
    counts.failures += 1
    failuresInRow += 1
    ejectIfDue(failuresInRow, at: now)
  }

  /// A response that had been good was cut.
  package mutating func truncated(at now: MonotonicTime) {
    counts.truncations += 1
    truncationsInRow += 1
    ejectIfDue(truncationsInRow, at: now)
  }

  /// The upstream asked to be left alone until `time`.
  package mutating func coolDown(until time: MonotonicTime, at now: MonotonicTime) {
    let end = min(time, now + policy.ejectionMax)
    guard end > now else { return }
    counts.coolDowns += 1
    coolsDownUntil = max(coolsDownUntil ?? end, end)
  }

  private mutating func ejectIfDue(_ inRow: Int, at now: MonotonicTime) {
    guard policy.failures > 0, policy.ejection > .zero else { return }
    if let ejectedUntil, now < ejectedUntil { return }
    // One that was just let back in must not fail as often again.
    if isOnProbation || inRow >= policy.failures { eject(at: now) }
  }

  private mutating func eject(at now: MonotonicTime) {
    let length = lastEjection > .zero ? min(lastEjection + lastEjection, policy.ejectionMax) : policy.ejection
    lastEjection = length
    ejectedAt = now
    ejectedUntil = now + length
    failuresInRow = 0
    truncationsInRow = 0
    checksPassedInRow = 0
    isOnProbation = true
    counts.ejections += 1
  }

  // MARK: - Checks

  package mutating func checkPassed(at now: MonotonicTime) {
    counts.checksPassed += 1
    checksFailedInRow = 0
    checksPassedInRow += 1
    guard let check = policy.check, checksPassedInRow >= check.healthyAfter else { return }
    if isUnhealthy {
      isUnhealthy = false
      backSince = now
    }
    // Checks shorten an ejection, but not below its first length: an upstream may pass them and fail its requests.
    if let at = ejectedAt, let until = ejectedUntil, now < until {
      ejectedUntil = max(now, min(until, at + policy.ejection))
    }
  }

  package mutating func checkFailed(at now: MonotonicTime) {
    counts.checksFailed += 1
    checksPassedInRow = 0
    checksFailedInRow += 1
    guard let check = policy.check, checksFailedInRow >= check.unhealthyAfter else { return }
    isUnhealthy = true
  }
}
