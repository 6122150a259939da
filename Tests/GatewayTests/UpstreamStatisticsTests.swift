import Bytes
import Gateway
import Streams
import Telemetry
import Testing
import Time

struct UpstreamStatisticsTests {
  private func text(_ snapshot: MetricSnapshot) -> [Substring] {
    var out = ByteBuffer()
    PrometheusText.write(snapshot, to: &out)
    return String(copying: out.span).split(separator: "\n")
  }

  private func time(_ milliseconds: UInt64) -> MonotonicTime {
    MonotonicTime(nanoseconds: milliseconds * 1_000_000)
  }

  @Test func `attempts of several loops are added up by upstream, result and phase`() {
    let metrics = GatewayMetrics()
    var timeline = AttemptTimeline(startedAt: time(1000))
    timeline.connectedAt = time(1002)
    timeline.headAt = time(1020)
    timeline.eventsCame(bearsContent: false, at: time(1030))
    timeline.eventsCame(bearsContent: true, at: time(1400))
    timeline.eventsCame(bearsContent: true, at: time(3000))
    let shards = [MetricShard(metrics.registry), MetricShard(metrics.registry)]
    for shard in shards {
      var statistics = UpstreamStatistics(upstream: "a", metrics: metrics.upstreams, shard: shard)
      var other = UpstreamStatistics(upstream: "b", metrics: metrics.upstreams, shard: shard)
      statistics.began()
      statistics.began()
      other.began()
      #expect(statistics.busy == 2)
      statistics.ended(timeline, result: .ended(.completed), in: .streaming)
      other.ended(AttemptTimeline(startedAt: time(0)), result: .failed(.connectFailed), in: .connect)
      for phase in [AttemptPhase.connect, .firstEvent, .firstEvent] {
        other.began()
        other.ended(AttemptTimeline(startedAt: time(0)), result: .failed(.timedOut), in: phase)
      }
      statistics.show(.available(weightFactor: 1))
      other.show(.ejected(until: time(9)))
    }
    var all = shards[0].snapshot()
    all.merge(shards[1].snapshot())
    let lines = text(all)
    for line in [
      #"fermata_upstream_attempts_total{upstream="a",result="completed"} 2"#,
      #"fermata_upstream_attempts_total{upstream="b",result="connect_failed"} 2"#,
      #"fermata_upstream_attempts_total{upstream="b",result="completed"} 0"#,
      #"fermata_upstream_attempts_total{upstream="b",result="timed_out",phase="connect"} 2"#,
      #"fermata_upstream_attempts_total{upstream="b",result="timed_out",phase="first_event"} 4"#,
      #"fermata_upstream_attempts_total{upstream="b",result="timed_out",phase="streaming"} 0"#,
      #"fermata_upstream_attempts_total{upstream="b",result="budget_spent"} 0"#,
      #"fermata_upstream_busy{upstream="a"} 2"#, #"fermata_upstream_busy{upstream="b"} 0"#,
      #"fermata_upstream_state{upstream="a",state="available"} 2"#,
      #"fermata_upstream_state{upstream="b",state="ejected"} 2"#,
      #"fermata_upstream_state{upstream="b",state="available"} 0"#,
      #"fermata_upstream_phase_seconds_sum{upstream="a",phase="connect"} 0.004"#,
      #"fermata_upstream_phase_seconds_sum{upstream="a",phase="head"} 0.04"#,
      #"fermata_upstream_phase_seconds_sum{upstream="a",phase="first_event"} 0.06"#,
      #"fermata_upstream_phase_seconds_sum{upstream="a",phase="first_token"} 0.8"#,
      #"fermata_upstream_phase_seconds_sum{upstream="a",phase="last_event"} 4"#,
    ] {
      #expect(lines.contains(Substring(line)), "\(line)")
    }
    #expect(!lines.contains { $0.contains(#"phase="tls""#) && $0.contains("_seconds") }, "there was no TLS")
  }

  @Test func `an upstream that has seen everything has at most 180 series`() {
    let metrics = GatewayMetrics()
    let shard = MetricShard(metrics.registry)
    var statistics = UpstreamStatistics(upstream: "a", metrics: metrics.upstreams, shard: shard)
    var timeline = AttemptTimeline(startedAt: time(1000))
    timeline.connectedAt = time(1002)
    timeline.securedAt = time(1003)
    timeline.headAt = time(1020)
    timeline.eventsCame(bearsContent: true, at: time(1030))
    for result in AttemptResult.allCases {
      for phase in AttemptPhase.allCases {
        statistics.began()
        statistics.ended(timeline, result: result, in: phase)
      }
    }
    for status in 200..<600 { statistics.answered(status) }
    let lines = text(shard.snapshot()).filter { $0.contains(#"upstream="a""#) }
    #expect((150...180).contains(lines.count), "\(lines.count)")
    let ends = lines.filter { $0.hasPrefix("fermata_upstream_attempts_total") }
    // Each result is counted where it belongs: all six times, or once for each phase.
    let results = AttemptResult.allCases.count
    #expect(ends.count == results - 1 + 6 && ends.filter { $0.hasSuffix("} 6") }.count == results - 1)
    #expect(ends.filter { $0.hasSuffix("} 1") && $0.contains(#"result="timed_out",phase=""#) }.count == 6)
  }

  @Test func `an upstream that the configuration dropped is in no state`() {
    let metrics = GatewayMetrics()
    let shard = MetricShard(metrics.registry)
    let statistics = UpstreamStatistics(upstream: "a", metrics: metrics.upstreams, shard: shard)
    statistics.show(.unhealthy)
    statistics.retire()
    #expect(text(shard.snapshot()).contains(#"fermata_upstream_state{upstream="a",state="unhealthy"} 0"#))
  }
}
