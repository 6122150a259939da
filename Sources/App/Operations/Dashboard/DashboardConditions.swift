import Configuration
import Files
import FlagControl
import Flags
import Gateway
import JSON
import Loop
import Processes
import Runs
import Time

/// What an operator should look at, in sentences, each with the section that shows it. The limits are those of the
/// alerts.
extension ControlRoom {
  func conditions(_ views: [WorkerView], _ backends: [JSONValue]) -> [JSONValue] {
    var found = processConditions(views)
    for (name, sum) in dashboardSums.sorted(by: { $0.key < $1.key }) {
      found += Self.conditions(of: name, dashboard.history.recent(name, sum))
    }
    for route in RouteStandings.folded(views.map(\.standings)).out {
      found.append(("Route \(route): none of its backends is well.", "backends"))
    }
    for backend in backends where backend["state"]?.string != "available" {
      let name = backend["name"]?.string ?? ""
      found.append(
        ("Backend \(name) is not asked by \(backend["out"]?.integer ?? 0) of \(views.count) workers.", "backends"))
    }
    for (name, statuses) in dashboard.backends.recent {
      guard let text = Self.refusals(in: statuses) else { continue }
      found.append(("Backend \(name) \(text).", "backends"))
    }
    return (found + standingFaults).map { ["text": .string($0.text), "place": .string($0.place)] }
  }

  private func processConditions(_ views: [WorkerView]) -> [(text: String, place: String)] {
    var found: [(text: String, place: String)] = []
    for worker in gateway.silentWorkers(for: Self.readinessLimit) {
      found.append(
        ("Worker \(worker.index) has been silent for \(Int(worker.age.seconds)) s: its clients hang.", "state"))
    }
    if views.count < gateway.workers.count {
      found.append(("\(gateway.workers.count - views.count) worker(s) did not answer in time.", "state"))
    }
    if gateway.isDraining { found.append(("The gateway is draining: it ends when its streams have.", "state")) }
    let limit = Host.descriptorLimit
    if let open = OwnProcess.descriptors, open * 5 > limit * 4 {
      found.append(("\(open) of \(limit) descriptors are open: clients will be refused.", "state"))
    }
    if gateway.process.memoryInUse * 10 > gateway.settings.configuration.runs.memory * 9 {
      found.append(("The memory for runs is nearly used up.", "runs"))
    }
    return found
  }

  private static let window = "in the last 5 minutes"

  /// - Parameter recent: what a route's requests came to in the window.
  private static func conditions(of name: String, _ recent: RouteTally) -> [(text: String, place: String)] {
    let who = name == RouteBooks.unrouted ? "Before any route" : "Route \(name)"
    var found: [(text: String, place: String)] = []
    if recent.bad > 0, recent.judged < 20 || recent.bad * 20 > recent.judged {
      found.append(("\(who): \(recent.bad) of \(recent.judged) answers were bad \(window).", "ended"))
    }
    let left = recent.statuses[.clientLeft]
    if recent.statuses.sum > 50, left * 10 > recent.statuses.sum {
      found.append(("\(who): \(left) of \(recent.statuses.sum) clients left before an answer \(window).", "routes"))
    }
    if recent.failovers > 0 {
      found.append(
        ("\(who): \(recent.failovers) requests were answered by a later tier than the first \(window).", "backends"))
    }
    if let slow = recent.firstEventP95, slow > 10_000, recent.firstEvents.reduce(0, +) > 20 {
      found.append(("\(who): the first event takes \(Int(slow / 1000)) s (p95) \(window).", "routes"))
    }
    return found
  }

  /// What the most frequent refusal among a backend's answers is, if it is one in twenty.
  private static func refusals(in statuses: StatusCounts) -> String? {
    let refusals: [StatusLabel] = [
      .unauthorized, .forbidden, .tooMany, .serverError, .badGateway, .unavailable, .gatewayTimeout, .otherServerError,
    ]
    let (all, worst) = (statuses.sum, refusals.max { statuses[$0] < statuses[$1] } ?? .serverError)
    guard all > 20, statuses[worst] * 20 > all else { return nil }
    return "answered \(worst.rawValue) to \(statuses[worst]) of \(all) requests \(window)"
  }

  private var standingFaults: [(text: String, place: String)] {
    var found: [(text: String, place: String)] = []
    if let fault = gateway.flags.fault { found.append(("The flag file was refused: \(fault)", "rollout")) }
    if let kill = killInForce { found.append(("The new closing is taken back \(kill).", "rollout")) }
    if gateway.guardKeeper.machine.effect != .none {
      found.append(("The guard has acted on the rollout.", "rollout"))
    }
    if gateway.configurationReloadFailed {
      found.append(("The last reload of the configuration was refused.", "config"))
    }
    if !gateway.restartNeeds.isEmpty {
      let paths = gateway.restartNeeds.map(\.path).joined(separator: ", ")
      found.append(("Settings wait for a restart: \(paths).", "config"))
    }
    if gateway.process.store.fault != nil { found.append(("Redis is away: runs are not kept.", "runs")) }
    let dropped = gateway.logWriter.counts.dropped
    if dropped > 0 { found.append(("\(dropped) log lines were lost: nobody reads the log fast enough.", "state")) }
    return found
  }
}
