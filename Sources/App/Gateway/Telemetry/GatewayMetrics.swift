import FlagControl
package import Streams
package import Telemetry

extension Mode: MetricLabel {}
extension Outcome: MetricLabel {}
extension Capability.Source: MetricLabel {}
extension ClosingMachine.Result: MetricLabel {}
extension FlagReason: MetricLabel {}

/// Why a request got an answer of the gateway's own.
package enum Refusal: String, MetricLabel, CaseIterable {
  case badRequest = "bad_request"
  case headTimeout = "head_timeout"
  case bodyTimeout = "body_timeout"
  case noRoute = "no_route"
  case loopDetected = "loop_detected"
  /// The client wanted another protocol.
  case upgrade
  case draining
  case overload
  case upstreamUnreachable = "upstream_unreachable"
  case upstreamTimeout = "upstream_timeout"
  case badUpstream = "bad_upstream"
  case upstreamsExhausted = "upstreams_exhausted"
}

/// What all clients share and may use up.
enum Bound: String, MetricLabel, CaseIterable {
  case clientConnections = "client_connections"
  case upstreamConnections = "upstream_connections"
  case requestBodies = "request_bodies"
  case runMemory = "run_memory"
  case principalMemory = "principal_memory"
  case unreadRuns = "unread_runs"
  case storedRuns = "stored_runs"
  case principalStoredRuns = "principal_stored_runs"
}

/// What became of a request that went on from an event.
enum ResumeResult: String, MetricLabel, CaseIterable {
  case live
  case reset
  case finished
  case refused
}

/// All that is counted, by name. Built once; each loop has a shard of its own.
package struct GatewayMetrics: Sendable {
  package let registry: Registry

  // Names that dashboards of such systems already use.
  let streamsActive: Gauge
  let ttfb: Histogram
  let duration: Histogram
  let bytesSent: Counter
  let clients: Gauge

  let streams: MetricTable<Counter, Mode, Capability.Source>
  let outcomes: MetricTable<Counter, Mode, Outcome>
  let closes: MetricTable<Counter, Mode, ClosingMachine.Result>
  let events: MetricRow<Counter, Mode>
  let keepalives: Counter

  package let shadowStreams: Counter
  package let shadowTrailingStreams: Counter
  package let shadowTrailingEvents: Counter
  package let shadowLeftEarly: Counter
  package let shadowTruncations: Counter
  let shadowTails: Counter
  let unterminated: Counter

  let requests: Counter
  let refusals: MetricRow<Counter, Refusal>
  let connections: Counter
  let tlsHandshakes: Family<Counter, HandshakeResult, TLSVersionLabel, TLSResumption>
  let proxyHeaders: MetricRow<Counter, ProxyHeaderResult>
  let tunnels: Gauge
  let tunnelEnds: MetricRow<Counter, TunnelEnding>
  let http2Connections: Counter
  let http2Faults: Counter
  let upstreamConnects: Counter
  let upstreamReuses: Counter
  let upstreamRetries: Counter
  let evaluations: MetricTable<Counter, Mode, FlagReason>
  let evaluationsWithoutKey: Counter
  let identityStreams: MetricRow<Counter, IdentityPresence>
  let orphans: Counter
  let runsActive: Gauge
  let runBytes: Gauge
  let unaccounted: MetricRow<Gauge, Unaccounted>
  let boundLimits: MetricRow<Gauge, Bound>
  let boundUse: MetricRow<Gauge, Bound>
  let unkept: Counter
  let runs: Family<Counter, Outcome>
  let resumes: Family<Counter, ResumeResult>
  let loopLag: Histogram
  let redis: RedisMetrics
  package let upstreams: UpstreamMetrics
  package let routes: RouteMetrics

  package init() {
    var define = RegistryBuilder()
    streamsActive = define.gauge("ai_stream_connections_active", "Event streams open now.")
    ttfb = define.histogram(
      "ai_stream_ttfb_milliseconds", "From the request to the first event that bears data.",
      bounds: [5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 120_000])
    duration = define.histogram(
      "ai_stream_duration_milliseconds", "From the request to the end of the stream.",
      bounds: [
        100, 500, 1000, 5000, 15_000, 30_000, 60_000, 120_000, 300_000, 900_000, 1_800_000, 3_600_000, 7_200_000,
      ])
    bytesSent = define.counter("ai_stream_bytes_sent_total", "Body bytes of event streams handed to clients.")
    clients = define.gauge("ai_stream_clients_gauge", "Client connections open now.")

    streams = MetricTable(
      define.counters(
        "fermata_streams_total", "Event streams opened, by mode and by how the capability was found.", by: "mode",
        "source", showsUnused: false))
    outcomes = MetricTable(
      define.counters("fermata_outcomes_total", "How event streams ended.", by: "mode", "outcome", showsUnused: false))
    closes = MetricTable(
      define.counters(
        "fermata_close_total", "How closes went, as the client's side shows.", by: "mode", "result"))
    events = MetricRow(define.counters("fermata_events_total", "Events with data taken from backends.", by: "mode"))
    keepalives = define.counter("fermata_keepalives_total", "Comment lines sent to keep streams alive.")

    shadowStreams = define.counter(
      "fermata_shadow_streams_total", "Legacy streams that are over, whoever ended them.")
    shadowTrailingStreams = define.counter(
      "fermata_shadow_trailing_streams_total", "Legacy streams with events after the completion event.")
    shadowTrailingEvents = define.counter(
      "fermata_shadow_trailing_events_total",
      """
      Events after the completion event on legacy streams, taken by the client or not; those that came after it had \
      left are counted only with shadow.tail.
      """)
    shadowLeftEarly = define.counter(
      "fermata_shadow_left_early_total",
      "Legacy clients that left at the completion event before the backend had ended.")
    shadowTruncations = define.counter(
      "fermata_shadow_truncations_total", "Legacy streams that were cut, where graceful would have said so.")
    shadowTails = define.counter(
      "fermata_shadow_tails_total", "Legacy streams that were read on after their client had left (shadow.tail).")
    unterminated = define.counter(
      "fermata_unterminated_final_event_total",
      "Bodies that ended cleanly inside an event: the backend forgot a blank line.")

    requests = define.counter("fermata_requests_total", "Requests taken in.")
    refusals = MetricRow(
      define.counters("fermata_refusals_total", "Requests answered by the gateway itself.", by: "reason"))
    connections = define.counter("fermata_connections_total", "Client connections accepted.")
    http2Connections = define.counter("fermata_http2_connections_total", "Client connections that speak HTTP/2.")
    http2Faults = define.counter(
      "fermata_http2_faults_total", "Connections of HTTP/2 that were ended for what their client did.")
    upstreamConnects = define.counter("fermata_upstream_connects_total", "Connections made to backends.")
    tlsHandshakes = define.counters(
      "fermata_tls_handshakes_total", "Handshakes with clients that are over, by how they went.", by: "result",
      "version", "resumed", showsUnused: false)
    proxyHeaders = MetricRow(
      define.counters(
        "fermata_proxy_headers_total", "Client connections that had to begin with a PROXY header, by what came of it.",
        by: "result", showsUnused: false))
    tunnels = define.gauge("fermata_tunnels", "WebSockets open now.")
    tunnelEnds = MetricRow(
      define.counters(
        "fermata_tunnels_total", "WebSockets that are over, by what ended them.", by: "end", showsUnused: false))
    upstreamReuses = define.counter("fermata_upstream_reuses_total", "Requests sent on a kept connection.")
    upstreamRetries = define.counter(
      "fermata_upstream_retries_total", "Requests sent again because a kept connection had died.")
    evaluations = MetricTable(
      define.counters(
        "fermata_flag_evaluations_total", "Decisions of the flag stream-closing, by what it gave and why.",
        by: "variant", "reason", showsUnused: false))
    evaluationsWithoutKey = define.counter(
      "fermata_flag_evaluations_without_key_total", "Flag evaluations of clients without a stable identity.")
    identityStreams = MetricRow(
      define.counters(
        "fermata_identity_streams_total",
        "Event streams opened, by whether the client has a stable identity; the flag is not asked.", by: "present"))
    orphans = define.counter(
      "fermata_orphans_total", "Streams that had lost their reader or attempt and were ended by the leak check.")
    runsActive = define.gauge("fermata_runs_active", "Runs with a log that are not over.")
    runBytes = define.gauge("fermata_run_log_bytes", "Memory that the logs of all runs hold.")
    boundLimits = MetricRow(
      define.gauges(
        "fermata_bound_limit", "The most that all clients together may use: connections, bytes or runs.", by: "bound"))
    unaccounted = MetricRow(
      define.gauges(
        "fermata_unaccounted", "What is held and not counted, or counted and not held: 0, but for a leak.", by: "kind"))
    boundUse = MetricRow(
      define.gauges("fermata_bound_used", "What they use now of each bound.", by: "bound"))
    unkept = define.counter(
      "fermata_unkept_streams_total", "Streams of runs that were not kept because there was no room for one more.")
    runs = define.counters("fermata_runs_total", "Runs with a log that are over, by how they ended.", by: "outcome")
    resumes = define.counters(
      "fermata_resumes_total", "Requests that went on from an event: with what came next, with a reset, with 204.",
      by: "result")
    loopLag = define.histogram(
      "fermata_loop_lag_seconds", "How late the ticks of the event loops were, 20 a second and loop.",
      bounds: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5])
    redis = RedisMetrics(&define)
    upstreams = UpstreamMetrics(&define)
    routes = RouteMetrics(&define)
    registry = define.build()
  }
}
