package import Gateway
import JSON
package import Time

/// A moment of the gateway, as the dashboard draws it.
package struct DashboardPoint: Sendable {
  package let at: WallTime
  package let open: Int
  package let waiting: Int
  /// Of the last minute, in milliseconds; `nil` when no first event came.
  package let firstEventP95: Double?
  /// Streams that ended badly in the last minute.
  package let bad: Int

  var json: JSONValue {
    [
      JSONValue(Int(clamping: at.milliseconds)), JSONValue(open), JSONValue(waiting),
      firstEventP95.map { .number($0.rounded()) } ?? .null, JSONValue(bad),
    ]
  }
}

/// The last quarter of an hour, a point a second, so that a page that is opened in an incident shows how it began.
package struct DashboardHistory {
  package static let limit = 900
  /// What the numbers of routes are about, in seconds.
  static let window = 300
  private static let minute = 60
  private static let step = 5

  package private(set) var points: [DashboardPoint] = []
  package private(set) var pointCount = 0
  // What was counted before the first point came within the window too.
  private var totals = [RouteTally()]
  private var routes: [[String: RouteTally]] = [[:]]

  package init() {}

  package mutating func add(_ sums: [String: RouteTally], open: Int, waiting: Int, at now: WallTime) {
    var total = RouteTally()
    for tally in sums.values { total.add(tally) }
    totals.append(total)
    if totals.count > Self.minute + 1 { totals.removeFirst() }
    pointCount += 1
    if pointCount.isMultiple(of: Self.step) {
      routes.append(sums)
      if routes.count > Self.window / Self.step + 1 { routes.removeFirst() }
    }
    let recent = total.since(totals[0])
    points.append(
      DashboardPoint(at: now, open: open, waiting: waiting, firstEventP95: recent.firstEventP95, bad: recent.bad))
    if points.count > Self.limit { points.removeFirst() }
  }

  /// The points from the one of that number on, as far as they are kept.
  package func points(from number: Int) -> ArraySlice<DashboardPoint> { points.suffix(max(0, pointCount - number)) }

  /// What a route's streams came to in the window.
  package func recent(_ route: String, _ sum: RouteTally) -> RouteTally {
    sum.since(routes[0][route] ?? RouteTally())
  }
}
