import Bytes
import Configuration
import Files
import FlagControl
import Flags
import Gateway
import Loop
import Processes
import Telemetry
import Time
import Tracing
import Upstreams

/// `/metrics`: what the workers have counted, and what the main thread itself knows.
extension ControlRoom {
  func answerMetrics(_ respond: @escaping (AdminResponse) -> Void) {
    gateway.gather(
      {
        (
          index: $0.context.index, census: $0.books.census.take(), metrics: $0.snapshot(),
          connections: $0.clients.descriptors + $0.upstreams.count + $0.runs.storeConnections,
          queued: $0.clients.queuedBytes, standings: $0.routeStandings()
        )
      },
      each: { [unowned self] in
        gateway.censusKeeper.take([$0.census])
        snapshots[$0.index] = $0.metrics
        held[$0.index] = ($0.connections, $0.queued)
        standings[$0.index] = $0.standings
      },
      then: { [unowned self] _ in respond(metricsText()) })
  }

  /// A worker that did not answer is in it with what it last had: counters that go back would be taken for a restart.
  private func metricsText() -> AdminResponse {
    let known = snapshots.sorted { $0.key < $1.key }.map(\.value)
    guard var all = known.first else { return .json(status: 503, #"{"error":"no worker answers"}"#) }
    for other in known.dropFirst() { all.merge(other) }
    var out = ByteBuffer()
    PrometheusText.write(all, to: &out)
    appendGatewayMetrics(to: &out)
    return AdminResponse(contentType: PrometheusText.contentType, body: out.toArray())
  }

  /// What the main thread itself knows.
  private func appendGatewayMetrics(to out: inout ByteBuffer) {
    let now = loop.wallTime()
    func gauge(_ name: String, _ help: String, _ value: Double, labels: [(String, String)] = []) {
      PrometheusText.write(name, "gauge", help, [(labels, value)], to: &out)
    }
    let set = gateway.flags.current.flagSet
    let labels = [("version", set.name), ("hash", set.hash), ("generation", set.generation.rawValue)]
    gauge("fermata_flags_info", "The flags in force.", 1, labels: labels)
    let stale = gateway.flags.staleSince.map { Double(now.milliseconds - $0.milliseconds) / 1000 } ?? 0
    gauge(
      "fermata_flags_stale_seconds",
      "Seconds since the flag file was changed without taking effect; 0 if it is in force.", stale)
    PrometheusText.write(
      "fermata_flag_load_failures_total", "counter", "Times that the flag file was refused.",
      [([], Double(gateway.flags.failures))], to: &out)
    gauge(
      "fermata_flag_load_failures", "The same under its old name; goes with the next release.",
      Double(gateway.flags.failures))
    gauge(
      "fermata_config_reload_failed", "Whether the last reload of the configuration was refused.",
      gateway.configurationReloadFailed ? 1 : 0)
    gauge(
      "fermata_config_restart_needed", "Settings of the last reload that only a restart puts in force.",
      Double(gateway.restartNeeds.count))
    gauge(
      "fermata_certificates_refused", "Whether the files of certificates are not what is in force.",
      gateway.certificates.fault == nil ? 0 : 1)
    let expiries = gateway.settings.configuration.certificates(at: now).map { certificate in
      (labels: [("file", certificate.file)], value: Double(certificate.seconds))
    }
    if !expiries.isEmpty {
      PrometheusText.write(
        "fermata_tls_certificate_expiry_seconds", "gauge", "Seconds until a certificate expires; negative after that.",
        expiries, to: &out)
    }
    if let configuredAt = gateway.configuredAt {
      gauge(
        "fermata_config_last_reload_timestamp_seconds", "When the configuration in force was read.",
        Double(configuredAt.milliseconds) / 1000)
    }
    if let rollout = try? Rollout(of: FlagKey.streamClosing.description, in: set.document) {
      gauge("fermata_rollout_phase", "The phase of the rollout, from 0.", Double(rollout.index))
      let isStopped = rollout.status == .held || rollout.status == .rolledBack
      let needsAttention = isStopped || gateway.guardKeeper.machine.latch != nil || killInForce != nil
      gauge("fermata_rollout_attention", "Whether the rollout waits for somebody.", needsAttention ? 1 : 0)
    }
    killGauges(to: &out)
    gauge(
      "fermata_guard_effect", "What the guard holds beside the file: 0 nothing, 1 hold, 2 rollback.",
      gateway.guardKeeper.machine.effect == .none ? 0 : gateway.guardKeeper.machine.effect == .hold ? 1 : 2)
    counters(to: &out)
    appendClientSeries { samples in
      PrometheusText.write(
        "fermata_client_streams_total", "counter", "Event streams of the largest clients; the rest is other.", samples,
        to: &out)
    }
    gauge("fermata_draining", "Whether the process takes no new streams.", gateway.isDraining ? 1 : 0)
    appendRouteSeries(to: &out)
    appendHealthSeries(to: &out)
    appendProcessSeries(to: &out)
  }

  private func counters(to out: inout ByteBuffer) {
    PrometheusText.write(
      "fermata_guard_trips_total", "counter", "Times that the guard acted.",
      [([], Double(gateway.guardKeeper.trips))], to: &out)
    let checks = GuardMetric.allCases.flatMap { metric in
      GuardVerdict.allCases.map { verdict in
        let check = GuardKeeper.Check(metric: metric.rawValue, verdict: verdict.rawValue)
        return (
          labels: [("metric", check.metric), ("verdict", check.verdict)],
          value: Double(gateway.guardKeeper.checks[check] ?? 0)
        )
      }
    }
    PrometheusText.write(
      "fermata_guard_checks_total", "counter", "Comparisons of the cohorts, by metric and verdict.", checks, to: &out)
  }

  /// What the process is and uses, under the names that such dashboards know.
  private func appendProcessSeries(to out: inout ByteBuffer) {
    func write(_ name: String, _ kind: StaticString, _ help: String, _ value: Double?) {
      guard let value else { return }
      PrometheusText.write(name, kind, help, [([], value)], to: &out)
    }
    let build = gateway.build
    PrometheusText.write(
      "fermata_build_info", "gauge", "The program that runs, and the libraries that it runs on.",
      [
        (
          [
            ("version", build.version), ("commit", build.commit), ("libevent", build.libevent),
            ("openssl", build.openssl),
          ], 1
        )
      ], to: &out)
    let start = Double(gateway.startedAt.milliseconds) / 1000
    write("fermata_start_time_seconds", "gauge", "When the process started.", start)
    write("process_start_time_seconds", "gauge", "When the process started, since 1970.", start)
    write("process_cpu_seconds_total", "counter", "Time on a processor, user and system.", OwnProcess.cpu.seconds)
    write(
      "process_resident_memory_bytes", "gauge", "Memory in use.", OwnProcess.residentBytes.map(Double.init))
    write("process_open_fds", "gauge", "Open descriptors.", OwnProcess.descriptors.map(Double.init))
    write("process_max_fds", "gauge", "Descriptors that may be open.", Double(Host.descriptorLimit))
    appendSelfCheck(to: &out)
    appendLogSeries(to: &out)
    PrometheusText.write(
      "fermata_admin_requests_total", "counter", "Requests to the operators' listener, by path and status.",
      (server?.requests ?? AdminRequestCounts()).samples, to: &out)
  }

  private func appendSelfCheck(to out: inout ByteBuffer) {
    guard let resident = OwnProcess.residentBytes, let open = OwnProcess.descriptors else { return }
    let (connections, queued) = held.values.reduce((0, 0)) { ($0.0 + $1.connections, $0.1 + $1.queued) }
    PrometheusText.write(
      "fermata_unaccounted_fds", "gauge", "Open descriptors that neither the start nor a counted connection explains.",
      [([], Double(selfCheck.descriptors(open: open, connections: connections)))], to: &out)
    let memory = selfCheck.memory(
      resident: resident, connections: connections, kept: gateway.process.memoryInUse + gateway.process.bodiesInUse,
      queued: queued)
    PrometheusText.write(
      "fermata_unaccounted_memory_bytes", "gauge",
      "Memory that neither the start, connections, runs nor bodies explain.",
      [([], Double(memory))], to: &out)
  }

  private func appendLogSeries(to out: inout ByteBuffer) {
    let counts = gateway.logWriter.counts
    PrometheusText.write(
      "fermata_log_lines_total", "counter", "Log lines that were written or wait to be, by level.",
      LogLevel.allCases.map { ([("level", "\($0)")], Double(counts.taken[$0.rawValue])) }, to: &out)
    PrometheusText.write(
      "fermata_log_lines_dropped_total", "counter", "Log lines that were lost because nobody read the log.",
      [([], Double(counts.dropped))], to: &out)
    let spans = gateway.spans?.counts ?? SpanSink.Counts()
    PrometheusText.write(
      "fermata_spans_total", "counter", "Spans, by what became of them.",
      [("exported", spans.exported), ("dropped", spans.dropped), ("failed", spans.failed)].map {
        ([("result", $0.0)], Double($0.1))
      }, to: &out)
  }
}
