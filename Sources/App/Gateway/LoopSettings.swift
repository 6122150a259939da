import Configuration
import Streams
import Time

/// A configuration as one loop uses it. A request holds the one that it began with, and takes all that it needs from
/// there to its end, whatever is reloaded meanwhile.
package final class LoopSettings {
  package let shared: Settings
  /// One for each of the configuration's upstreams, in their order.
  package let pools: [UpstreamPool]
  /// Of each route's candidates, in the order of the routes.
  private let poolsByRoute: [[UpstreamPool]]

  /// - Parameters:
  ///   - kept: pools of earlier settings; those whose upstream has not changed are used further.
  ///   - make: makes a pool for an upstream that has none.
  init(_ shared: Settings, keeping kept: [UpstreamPool], make: (UpstreamSettings) -> UpstreamPool) {
    self.shared = shared
    let named = Dictionary(kept.map { ($0.settings.name, $0) }, uniquingKeysWith: { first, _ in first })
    let pools = shared.upstreams.map { upstream in
      if let pool = named[upstream.name], pool.settings.isSameBackend(as: upstream) { return pool }
      return make(upstream)
    }
    self.pools = pools
    poolsByRoute = shared.routes.map { route in route.candidates.map { pools[$0.upstream] } }
  }

  /// Of a loop that has no pools yet.
  init(withoutPools shared: Settings) {
    self.shared = shared
    pools = []
    poolsByRoute = []
  }

  var configuration: Configuration { shared.configuration }

  /// The pools of the route's candidates, in their order. A route of another configuration has none here.
  package func pools(of route: Route) -> [UpstreamPool] {
    let place = route.place
    guard place < poolsByRoute.count, shared.routes[place] === route else { return [] }
    return poolsByRoute[place]
  }

  /// The route's candidates in the order in which they are tried now.
  ///
  /// - Parameter pools: what `pools(of:)` gives for it.
  func order(of route: Route, among pools: [UpstreamPool], at now: MonotonicTime) -> [Int] {
    guard pools.count > 1 else { return route.fileOrder }
    let candidates = zip(route.candidates, pools).enumerated().map { index, member in
      let (candidate, pool) = member
      return UpstreamOrder.Candidate(
        upstream: index, tier: candidate.tier, weight: candidate.weight, busy: pool.busy,
        health: pool.health.state(at: now))
    }
    return UpstreamOrder.choose(candidates, random: UInt64.random(in: .min ... .max))
  }
}
