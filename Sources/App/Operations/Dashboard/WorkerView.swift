import Gateway
import Loop
import SSE
import Streams
import Telemetry
import Time

/// Which open streams a reader of the dashboard wants to see.
struct StreamChoice: Sendable, Hashable {
  enum Order: String, Sendable {
    /// The longest time without an event first.
    case silence
    case age
    /// The most bytes that the client has not taken first.
    case queue
    case bytes
  }

  /// The most that is listed.
  static let limit = 200

  var order = Order.silence
  /// Part of an id, a trace, a route, a backend's name, a client or a mode; everything when it is empty.
  var text = ""
}

extension StreamReport {
  /// What it is sorted by, the largest first.
  func rank(_ order: StreamChoice.Order) -> Double {
    switch order {
    case .silence: stream?.silence ?? 0
    case .age: age
    case .queue: Double(stream?.queued ?? 0)
    case .bytes: Double(stream?.bytes ?? 0)
    }
  }
}

/// What one loop knows at one moment, for the dashboard.
struct WorkerView: Sendable {
  let worker: Int
  var open: [String: Int] = [:]
  var waiting: [String: Int] = [:]
  var clients = 0
  var routes: [String: RouteTally] = [:]
  var shadow = ShadowTally()
  var ends: [BadEnd] = []
  /// For each choice the streams that it takes from this loop, in order.
  var streams: [StreamChoice: [StreamReport]] = [:]
  /// How many streams each choice's text fits.
  var matches: [StreamChoice: Int] = [:]
  var upstreams: [UpstreamReport] = []
  var standings = RouteStandings()
  var runs = RunList()
}

extension Worker {
  /// - Parameters:
  ///   - end: the number of the last bad end that is known.
  ///   - choices: which open streams are asked for; with none, nothing but sums is gathered.
  func view(after end: Int, choices: [StreamChoice]) -> WorkerView {
    var view = WorkerView(worker: context.index)
    view.ends = books.badEnds.after(end)
    view.clients = clients.openConnections
    clients.gather(into: &view, choices)
    view.routes = context.routes.tallies(open: view.open)
    view.upstreams = describeUpstreams()
    view.standings = routeStandings()
    guard !choices.isEmpty else { return view }
    view.shadow = ShadowTally(context.metrics) { context.shard.value($0) }
    view.runs = runs.describe(limit: StreamChoice.limit)
    return view
  }
}

extension ClientRoster {
  fileprivate func gather(into view: inout WorkerView, _ choices: [StreamChoice]) {
    let now = context.loop.readClock()
    typealias Candidate = (exchange: any ClientExchange, stream: ClientDelivery, queued: Int)
    var chosen = choices.map { _ in Largest<Candidate>(limit: StreamChoice.limit) }
    forEachExchange { exchange, client in
      guard let stream = exchange.stream else {
        if exchange.isWaiting { view.waiting[exchange.routeName ?? "", default: 0] += 1 }
        return
      }
      view.open[stream.route, default: 0] += 1
      for (index, choice) in choices.enumerated() where stream.fits(choice.text) {
        let queued = client.queuedBytes
        chosen[index].add((exchange, stream, queued), rank: stream.rank(choice.order, queued: queued, at: now))
      }
    }
    for (index, choice) in choices.enumerated() {
      view.matches[choice] = chosen[index].offered
      view.streams[choice] = chosen[index].sorted().map {
        describe($0.exchange, $0.stream, queued: $0.queued, at: now)
      }
    }
  }
}

extension ClientDelivery {
  fileprivate func fits(_ text: String) -> Bool {
    text.isEmpty || id.description.contains(text) || route.contains(text) || mode.rawValue == text
      || record?.fits(text) == true
  }

  fileprivate func rank(_ order: StreamChoice.Order, queued: Int, at now: MonotonicTime) -> Double {
    switch order {
    case .silence: (now - lastSentAt).milliseconds
    case .age: (now - openedAt).milliseconds
    case .queue: Double(queued)
    case .bytes: Double(bodyBytes)
    }
  }
}
