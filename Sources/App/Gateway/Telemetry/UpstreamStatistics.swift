package import Streams
package import Telemetry
package import Upstreams

extension AttemptTimeline.Milestone: MetricLabel {}
extension UpstreamHealth.State.Label: MetricLabel {}

/// How an active check went.
enum CheckResult: String, MetricLabel, CaseIterable {
  case passed
  case failed
}

extension ConnectionUse: MetricLabel {}

/// What is counted of each upstream, by its name.
package struct UpstreamMetrics: Sendable {
  let attempts: OpenFamily<Counter, AttemptLabel>
  let phases: OpenFamily<Histogram, AttemptTimeline.Milestone>
  let responses: OpenFamily<Counter, StatusLabel>
  let busy: OpenFamily<Gauge>
  let connections: OpenFamily<Gauge, ConnectionUse>
  let states: OpenFamily<Gauge, UpstreamHealth.State.Label>
  let ejections: OpenFamily<Counter>
  let checks: OpenFamily<Counter, CheckResult>

  package init(_ define: inout RegistryBuilder) {
    attempts = define.counters(
      "fermata_upstream_attempts_total", "Attempts, by how they ended; timed_out by phase too.", open: "upstream",
      by: "result")
    phases = define.histograms(
      "fermata_upstream_phase_seconds", "From an attempt's start until it had reached a phase.", open: "upstream",
      by: "phase",
      bounds: [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300])
    responses = define.counters(
      "fermata_upstream_responses_total", "Answers of upstreams, good or not, by status.", open: "upstream", by: "code")
    define.leaveOut(.clientLeft, of: responses)
    busy = define.gauges("fermata_upstream_busy", "Attempts that run now.", open: "upstream")
    connections = define.gauges(
      "fermata_upstream_connections", "Connections for requests that are open, by what they do.", open: "upstream",
      by: "state")
    ejections = define.counters(
      "fermata_upstream_ejections_total", "Times that an event loop left the upstream out because it failed too often.",
      open: "upstream")
    checks = define.counters(
      "fermata_upstream_checks_total", "Active checks of the event loops, by how they went.", open: "upstream",
      by: "result")
    states = define.gauges(
      "fermata_upstream_state", "Event loops to which the upstream is in a state.", open: "upstream", by: "state")
  }
}

/// The numbers of one upstream on one loop, in that loop's shard: an attempt costs additions.
package struct UpstreamStatistics {
  private let shard: MetricShard
  /// The first of its series; the others follow in the results' order.
  private let attempts: Counter
  private let phases: MetricRow<Histogram, AttemptTimeline.Milestone>
  private let responses: MetricRow<Counter, StatusLabel>
  private let busyGauge: Gauge
  private let connections: MetricRow<Gauge, ConnectionUse>
  private let ejections: Counter
  private let checks: MetricRow<Counter, CheckResult>
  private let states: MetricRow<Gauge, UpstreamHealth.State.Label>
  /// Attempts that run now.
  package private(set) var busy = 0

  package init(upstream name: String, metrics: UpstreamMetrics, shard: MetricShard) {
    self.shard = shard
    attempts = shard.resolve(metrics.attempts, name).first
    phases = MetricRow(shard.resolve(metrics.phases, name))
    responses = MetricRow(shard.resolve(metrics.responses, name))
    busyGauge = shard.resolve(metrics.busy, name)[]
    connections = MetricRow(shard.resolve(metrics.connections, name))
    ejections = shard.resolve(metrics.ejections, name)[]
    checks = MetricRow(shard.resolve(metrics.checks, name))
    states = MetricRow(shard.resolve(metrics.states, name))
  }

  /// An attempt begins.
  package mutating func began() {
    busy += 1
    shard.add(1, to: busyGauge)
  }

  /// The statuses of its answers so far, good or not.
  var statuses: StatusCounts {
    var counts = StatusCounts()
    for label in StatusLabel.allCases { counts[label] = shard.value(responses[label]) }
    return counts
  }

  /// The head of an answer came.
  package func answered(_ status: Int) { shard.increment(responses[StatusLabel(status, by: .upstream)]) }

  /// An attempt that began is over.
  ///
  /// - Parameter phase: how far it had come.
  package mutating func ended(_ timeline: AttemptTimeline, result: AttemptResult, in phase: AttemptPhase) {
    busy -= 1
    shard.add(-1, to: busyGauge)
    shard.increment(attempts.advanced(by: AttemptLabel(result, in: phase).labelIndex))
    for milestone in AttemptTimeline.Milestone.allCases {
      guard let milliseconds = timeline.milliseconds(milestone) else { continue }
      shard.observe(phases[milestone], milliseconds / 1000)
    }
  }

  func ejected(_ times: Int) { shard.increment(ejections, by: times) }

  func checked(_ result: CheckResult) { shard.increment(checks[result]) }

  /// A connection was opened, or taken from those that are kept, or is closed.
  func connections(_ use: ConnectionUse, by change: Int) { shard.add(Double(change), to: connections[use]) }

  /// Takes the upstream out of the states: the configuration no longer has it.
  package func retire() {
    for label in UpstreamHealth.State.Label.allCases { shard.set(states[label], to: 0) }
  }

  /// Brings the upstream's state into the numbers, just before they are read.
  package func show(_ state: UpstreamHealth.State) {
    for label in UpstreamHealth.State.Label.allCases { shard.set(states[label], to: label == state.label ? 1 : 0) }
  }
}
