import Bytes
import Configuration
import Gateway
import Loop
import Streams
import Telemetry

extension Worker {
  func routeStandings() -> RouteStandings {
    let now = context.loop.readClock()
    var standings = RouteStandings()
    for route in settings.shared.routes {
      let pools = settings.pools(of: route)
      guard !pools.isEmpty else { continue }
      standings.available[route.settings.name] = pools.count { $0.health.state(at: now).isAvailable }
    }
    return standings
  }
}

extension ControlRoom {
  func appendRouteSeries(to out: inout ByteBuffer) {
    let all = RouteStandings.folded(standings.values).available.sorted { $0.key < $1.key }
    var samples = all.prefix(openLabelValueLimit).map { (labels: [("route", $0.key)], value: Double($0.value)) }
    // As with the other series of routes, the rest has one in common: that of the route that is worst off.
    if let worst = all.dropFirst(openLabelValueLimit).map(\.value).min() {
      samples.append(([("route", "other")], Double(worst)))
    }
    PrometheusText.write(
      "fermata_route_upstreams_available", "gauge", "Upstreams of the route that may be asked now.", samples, to: &out)
  }
}
