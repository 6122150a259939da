import Streams
package import Time

/// Decides for a connection to Redis when it is made, whether it may carry commands, and when it is made anew.
///
/// Knows no socket and no clock. What was sent, and to whom answers go, is its owner's.
package struct RedisConnectionMachine: ~Copyable {
  private enum State: ~Copyable {
    /// Nothing was sent yet. → connecting, closed
    case idle
    /// Waits for the transport. → greeting, pausing, closed
    case connecting(Absence)
    /// Waits for the answers to the greeting. → ready, pausing, closed
    case greeting(Absence, Greeting)
    /// Carries commands. → pausing, closed
    case ready
    /// Waits until the next try. → connecting, closed
    case pausing(Absence, until: MonotonicTime)
    case closed
  }

  /// The state without its payload.
  package enum Phase: Sendable {
    case idle
    case connecting
    case greeting
    case ready
    case pausing
    case closed
  }

  /// The time without a connection that carries commands.
  private struct Absence {
    /// When the connection was lost, or first wanted.
    let since: MonotonicTime
    /// When the last try began.
    var triedAt: MonotonicTime
    /// Connections in a row that were lost or not made.
    var failures = 0
  }

  /// What the server is told, and how much of it was answered.
  private struct Greeting {
    let steps: [RedisConnection.GreetingStep]
    var answered = 0
  }

  /// What to do.
  package enum Action: Equatable, Sendable {
    case nothing
    /// Open the transport; `opened` or `failed` follows.
    case connect
    /// Say these over the connection that was made; `greetingAnswered` follows for each.
    case greet([RedisConnection.GreetingStep])
    /// Let commands go over the connection.
    case carry
    /// Give up the connection, or the attempt to make it. What had waited for answers from one that was ready fails.
    case giveUp(RedisError, wasReady: Bool)
  }

  /// What holds in every state.
  private struct Facts {
    /// Whether a connection was lost or could not be made before.
    var hasFailed = false
    /// Until when others who had lost Redis too may not have found it again.
    var othersDue: MonotonicTime?

    /// How long after Redis's return others may need to find it.
    private static let longestReturn = Nanoseconds.seconds(10)

    mutating func returned(after absence: Nanoseconds, at now: MonotonicTime) {
      guard hasFailed else { return }
      // Their tries may each have taken as long as making a connection may.
      let due = now + min(absence + absence, Self.longestReturn)
      // A connection that is lost again at once was not away for long by itself.
      othersDue = max(othersDue ?? due, due)
    }
  }

  private var state: State
  private var facts: Facts

  package init() {
    self.init(.idle, Facts())
  }

  private init(_ state: consuming State, _ facts: Facts) {
    self.state = state
    self.facts = facts
  }

  // MARK: - Where it is

  package var phase: Phase {
    switch state {
    case .idle: .idle
    case .connecting: .connecting
    case .greeting: .greeting
    case .ready: .ready
    case .pausing: .pausing
    case .closed: .closed
    }
  }

  /// Which part of the greeting is answered next.
  package var step: RedisConnection.GreetingStep? {
    switch state {
    case .greeting(_, let greeting): greeting.steps[greeting.answered]
    case .idle: nil
    case .connecting: nil
    case .ready: nil
    case .pausing: nil
    case .closed: nil
    }
  }

  /// Whether Redis was away and others may not have found it again yet.
  package func hasJustReturned(at now: MonotonicTime) -> Bool { facts.othersDue.map { now <= $0 } ?? false }

  /// Whether there has been no connection for so long that commands don't wait for one.
  package func hasLostPatience(at now: MonotonicTime, after patience: Nanoseconds) -> Bool {
    switch state {
    case .connecting(let absence): now - absence.since >= patience
    case .greeting(let absence, _): now - absence.since >= patience
    case .pausing(let absence, _): now - absence.since >= patience
    case .idle: false
    case .ready: false
    case .closed: false
    }
  }

  // MARK: - Coming

  /// Somebody has use for a connection.
  package mutating func wanted(at now: MonotonicTime) -> Action {
    let facts = facts
    switch consume self.state {
    case .idle:
      self = Self(.connecting(Absence(since: now, triedAt: now)), facts)
      return .connect
    case let other: self = Self(other, facts)
    }
    return .nothing
  }

  /// The transport is open.
  ///
  /// - Parameter steps: what the server is to be told first, at least one.
  package mutating func opened(_ steps: [RedisConnection.GreetingStep]) -> Action {
    let facts = facts
    switch consume self.state {
    case .connecting(let absence):
      self = Self(.greeting(absence, Greeting(steps: steps)), facts)
      return .greet(steps)
    case let other: self = Self(other, facts)
    }
    return .nothing
  }

  /// The server has answered the next part of the greeting.
  ///
  /// - Parameter refusal: why it can't be used, if it can't.
  package mutating func greetingAnswered(
    refusal: String?, at now: MonotonicTime, under limits: RedisConnection.Limits,
    using chance: inout some RandomNumberGenerator
  ) -> Action {
    if let refusal, phase == .greeting { return failed(.refused(refusal), at: now, under: limits, using: &chance) }
    var facts = facts
    switch consume self.state {
    case .greeting(let absence, var greeting):
      greeting.answered += 1
      if greeting.answered < greeting.steps.count {
        self = Self(.greeting(absence, greeting), facts)
        return .nothing
      }
      facts.returned(after: now - absence.since, at: now)
      self = Self(.ready, facts)
      return .carry
    case let other: self = Self(other, facts)
    }
    return .nothing
  }

  // MARK: - Going

  /// The connection is lost, is of no use, or can't be made.
  ///
  /// - Parameter chance: makes half of the pause, so that not all replicas come back at the same moment.
  package mutating func failed(
    _ error: RedisError, at now: MonotonicTime, under limits: RedisConnection.Limits,
    using chance: inout some RandomNumberGenerator
  ) -> Action {
    var facts = facts
    switch consume self.state {
    case .connecting(let absence):
      facts.hasFailed = true
      self = Self(Self.paused(absence, at: now, under: limits, using: &chance), facts)
      return .giveUp(error, wasReady: false)
    case .greeting(let absence, _):
      facts.hasFailed = true
      self = Self(Self.paused(absence, at: now, under: limits, using: &chance), facts)
      return .giveUp(error, wasReady: false)
    case .ready:
      facts.hasFailed = true
      let absence = Absence(since: now, triedAt: now)
      self = Self(Self.paused(absence, at: now, under: limits, using: &chance), facts)
      return .giveUp(error, wasReady: true)
    case let other: self = Self(other, facts)
    }
    return .nothing
  }

  private static func paused(
    _ absence: Absence, at now: MonotonicTime, under limits: RedisConnection.Limits,
    using chance: inout some RandomNumberGenerator
  ) -> State {
    var absence = absence
    let doubled = limits.shortestPause.value << Int64(min(absence.failures, 16))
    let half = min(limits.longestPause.value, doubled) / 2
    absence.failures += 1
    let pause = half + Int64.random(in: 0...max(1, half), using: &chance)
    return .pausing(absence, until: now + Nanoseconds(pause))
  }

  /// It is not wanted any more.
  ///
  /// - Returns: false when it was closed before.
  package mutating func closes() -> Bool {
    guard phase != .closed else { return false }
    state = .closed
    return true
  }

  // MARK: - Time

  /// Says what is due at `now`.
  ///
  /// - Parameter answerDue: when the next command's answer must be there.
  package mutating func timePassed(
    at now: MonotonicTime, answerDue: MonotonicTime?, under limits: RedisConnection.Limits,
    using chance: inout some RandomNumberGenerator
  ) -> Action {
    if let error = overdue(at: now, answerDue, limits) {
      return failed(error, at: now, under: limits, using: &chance)
    }
    let facts = facts
    switch consume self.state {
    case .pausing(var absence, let until):
      guard until <= now else {
        self = Self(.pausing(absence, until: until), facts)
        return .nothing
      }
      absence.triedAt = now
      self = Self(.connecting(absence), facts)
      return .connect
    case let other: self = Self(other, facts)
    }
    return .nothing
  }

  /// What the server has not answered in time. The transport has a limit of its own.
  private func overdue(
    at now: MonotonicTime, _ answerDue: MonotonicTime?, _ limits: RedisConnection.Limits
  ) -> RedisError? {
    switch state {
    case .greeting(let absence, _):
      guard now - absence.triedAt >= limits.connect else { return nil }
      return .notConnected(limits.connectName.ending("no answer to the greeting"))
    case .ready: return answerDue.map { $0 <= now } ?? false ? .timedOut : nil
    case .idle: return nil
    case .connecting: return nil
    case .pausing: return nil
    case .closed: return nil
    }
  }
}
