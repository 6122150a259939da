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
      statistics.ended(timeline, result: .ended(.completed))
      other.ended(AttemptTimeline(startedAt: time(0)), result: .failed(.connectFailed))
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
      #"fermata_upstream_busy{upstream="a"} 2"#, #"fermata_upstream_busy{upstream="b"} 0"#,
      #"fermata_upstream_state{upstream="a",state="available"} 2"#,
      #"fermata_upstream_state{upstream="b",state="ejected"} 2"#,
      #"fermata_upstream_state{upstream="b",state="available"} 0"#,
      #"fermata_upstream_phase_seconds_sum{upstream="a",phase="connect"} 0.004"#,
      #"fermata_upstream_phase_seconds_count{upstream="a",phase="tls"} 0"#,
      #"fermata_upstream_phase_seconds_sum{upstream="a",phase="head"} 0.04"#,
      #"fermata_upstream_phase_seconds_sum{upstream="a",phase="first_event"} 0.06"#,
      #"fermata_upstream_phase_seconds_sum{upstream="a",phase="first_token"} 0.8"#,
      #"fermata_upstream_phase_seconds_sum{upstream="a",phase="last_event"} 4"#,
    ] {
      #expect(lines.contains(Substring(line)), "\(line)")
    }
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
