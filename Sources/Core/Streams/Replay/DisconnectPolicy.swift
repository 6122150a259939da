import Bytes
package import Time

/// What becomes of a run that nobody reads any more.
package enum DisconnectPolicy: Equatable, Sendable {
  /// It is stopped at once.
  case cancel
  /// It is stopped when nobody has come back within that time.
  case grace(Nanoseconds)
  /// It goes on to its end, within its limits.
  case `continue`

  package static let defaultGrace = Nanoseconds.seconds(15)

  /// Reads what a client may write: `cancel`, `continue`, `grace`, or `grace=<seconds>` with up to nine digits.
  package init?(parsing text: Span<UInt8>) {
    let text = text.trimmed
    if text.equalsIgnoringASCIICase("cancel") {
      self = .cancel
    } else if text.equalsIgnoringASCIICase("continue") {
      self = .continue
    } else if text.equalsIgnoringASCIICase("grace") {
      self = .grace(Self.defaultGrace)
    } else {
      guard text.count > 6, text.count < 16, text.extracting(first: 6).equalsIgnoringASCIICase("grace="),
        let seconds = text.extracting(droppingFirst: 6).decimalValue
      else { return nil }
      self = .grace(.seconds(seconds))
    }
  }
}

extension DisconnectPolicy: CustomStringConvertible {
  /// As a client writes it.
  package var description: String {
    switch self {
    case .cancel: "cancel"
    case .continue: "continue"
    case .grace(let time): "grace=\(time.value / 1_000_000_000)"
    }
  }
}

/// Counts the readers of a run and says when it must stop for want of them.
package struct Attendance: Sendable {
  package enum Verdict: Equatable, Sendable {
    /// The run goes on; look again then, if a time is given.
    case stay(until: MonotonicTime?)
    case cancel
  }

  package private(set) var readers = 0
  package private(set) var policy: DisconnectPolicy
  /// Since when nobody reads.
  private var deserted: MonotonicTime?

  package init(policy: DisconnectPolicy) {
    self.policy = policy
  }

  /// A reader comes.
  ///
  /// - Parameter wish: the policy that it asks for; the last one that was asked for counts.
  package mutating func came(wishing wish: DisconnectPolicy? = nil) {
    readers += 1
    deserted = nil
    if let wish { self.wish(wish) }
  }

  /// A reader asks for a policy, who may be counted elsewhere.
  package mutating func wish(_ policy: DisconnectPolicy) { self.policy = policy }

  package mutating func left(at now: MonotonicTime) -> Verdict {
    readers = max(0, readers - 1)
    if readers == 0 { deserted = now }
    return verdict(at: now)
  }

  /// Somebody reads it who is not counted here.
  package mutating func wasRead(at now: MonotonicTime) {
    if deserted != nil { deserted = now }
  }

  package func verdict(at now: MonotonicTime) -> Verdict {
    guard let deserted else { return .stay(until: nil) }
    switch policy {
    case .cancel: return .cancel
    case .continue: return .stay(until: nil)
    case .grace(let time):
      let due = deserted + time
      return due <= now ? .cancel : .stay(until: due)
    }
  }
}
