import Bytes
import HTTP
import Streams

/// A route made ready: what each stream of it shares.
package final class Route: Sendable {
  package let settings: RouteSettings
  let classifier: EventClassifier
  /// Indexes into `Settings.upstreams`, in the order of the waterfall.
  let upstreams: [Int]
  let policy: WaterfallPolicy
  let replayLimit = 0
  let candidates: [(upstream: Int, tier: Int, weight: Int)]
  private let path: [UInt8]?
  private let isPrefix: Bool

  init(_ settings: RouteSettings, upstreams: [Int]) {
    self.settings = settings
    self.upstreams = upstreams
    var policy = WaterfallPolicy()
    policy.isTransparent = upstreams.count == 1
    self.policy = policy
    candidates = upstreams.enumerated().map { (upstream: $1, tier: $0, weight: 1) }
    classifier = EventClassifier(
      dialect: settings.stream.dialect, completionNames: settings.stream.completionEvents)
    isPrefix = settings.path?.hasSuffix("*") ?? false
    path = settings.path.map { Array(($0.hasSuffix("*") ? String($0.dropLast()) : $0).utf8) }
  }

  func matches(_ request: borrowing RequestHead) -> Bool {
    if let path {
      let asked = request.path
      guard isPrefix ? asked.hasPrefix(path.span) : asked.equals(path.span) else { return false }
    }
    guard let methods = settings.methods else { return true }
    return methods.contains(request.method.name)
  }
}

/// A configuration made ready, shared by all loops. Never changes; a reload makes another.
package final class Settings: Sendable {
  package let configuration: Configuration
  package let routes: [Route]
  package let upstreams: [UpstreamSettings]

  package init(_ configuration: Configuration) {
    self.configuration = configuration
    upstreams = configuration.upstreams
    let indexes = Dictionary(
      configuration.upstreams.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
    routes = configuration.routes.map { route in Route(route, upstreams: route.upstreams.compactMap { indexes[$0] }) }
  }

  func route(for request: borrowing RequestHead) -> Route? {
    for route in routes where route.matches(request) { return route }
    return nil
  }
}
