import Streams
import Telemetry
import Time

/// The numbers of the routes on one loop, in that loop's shard.
///
/// Confined to its loop's thread.
package final class RouteBooks {
  private let shard: MetricShard
  private let metrics: RouteMetrics
  private var known: [String: RouteNumbers] = [:]
  private var last: RouteNumbers

  /// Stands for requests that no route serves.
  package static let unrouted = "none"

  init(_ metrics: RouteMetrics, shard: MetricShard) {
    self.metrics = metrics
    self.shard = shard
    let none = RouteNumbers(route: Self.unrouted, metrics, shard)
    known[Self.unrouted] = none
    last = none
  }

  /// The numbers of a route; of `unrouted` without a name.
  subscript(_ route: String?) -> RouteNumbers {
    let name = route ?? Self.unrouted
    // Many requests in a row are for the same one.
    if name == last.route { return last }
    if let numbers = known[name] {
      last = numbers
      return numbers
    }
    let numbers = RouteNumbers(route: name, metrics, shard)
    known[name] = numbers
    return numbers
  }

  func answered(_ status: Int, by origin: ResponseOrigin, on route: String?) {
    shard.increment(self[route].responses[origin, StatusLabel(status, by: origin)])
  }

  func passed(_ limit: TimeLimit?, on route: String?) {
    guard let label = limit.flatMap({ LimitLabel($0) }) else { return }
    shard.increment(self[route].limits[label])
  }

  /// A later tier than the first gave the answer.
  func failedOver(on route: String) { shard.increment(self[route].failovers) }

  /// What the streams of each route came to so far.
  ///
  /// - Parameter open: those that are not over.
  package func tallies(open: [String: Int]) -> [String: RouteTally] {
    var tallies: [String: RouteTally] = [:]
    for (name, numbers) in known {
      var tally = RouteTally()
      for outcome in Outcome.allCases { tally.ended(outcome, count: shard.value(numbers.outcomes[outcome])) }
      tally.opened += open[name] ?? 0
      tally.failovers = shard.value(numbers.failovers)
      for label in StatusLabel.allCases {
        let own = shard.value(numbers.responses[.gateway, label])
        tally.refused(label, count: own)
        tally.statuses[label] = own + shard.value(numbers.responses[.upstream, label])
      }
      tally.firstEvents = shard.buckets(of: numbers.firstEvent)
      // Names beyond those that metrics tell apart have their numbers in common.
      if tally != RouteTally() { tallies[shard.name(metrics.outcomes, name)] = tally }
    }
    return tallies
  }

  // MARK: - What is open at this moment

  /// Begins to count what is open; `note` follows for each request, then `show`.
  func beginSurvey() {
    for numbers in known.values { numbers.survey = RouteSurvey() }
  }

  func note(waiting route: String?) { self[route].survey.waiting += 1 }

  func note(openOn route: String, backend: BackendStanding?, queued: Int, at now: MonotonicTime) {
    let numbers = self[route]
    numbers.survey.open += 1
    numbers.survey.queued += queued
    switch backend {
    case .paused: numbers.survey.paused += 1
    case .sent(let lastSign): numbers.survey.silence = max(numbers.survey.silence, (now - lastSign).seconds)
    case nil: break
    }
  }

  func show() {
    for numbers in known.values {
      shard.set(numbers.open, to: Double(numbers.survey.open))
      shard.set(numbers.waiting, to: Double(numbers.survey.waiting))
      shard.set(numbers.paused, to: Double(numbers.survey.paused))
      shard.set(numbers.queued, to: Double(numbers.survey.queued))
      shard.set(numbers.silence, to: numbers.survey.silence)
    }
  }
}

/// What a loop's clients have open on a route.
struct RouteSurvey {
  var open = 0
  var waiting = 0
  var paused = 0
  var queued = 0
  var silence = 0.0
}

/// One route's places in a shard, looked up once.
final class RouteNumbers {
  fileprivate let route: String
  let responses: MetricTable<Counter, ResponseOrigin, StatusLabel>
  let outcomes: MetricRow<Counter, Outcome>
  let limits: MetricRow<Counter, LimitLabel>
  let failovers: Counter
  let open: Gauge
  let waiting: Gauge
  let paused: Gauge
  let queued: Gauge
  let silence: Gauge
  let firstEvent: Histogram
  let duration: Histogram
  fileprivate(set) var survey = RouteSurvey()

  fileprivate init(route: String, _ metrics: RouteMetrics, _ shard: MetricShard) {
    self.route = route
    responses = MetricTable(shard.resolve(metrics.responses, route))
    // What no route serves is refused, or waits until that: it has no streams.
    let isRoute = route != RouteBooks.unrouted
    outcomes = MetricRow(shard.resolve(metrics.outcomes, route, showsUnused: isRoute))
    limits = MetricRow(shard.resolve(metrics.limits, route))
    failovers = shard.resolve(metrics.failovers, route, showsUnused: isRoute)[]
    open = shard.resolve(metrics.open, route, showsUnused: isRoute)[]
    waiting = shard.resolve(metrics.waiting, route)[]
    paused = shard.resolve(metrics.paused, route, showsUnused: isRoute)[]
    queued = shard.resolve(metrics.queued, route, showsUnused: isRoute)[]
    silence = shard.resolve(metrics.silence, route, showsUnused: isRoute)[]
    firstEvent = shard.resolve(metrics.firstEvent, route)[]
    duration = shard.resolve(metrics.duration, route)[]
  }
}
