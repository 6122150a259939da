package import Flags
package import Streams
package import Time

/// A client whose variant chance alone decided, so that the guard may compare it with others.
package struct Cohort: Sendable {
  /// Whether the fraction gave the variant that is being introduced.
  package let isTreated: Bool
  /// A hash of the client's identity.
  package let client: Int
  /// The hash of the flag file that decided.
  package let file: String

  package init(isTreated: Bool, client: Int, file: String = "") {
    self.isTreated = isTreated
    self.client = client
    self.file = file
  }
}

/// Whether the guard judges a stream, and why not.
package enum CohortStanding: Sendable {
  case judged(Cohort)
  /// The allow-list, or another rule of the operator's, decided. `isTreated`: it got the variant that is introduced.
  case ownRule(isTreated: Bool)
  /// The client has nothing that tells it from others: no fraction decided.
  case withoutIdentity
  /// The client does not understand `stream_end`: the variant makes no difference that is meant here.
  case notCapable
  /// The flag has no rule, or is switched off, or the guard has taken the variant back.
  case noFraction

  package var cohort: Cohort? {
    if case .judged(let cohort) = self { return cohort }
    return nil
  }
}

extension Outcome {
  /// The operator, the gateway or another client ended the stream: that says nothing of the variant, in either arm.
  package var isCensored: Bool {
    switch self {
    case .draining, .cancelled, .replacedByNewStream: true
    default: false
    }
  }
}

/// What one worker has counted for the guard since a flag file came into force there.
///
/// Streams that another file decided are not judged: how they end says nothing of this one, and a phase must not begin
/// with the faults of the phase before it.
package struct CohortCounts: Sendable {
  /// The hash of that file.
  package let file: String
  package private(set) var treated = GuardArm()
  package private(set) var control = GuardArm()
  private var unjudged = [Int](repeating: 0, count: Unjudged.words.count)
  /// Streams of the allow-list that completed with the variant that is being introduced.
  package private(set) var internalCompleted = 0

  /// Why a stream is not judged; the words of reports.
  private enum Unjudged: Int {
    case censored, ownRule, withoutIdentity, notCapable, noFraction, otherFile
    static let words = ["censored", "own_rule", "no_identity", "not_capable", "no_fraction", "other_file"]
  }

  package init(file: String = "") {
    self.file = file
  }

  /// Streams that are not judged, by why.
  package var outside: [String: Int] {
    var counts: [String: Int] = [:]
    for (word, count) in zip(Unjudged.words, unjudged) where count > 0 { counts[word] = count }
    return counts
  }

  private mutating func count(_ reason: Unjudged) { unjudged[reason.rawValue] += 1 }

  package mutating func observe(_ metric: GuardMetric, _ value: Double, of cohort: Cohort) {
    guard cohort.file == file else { return }
    if cohort.isTreated {
      treated.observe(metric, value, client: cohort.client)
    } else {
      control.observe(metric, value, client: cohort.client)
    }
  }

  /// A stream that was counted before turns out to have been followed by another try.
  package mutating func countRetry(of cohort: Cohort) {
    guard cohort.file == file else { return }
    if cohort.isTreated {
      treated.addToNumerator(of: .retries, client: cohort.client)
    } else {
      control.addToNumerator(of: .retries, client: cohort.client)
    }
  }

  /// A stream is over.
  ///
  /// - Parameter isCensored: whether the gateway or an operator brought its end about.
  package mutating func closed(_ standing: CohortStanding, _ outcome: Outcome, isCensored: Bool = false) {
    switch standing {
    case .judged(let cohort):
      guard cohort.file == file else { return count(.otherFile) }
      guard !isCensored, !outcome.isCensored else { return count(.censored) }
      observe(.truncation, outcome.isTruncation ? 1 : 0, of: cohort)
      observe(.clientAborts, outcome == .clientGone ? 1 : 0, of: cohort)
      observe(.retries, 0, of: cohort)
    case .ownRule(let isTreated):
      count(.ownRule)
      if isTreated, outcome == .completed { internalCompleted += 1 }
    case .withoutIdentity: count(.withoutIdentity)
    case .notCapable: count(.notCapable)
    case .noFraction: count(.noFraction)
    }
  }

  /// Adds what other gateways have counted.
  package mutating func add(_ others: GuardArms) {
    treated.add(others.treated)
    control.add(others.control)
  }

  package mutating func add(_ other: CohortCounts) {
    treated.add(other.treated)
    control.add(other.control)
    for place in unjudged.indices { unjudged[place] += other.unjudged[place] }
    internalCompleted += other.internalCompleted
  }
}

/// A judged client came to a route, or left it badly. Only a hash is kept, and not for long.
package struct Sighting: Sendable {
  /// A hash of the client and the route.
  package let key: Int
  package let at: MonotonicTime
  /// `nil`: it came.
  package let left: Cohort?

  package init(key: Int, at: MonotonicTime, left: Cohort?) {
    self.key = key
    self.at = at
    self.left = left
  }
}

/// Finds clients that came back to the same route soon after a stream that ended badly or that they left early, on
/// whichever worker. A client's next question after a good end is no retry.
package struct RetryFinder {
  /// A client that is back within this time probably missed something.
  static let limit = Nanoseconds.seconds(5)
  private var ends: [Int: (at: MonotonicTime, cohort: Cohort)] = [:]

  package init() {}

  /// Takes the sightings of all workers since the last call.
  package mutating func take(_ sightings: [Sighting], into counts: inout CohortCounts) {
    for sighting in sightings.sorted(by: { $0.at < $1.at }) {
      if let cohort = sighting.left {
        ends[sighting.key] = (sighting.at, cohort)
      } else if let end = ends.removeValue(forKey: sighting.key), sighting.at - end.at <= Self.limit {
        counts.countRetry(of: end.cohort)
      }
    }
    guard let newest = sightings.map(\.at).max() else { return }
    ends = ends.filter { newest - $0.value.at <= Self.limit }
  }
}
