package import Streams
package import Time

/// Decides for a run whether it has a stream, and whether it goes on when nobody reads it here.
///
/// Knows no loop, no log and no reader: it is told of them, and says what to do.
package struct RunMachine: ~Copyable {
  private enum State: ~Copyable {
    /// There is no stream yet. → open, ended, gone
    case opening
    /// The source may send. With `isCatchingUp`, what the run's owner holds is still on its way. → ended, gone
    case open(isCatchingUp: Bool)
    /// The end record is in the log, which can be read until its time is over. → nothing
    case ended(at: MonotonicTime)
    /// There never was a stream, or the run was forgotten before its end. → ended
    case gone
  }

  /// The state without its payload.
  package enum Phase: Sendable {
    case opening
    case open
    /// The source has nothing to say any more.
    case over
  }

  /// What other replicas say of readers that they have. Each answer counts for a while.
  private enum Elsewhere {
    /// Nobody was asked, or there were none.
    case unread
    /// → unread, read
    case asking(wasRead: Bool)
    /// Not worth asking again until then. → asking
    case read(until: MonotonicTime)
  }

  /// What to do.
  package enum Action: Equatable, Sendable {
    case nothing
    /// Look at the clocks at the next tick.
    case wakeUp
    /// Forget the run.
    case vanish
    /// Ask other replicas whether somebody reads it there; `replicasAnswered` follows, or `nobodyCanBeAsked`.
    case askReplicas
    /// Tell those who wait that there will be no stream.
    case fail
    /// End the stream for this reason.
    case end(EndReason)
  }

  /// What holds in every state.
  private struct Facts {
    let isOwner: Bool
    var attendance: Attendance
    var elsewhere = Elsewhere.unread

    init(policy: DisconnectPolicy, isOwner: Bool) {
      self.isOwner = isOwner
      // A copy goes with its last reader, whatever becomes of the run.
      attendance = Attendance(policy: isOwner ? policy : .cancel)
    }
  }

  private var state: State
  private var facts: Facts

  /// - Parameters:
  ///   - policy: what becomes of the run when nobody reads it.
  ///   - isOwner: whether the run is this gateway's, and no copy.
  package init(policy: DisconnectPolicy, isOwner: Bool) {
    self.init(.opening, Facts(policy: policy, isOwner: isOwner))
  }

  private init(_ state: consuming State, _ facts: Facts) {
    self.state = state
    self.facts = facts
  }

  // MARK: - Where it is

  package var phase: Phase {
    switch state {
    case .opening: .opening
    case .open: .open
    case .ended: .over
    case .gone: .over
    }
  }

  package var isCatchingUp: Bool {
    switch state {
    case .open(let isCatchingUp): isCatchingUp
    case .opening: false
    case .ended: false
    case .gone: false
    }
  }

  /// When the end record came; `nil` when there is none.
  package var endedAt: MonotonicTime? {
    switch state {
    case .ended(let time): time
    case .opening: nil
    case .open: nil
    case .gone: nil
    }
  }

  /// Those who read it here, copies on other loops included.
  package var readers: Int { facts.attendance.readers }

  // MARK: - The stream

  /// There is a stream, or it is to be opened without waiting further.
  ///
  /// - Returns: false when it is of no use: the run has one, or is over.
  package mutating func opens(isCatchingUp: Bool) -> Bool {
    let facts = facts
    switch consume self.state {
    case .opening:
      self = Self(.open(isCatchingUp: isCatchingUp), facts)
      return true
    case let other: self = Self(other, facts)
    }
    return false
  }

  /// More of what the run's owner holds came.
  ///
  /// - Returns: false when it is of no use.
  package mutating func takes(isCatchingUp: Bool) -> Bool {
    let facts = facts
    switch consume self.state {
    case .open:
      self = Self(.open(isCatchingUp: isCatchingUp), facts)
      return true
    case let other: self = Self(other, facts)
    }
    return false
  }

  /// The end came. The first one counts.
  package mutating func ends(at now: MonotonicTime) {
    let facts = facts
    switch consume self.state {
    case .ended(let time): self = Self(.ended(at: time), facts)
    // Also of a run that was given up because its last reader left when it was told of this end.
    case _: self = Self(.ended(at: now), facts)
    }
  }

  /// There is no stream and will be none, or the run is to be forgotten. Of one that has ended, the end stays.
  ///
  /// - Returns: where it was.
  package mutating func givenUp() -> Phase {
    let before = phase
    let facts = facts
    switch consume self.state {
    case .opening: self = Self(.gone, facts)
    case .open: self = Self(.gone, facts)
    case let other: self = Self(other, facts)
    }
    return before
  }

  /// The one who asked for the run has left in the middle of its request.
  package func openerLeft() -> Action {
    switch phase {
    case .opening: .fail
    case .open, .over: .end(.requestCutShort)
    }
  }

  // MARK: - Readers

  package mutating func readerCame() { facts.attendance.came() }

  package mutating func readerLeft(at now: MonotonicTime) { _ = facts.attendance.left(at: now) }

  /// A reader, here or elsewhere, says what is to become of the run when nobody reads it. The last one that does counts.
  package mutating func wished(_ policy: DisconnectPolicy) { facts.attendance.wish(policy) }

  /// Says whether it goes on: it is read, or is to go on unread and there is room for one more such run.
  ///
  /// - Parameter takesPlace: takes a place among the runs that nobody reads.
  package mutating func checkAttendance(at now: MonotonicTime, takesPlace: () -> Bool) -> Action {
    if goesOn(at: now, takesPlace) { return .wakeUp }
    guard facts.isOwner else { return .vanish }
    guard phase != .over else { return .nothing }
    switch facts.elsewhere {
    case .asking: return .nothing
    case .read(let until):
      if now < until { return .nothing }
      facts.elsewhere = .asking(wasRead: true)
    case .unread: facts.elsewhere = .asking(wasRead: false)
    }
    return .askReplicas
  }

  /// No other replica can have readers.
  package mutating func nobodyCanBeAsked() -> Action {
    if case .asking(let wasRead) = facts.elsewhere {
      facts.elsewhere = wasRead ? .read(until: MonotonicTime(nanoseconds: 0)) : .unread
    }
    return leave()
  }

  /// Other replicas have said whether somebody reads the run there, or may do so.
  ///
  /// - Parameter wish: what the last reader that said so wants to become of it, wherever it reads.
  package mutating func replicasAnswered(
    isRead: Bool, wish: DisconnectPolicy?, at now: MonotonicTime, takesPlace: () -> Bool
  ) -> Action {
    guard case .asking(let wasRead) = facts.elsewhere else { return .nothing }
    if let wish { facts.attendance.wish(wish) }
    // A time of grace begins when the last of them leaves, which may have been just now.
    if isRead || wasRead { facts.attendance.wasRead(at: now) }
    guard isRead else {
      facts.elsewhere = .unread
      // Somebody may have come meanwhile.
      return goesOn(at: now, takesPlace) ? .nothing : leave()
    }
    facts.elsewhere = .read(until: now + .seconds(1))
    return .wakeUp
  }

  private func goesOn(at now: MonotonicTime, _ takesPlace: () -> Bool) -> Bool {
    if case .cancel = facts.attendance.verdict(at: now) { return false }
    if facts.attendance.readers > 0 || phase == .over { return true }
    return facts.isOwner ? takesPlace() : true
  }

  /// Nobody reads it anywhere.
  private func leave() -> Action {
    switch phase {
    case .opening: .fail
    case .open: .end(.lastReaderLeft)
    case .over: .nothing
    }
  }

  /// When to look at the clocks again; `nil`: for nothing that is known here.
  package func nextWakeUp(at now: MonotonicTime) -> MonotonicTime? {
    switch facts.attendance.verdict(at: now) {
    case .stay(let until): return until
    // Read on another replica, which is looked into again.
    case .cancel:
      let soon = now + .milliseconds(250)
      if case .read(let until) = facts.elsewhere { return max(until, soon) }
      return soon
    }
  }
}
