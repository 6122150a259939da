/// How many backends of each route may be asked, by the route's name. Routes without backends are not in it.
struct RouteStandings: Sendable {
  var available: [String: Int] = [:]

  /// What the worker that knows the most good of a route says: one that may ask a backend is enough, for the others
  /// learn from it in a moment.
  static func folded(_ workers: some Sequence<RouteStandings>) -> RouteStandings {
    workers.reduce(into: RouteStandings()) { $0.available.merge($1.available, uniquingKeysWith: max) }
  }

  /// The routes none of whose backends may be asked now.
  var out: [String] { available.filter { $0.value == 0 }.keys.sorted() }
}
