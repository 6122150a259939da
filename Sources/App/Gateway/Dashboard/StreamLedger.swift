import SSE
import Streams
import Time

/// What one route's streams came to on one loop since the start.
package struct RouteTally: Sendable, Equatable {
  /// Upper bounds of the buckets, in milliseconds; one more bucket has what took longer.
  package static let bounds: [Double] = [
    50, 100, 250, 500, 1000, 2000, 3000, 5000, 7500, 10_000, 15_000, 20_000, 30_000, 45_000, 60_000, 120_000,
  ]

  package var opened = 0
  /// Streams that are over and say something about the route: not those that somebody stopped or a client left.
  package var judged = 0
  package var bad = 0
  /// How many first events came within each of `bounds`, each counted once.
  package var firstEvents = [Int](repeating: 0, count: bounds.count + 1)

  package init() {}

  package mutating func firstEventCame(after milliseconds: Double) {
    firstEvents[Self.bounds.firstIndex { milliseconds <= $0 } ?? Self.bounds.count] += 1
  }

  package mutating func add(_ other: RouteTally) {
    opened += other.opened
    judged += other.judged
    bad += other.bad
    for index in firstEvents.indices { firstEvents[index] += other.firstEvents[index] }
  }

  /// What came since `earlier`, an older state of the same sums.
  package func since(_ earlier: RouteTally) -> RouteTally {
    var rest = self
    rest.opened -= earlier.opened
    rest.judged -= earlier.judged
    rest.bad -= earlier.bad
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

/// An event stream that ended badly.
struct BadEnd: Sendable {
  /// Its place among those of its loop.
  let number: Int
  let at: WallTime
  let stream: String
  let route: String
  let mode: String
  let outcome: String
  let reason: String
  let trace: String?
  let request: String
  let upstream: String
  let events: UInt64
  let bytes: UInt64
  let milliseconds: Double
  let worker: Int
}

/// What the dashboard shows of streams that are over, of one loop: sums by route, and the last that ended badly.
///
/// Bounded: by the routes of the configurations so far, and by `limit` ends.
final class StreamLedger {
  /// Bad ends that are remembered.
  static let limit = 200
  /// Routes that are told apart; reloads may bring new names without end.
  private static let routeLimit = 500

  private(set) var routes: [String: RouteTally] = [:]
  /// A ring: the oldest makes room for the newest.
  private var ends: [BadEnd] = []
  private var endCount = 0
  private let worker: Int

  init(worker: Int) {
    self.worker = worker
  }

  private func change(_ route: String, _ body: (inout RouteTally) -> Void) {
    guard let place = routes.index(forKey: route) else {
      guard routes.count < Self.routeLimit else { return }
      return body(&routes[route, default: RouteTally()])
    }
    body(&routes.values[place])
  }

  func opened(_ stream: ClientDelivery) { change(stream.route) { $0.opened += 1 } }

  func firstEventCame(_ stream: ClientDelivery, after milliseconds: Double) {
    change(stream.route) { $0.firstEventCame(after: milliseconds) }
  }

  func closed(_ stream: ClientDelivery, outcome: Outcome, reason: String, after milliseconds: Double, at now: WallTime)
  {
    guard outcome.isJudged else { return }
    change(stream.route) { tally in
      tally.judged += 1
      if outcome.isBad { tally.bad += 1 }
    }
    guard outcome.isBad else { return }
    let place = endCount % Self.limit
    endCount += 1
    let end = BadEnd(
      number: endCount, at: now, stream: stream.id.description, route: stream.route, mode: stream.mode.rawValue,
      outcome: outcome.rawValue, reason: reason.utf8.count <= 200 ? reason : String(reason.prefix(200)),
      trace: stream.trace,
      request: stream.record?.id ?? "", upstream: stream.record?.upstream ?? "", events: stream.events,
      bytes: stream.bodyBytes, milliseconds: milliseconds, worker: worker)
    if place < ends.count { ends[place] = end } else { ends.append(end) }
  }

  /// The bad ends that came after the one of that number, the oldest first.
  func ends(after number: Int) -> [BadEnd] {
    ends.filter { $0.number > number }.sorted { $0.number < $1.number }
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
