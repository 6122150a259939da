package import Streams
package import Telemetry

extension AttemptFault.Kind: MetricLabel {}

extension AttemptResult: MetricLabel {
  private static let relayedIndex = AttemptFault.Kind.allCases.count

  package var labelIndex: Int {
    switch self {
    case .failed(let fault): fault.labelIndex
    case .relayed: Self.relayedIndex
    case .ended(let outcome): Self.relayedIndex + 1 + outcome.labelIndex
    }
  }

  package var labelText: String { word }
}

extension AttemptTimeline.Milestone: MetricLabel {}
extension UpstreamHealth.State.Label: MetricLabel {}

/// What is counted of each upstream, by its name.
package struct UpstreamMetrics: Sendable {
  let attempts: OpenFamily<Counter, AttemptResult>
  let phases: OpenFamily<Histogram, AttemptTimeline.Milestone>
  let responses: OpenFamily<Counter, StatusLabel>
  let busy: OpenFamily<Gauge>
  let states: OpenFamily<Gauge, UpstreamHealth.State.Label>

  package init(_ define: inout RegistryBuilder) {
    attempts = define.counters(
      "fermata_upstream_attempts_total", "Attempts, by how they ended.", open: "upstream", by: "result")
    phases = define.histograms(
      "fermata_upstream_phase_seconds", "From an attempt's start until it had reached a phase.", open: "upstream",
      by: "phase",
      bounds: [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300])
    define.alias(
      "fermata_upstream_phase_milliseconds", "The same in milliseconds.", of: phases,
      scale: 1000)
    responses = define.counters(
      "fermata_upstream_responses_total", "Answers of upstreams, good or not, by status.", open: "upstream", by: "code")
    busy = define.gauges("fermata_upstream_busy", "Attempts that run now.", open: "upstream")
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
  private let states: MetricRow<Gauge, UpstreamHealth.State.Label>
  /// Attempts that run now.
  package private(set) var busy = 0

  package init(upstream name: String, metrics: UpstreamMetrics, shard: MetricShard) {
    self.shard = shard
    attempts = shard.resolve(metrics.attempts, name).first
    phases = MetricRow(shard.resolve(metrics.phases, name))
    responses = MetricRow(shard.resolve(metrics.responses, name))
    busyGauge = shard.resolve(metrics.busy, name)[]
    states = MetricRow(shard.resolve(metrics.states, name))
  }

  /// An attempt begins.
  package mutating func began() {
    busy += 1
    shard.add(1, to: busyGauge)
  }

  /// The head of an answer came.
  package func answered(_ status: Int) { shard.increment(responses[StatusLabel(status)]) }

  /// An attempt that began is over.
  package mutating func ended(_ timeline: AttemptTimeline, result: AttemptResult) {
    busy -= 1
    shard.add(-1, to: busyGauge)
    shard.increment(attempts.advanced(by: result.labelIndex))
    for milestone in AttemptTimeline.Milestone.allCases {
      guard let milliseconds = timeline.milliseconds(milestone) else { continue }
      shard.observe(phases[milestone], milliseconds / 1000)
    }
  }

  /// Takes the upstream out of the states: the configuration no longer has it.
  package func retire() {
    for label in UpstreamHealth.State.Label.allCases { shard.set(states[label], to: 0) }
  }

  /// Brings the upstream's state into the numbers, just before they are read.
  package func show(_ state: UpstreamHealth.State) {
    for label in UpstreamHealth.State.Label.allCases { shard.set(states[label], to: label == state.label ? 1 : 0) }
  }
}
