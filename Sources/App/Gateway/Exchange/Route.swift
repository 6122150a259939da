import Bytes
package import Configuration
package import HTTP
package import Streams
import Time
import Tracing

/// One upstream that a route may ask.
package struct RouteCandidate: Sendable, Equatable {
  /// Index into ``Settings/upstreams``.
  package let upstream: Int
  /// Lower ones are tried first.
  package let tier: Int
  /// Its share within the tier.
  package let weight: Int
  package let timeouts: AttemptTimeouts
}

/// A route made ready: what each request that it serves shares.
package final class Route: Sendable {
  package let settings: RouteSettings
  /// Its index in ``Settings/routes``.
  let place: Int
  package let candidates: [RouteCandidate]
  /// The candidates' indexes.
  let fileOrder: [Int]
  let classifier: EventClassifier
  /// The request header that says whether a client understands `stream_end`, lower case.
  let capabilityHeader: String?

  package var policy: WaterfallPolicy { settings.waterfall }
  package var cors: CORSPolicy? { settings.cors }
  /// Bytes of a request's body that are kept for another attempt. Where there can be none, none are.
  var replayLimit: Int { policy.isTransparent ? 0 : settings.replayLimit }

  init(_ settings: RouteSettings, at place: Int, candidates: [RouteCandidate], capabilityHeader: String?) {
    self.settings = settings
    self.place = place
    self.candidates = candidates
    self.capabilityHeader = settings.capabilityHeader ?? capabilityHeader
    fileOrder = Array(candidates.indices)
    classifier = EventClassifier(
      dialect: settings.stream.dialect, completionNames: settings.stream.completionEvents)
  }

  /// What the parts of the path stand for; `nil` when `request` is not for this route.
  package func match(_ request: borrowing RequestHead) -> PathCaptures? {
    guard settings.methods?.contains(request.method) ?? true, let captures = matchPath(request) else { return nil }
    for condition in settings.conditions where !condition.holds(for: request.fields) { return nil }
    return captures
  }

  /// The same for a question whether a page may make a request that this route would serve. Such a question does not
  /// have the fields of that request.
  func matchPreflight(_ request: borrowing RequestHead) -> PathCaptures? {
    if let methods = settings.methods {
      guard let method = CORSPolicy.methodAskedFor(by: request), methods.contains(method) else { return nil }
    }
    return matchPath(request)
  }

  private func matchPath(_ request: borrowing RequestHead) -> PathCaptures? {
    guard let path = settings.path else { return PathCaptures() }
    return path.match(request.path)
  }

  /// - Parameter candidate: its index.
  func timeouts(of candidate: Int) -> AttemptTimeouts {
    candidate < candidates.count ? candidates[candidate].timeouts : policy.timeouts
  }
}

/// The route that serves a request.
package struct RouteMatch: Sendable {
  package let route: Route
  package let captures: PathCaptures
  /// The fields of a 204 that answers the request in the backend's place: it only asks what a page may do.
  package let preflight: Fields?
}

/// A configuration made ready, shared by all loops. Never changes; a reload makes another.
package final class Settings: Sendable {
  package let configuration: Configuration
  package let routes: [Route]
  package let upstreams: [UpstreamSettings]
  /// Whether any route keeps runs.
  let hasRuns: Bool
  /// Who may use the runs' own paths where no run says it, in the order of the routes.
  private let runPolicies: [CORSPolicy]
  /// What the log may not say of paths.
  let redactions: PathRedactions
  /// The longest wait for a client's end; the largest of the routes'.
  let linger: Nanoseconds
  /// Where it listens, in the order of ``Configuration/places``: apart from the configuration, which would be copied for
  /// each connection.
  let listeners: [ListenerSettings]

  /// Where the spans of requests go; `nil` where there is no collector.
  let spans: SpanSink?

  package convenience init(_ configuration: Configuration) { self.init(configuration, spans: nil) }

  init(_ configuration: Configuration, spans: SpanSink?) {
    self.spans = spans
    linger = configuration.routes.map(\.stream.watchdogs.linger).max() ?? .seconds(5)
    self.configuration = configuration
    listeners = configuration.places
    redactions = PathRedactions(configuration.log.redact, in: configuration.paths)
    upstreams = configuration.upstreams
    hasRuns = configuration.routes.contains { $0.runs != nil }
    runPolicies = Self.runPolicies(configuration)
    let indexes = Dictionary(
      configuration.upstreams.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
    routes = configuration.routes.enumerated().map { place, route in
      let candidates = route.upstreams.compactMap { member in
        indexes[member.name].map { index in
          let upstream = configuration.upstreams[index]
          return RouteCandidate(
            upstream: index, tier: member.tier, weight: member.weight ?? upstream.weight,
            timeouts: upstream.timeouts.resolved(over: route.waterfall.timeouts))
        }
      }
      return Route(route, at: place, candidates: candidates, capabilityHeader: configuration.capability.header)
    }
  }

  private static func runPolicies(_ configuration: Configuration) -> [CORSPolicy] {
    if let own = configuration.runs.cors { return [own] }
    if configuration.runs.ignoresRoutesCORS { return [] }
    return configuration.routes.compactMap { $0.runs == nil ? nil : $0.cors?.grantingAllMethods }
  }

  /// What holds for a request to one of the runs' own paths: `nil` when pages of other origins are nobody's concern.
  func runPolicy(for request: borrowing RequestHead) -> CORSPolicy? {
    for policy in runPolicies where policy.allows(request) { return policy }
    return runPolicies.first
  }

  /// The same when the run is known, and so its route.
  func runPolicy(of route: Route) -> CORSPolicy? {
    configuration.runs.cors ?? (configuration.runs.ignoresRoutesCORS ? nil : route.cors)
  }

  func route(for request: borrowing RequestHead) -> Route? { match(request)?.route }

  /// The first route that serves `request`. A preflight goes where the request would go that it asks for.
  package func match(_ request: borrowing RequestHead) -> RouteMatch? {
    let isPreflight = CORSPolicy.isPreflight(request)
    for route in routes {
      if isPreflight, let cors = route.cors, let captures = route.matchPreflight(request) {
        return RouteMatch(route: route, captures: captures, preflight: cors.preflight(request))
      }
      if let captures = route.match(request) { return RouteMatch(route: route, captures: captures, preflight: nil) }
    }
    return nil
  }
}
