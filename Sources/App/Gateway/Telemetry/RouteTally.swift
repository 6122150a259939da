import SSE
import Streams

/// What one route's streams came to on one loop since the start, as its metrics have it.
package struct RouteTally: Sendable, Equatable {
  /// Upper bounds of the buckets, in milliseconds; one more bucket has what took longer.
  package static let bounds: [Double] = [
    50, 100, 250, 500, 1000, 2000, 3000, 5000, 7500, 10_000, 15_000, 20_000, 30_000, 45_000, 60_000, 120_000,
  ]

  package var opened = 0
  /// Streams that are over and say something about the route: not those that somebody stopped or a client left.
  package var judged = 0
  package var bad = 0
  /// Requests that a later tier than the first answered.
  package var failovers = 0
  /// Of all answers, whoever gave them.
  package var statuses = StatusCounts()
  /// How many first events came within each of `bounds`, each counted once.
  package var firstEvents = [Int](repeating: 0, count: bounds.count + 1)

  package init() {}

  /// So many streams ended like that.
  mutating func ended(_ outcome: Outcome, count: Int) {
    opened += count
    if outcome.isJudged { judged += count }
    if outcome.isBad { bad += count }
  }

  /// So many requests had this answer of the gateway's own.
  mutating func refused(_ status: StatusLabel, count: Int) {
    // They have no stream, and are as bad for their clients as one that ends badly.
    guard [.badGateway, .unavailable, .gatewayTimeout].contains(status) else { return }
    judged += count
    bad += count
  }

  package mutating func add(_ other: RouteTally) {
    opened += other.opened
    judged += other.judged
    bad += other.bad
    failovers += other.failovers
    statuses.add(other.statuses)
    for index in firstEvents.indices { firstEvents[index] += other.firstEvents[index] }
  }

  /// What came since `earlier`, an older state of the same sums.
  package func since(_ earlier: RouteTally) -> RouteTally {
    var rest = self
    rest.opened -= earlier.opened
    rest.judged -= earlier.judged
    rest.bad -= earlier.bad
    rest.failovers -= earlier.failovers
    rest.statuses = statuses.since(earlier.statuses)
    for index in firstEvents.indices { rest.firstEvents[index] -= earlier.firstEvents[index] }
    return rest
  }

  /// The time within which 95 of 100 first events came, in milliseconds, by interpolation in its bucket as Prometheus
  /// does; `nil` when none came. At most the largest bound.
  package var firstEventP95: Double? {
    let count = firstEvents.reduce(0, +)
    guard count > 0 else { return nil }
    let rank = 0.95 * Double(count)
    var below = 0
    for (index, bound) in Self.bounds.enumerated() {
      let own = firstEvents[index]
      if own > 0, Double(below + own) >= rank {
        let start = index == 0 ? 0 : Self.bounds[index - 1]
        return start + (bound - start) * (rank - Double(below)) / Double(own)
      }
      below += own
    }
    return Self.bounds.last
  }
}

extension Outcome {
  /// Whether it says something about the backend or the gateway: what clients and operators do, does not.
  var isJudged: Bool {
    switch self {
    case .clientGone, .cancelled, .replacedByNewStream, .draining: false
    default: true
    }
  }

  /// Whether the service level counts it as a failure.
  var isBad: Bool {
    switch self {
    case .incomplete, .upstreamError, .upstreamTruncated, .firstTokenTimeout, .idleTimeout, .runTooLarge,
      .eventTooLarge, .gatewayError:
      true
    case .completed, .cancelled, .replacedByNewStream, .clientGone, .clientStalled, .draining: false
    }
  }
}
