import Flags
import Streams
import Time

/// Which variant the flag gave a client: the guard compares the two, whatever mode came of it.
enum Cohort: Sendable {
  /// The new closing, or shield.
  case on
  /// Legacy.
  case off

  init(_ variant: Mode) {
    self = variant == .legacy ? .off : .on
  }
}

/// What one worker has counted for the guard; sums since it began.
struct CohortCounts: Sendable {
  private(set) var on = GuardArm()
  private(set) var off = GuardArm()

  mutating func count(_ cohort: Cohort, _ change: (inout GuardArm) -> Void) {
    switch cohort {
    case .on: change(&on)
    case .off: change(&off)
    }
  }

  mutating func add(_ other: CohortCounts) {
    on.add(other.on)
    off.add(other.off)
  }
}

/// A client with a known identity came or went. Only a hash of the identity is kept, and not for long.
struct Sighting: Sendable {
  let key: Int
  let at: MonotonicTime
  /// `nil`: it came.
  let left: Cohort?
}

/// Finds clients that came back soon after their stream had ended, on whichever worker.
struct ReconnectFinder {
  /// A client that is back within this time probably missed something.
  static let limit = Nanoseconds.seconds(5)
  private var ends: [Int: (at: MonotonicTime, cohort: Cohort)] = [:]

  /// Takes the sightings of all workers since the last call.
  mutating func take(_ sightings: [Sighting], into counts: inout CohortCounts) {
    for sighting in sightings.sorted(by: { $0.at < $1.at }) {
      if let cohort = sighting.left {
        ends[sighting.key] = (sighting.at, cohort)
      } else if let end = ends.removeValue(forKey: sighting.key), sighting.at - end.at <= Self.limit {
        counts.count(end.cohort) { $0.reconnected += 1 }
      }
    }
    guard let newest = sightings.map(\.at).max() else { return }
    ends = ends.filter { newest - $0.value.at <= Self.limit }
  }
}
