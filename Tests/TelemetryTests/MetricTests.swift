import Bytes
import Telemetry
import Testing

enum Mode: String, MetricLabel {
  case legacy, shield, graceful
}

enum Result: Int, MetricLabel {
  case confirmed, acked, reset
}

enum Only: String, MetricLabel {
  case one
}

struct Metrics: Sendable {
  let registry: Registry
  let opened: Counter
  let active: Gauge
  let revision: Gauge
  let wait: Histogram
  let closes: Family<Counter, Mode, Result>
  let only: Family<Gauge, Only>
  let latency: Family<Histogram, Mode>
  let attempts: OpenFamily<Counter, Result>
  let upstreams: OpenFamily<Gauge>

  init() {
    var define = RegistryBuilder()
    opened = define.counter("opened_total", "Streams opened.")
    active = define.gauge("active", "Streams now.")
    revision = define.gauge("revision", "Newest revision.", merge: .maximum)
    wait = define.histogram("wait_seconds", "Waits.", bounds: [0.5, 1, 2.5])
    closes = define.counters("close_total", "Closes.", by: "mode", "result")
    only = define.gauges("only", "One.", by: "kind")
    latency = define.histograms("latency", "By mode.", by: "mode", bounds: [10])
    attempts = define.counters("attempts_total", "Attempts.", open: "upstream", by: "result")
    upstreams = define.gauges("upstreams", "Upstreams.", open: "upstream")
    registry = define.build()
  }
}

func exposition(_ snapshot: MetricSnapshot) -> String {
  var out = ByteBuffer()
  PrometheusText.write(snapshot, to: &out)
  return String(copying: out.span)
}

func line(_ start: String, in text: String) -> String? {
  text.split(separator: "\n").first { $0.hasPrefix(start + " ") }.map { String($0.dropFirst(start.count + 1)) }
}

@Suite struct MetricTests {
  let metrics = Metrics()

  @Test func `each combination of labels counts by itself`() {
    let shard = MetricShard(metrics.registry)
    var expected = 0
    for mode in Mode.allCases {
      for result in Result.allCases {
        expected += 1
        shard.increment(metrics.closes[mode, result], by: expected)
      }
    }
    let text = exposition(shard.snapshot())
    expected = 0
    for mode in Mode.allCases {
      for result in Result.allCases {
        expected += 1
        #expect(line("close_total{mode=\"\(mode)\",result=\"\(result)\"}", in: text) == "\(expected)")
      }
    }
  }

  @Test func `a label with one value works`() {
    let shard = MetricShard(metrics.registry)
    shard.set(metrics.only[.one], to: 2.5)
    #expect(line("only{kind=\"one\"}", in: exposition(shard.snapshot())) == "2.5")
  }

  @Test(arguments: [(0.5, 0), (0.50001, 1), (-1, 0), (1, 1), (2.5, 2), (3, 3), (.infinity, 3), (.nan, 3)])
  func `a value falls in the first bucket whose bound is not below it`(value: Double, bucket: Int) {
    let shard = MetricShard(metrics.registry)
    shard.observe(metrics.wait, value)
    let text = exposition(shard.snapshot())
    for (place, bound) in ["0.5", "1", "2.5", "+Inf"].enumerated() {
      #expect(line("wait_seconds_bucket{le=\"\(bound)\"}", in: text) == (place >= bucket ? "1" : "0"))
    }
    #expect(line("wait_seconds_count", in: text) == "1")
  }

  @Test func `the shards of several loops merge into one sum`() {
    let names = [["b", "a"], ["a", "c"], []]
    var merged: MetricSnapshot?
    for (number, names) in names.enumerated() {
      let shard = MetricShard(metrics.registry)
      shard.increment(metrics.opened, by: number + 1)
      shard.add(2, to: metrics.active)
      shard.add(-1, to: metrics.active)
      shard.set(metrics.revision, to: Double(10 - number))
      shard.observe(metrics.latency[.shield], 5)
      shard.observe(metrics.latency[.shield], 50)
      for name in names { shard.increment(shard.resolve(metrics.attempts, name)[.acked]) }
      if merged == nil { merged = shard.snapshot() } else { merged?.merge(shard.snapshot()) }
    }
    var snapshot = merged!
    #expect(snapshot.value(metrics.opened) == 6)
    #expect(snapshot.value(metrics.active) == 3)
    #expect(snapshot.value(metrics.revision) == 10)
    #expect(snapshot.value(metrics.latency[.shield]).count == 6)
    #expect(snapshot.value(metrics.latency[.shield]).sum == 165)
    #expect(snapshot.value(metrics.latency[.graceful]).count == 0)
    #expect(snapshot.value(snapshot.resolve(metrics.attempts, "a")[.acked]) == 2)
    #expect(snapshot.value(snapshot.resolve(metrics.attempts, "b")[.acked]) == 1)
    #expect(snapshot.value(snapshot.resolve(metrics.attempts, "c")[.acked]) == 1)
  }

  @Test func `open labels beyond the cap are counted as other`() {
    let shards = [MetricShard(metrics.registry), MetricShard(metrics.registry)]
    for (number, shard) in shards.enumerated() {
      for name in 0..<250 {
        shard.increment(shard.resolve(metrics.attempts, "u\(number * 1000 + name)")[.reset])
      }
    }
    var merged = shards[0].snapshot()
    merged.merge(shards[1].snapshot())
    let text = exposition(merged)
    let rows = text.split(separator: "\n").filter { $0.hasPrefix("attempts_total{") && $0.contains("\"reset\"") }
    #expect(rows.count == openLabelValueLimit + 1)
    #expect(line("attempts_total{upstream=\"other\",result=\"reset\"}", in: text) == "300")
    let total = rows.compactMap { Int($0.split(separator: " ").last ?? "") }.reduce(0, +)
    #expect(total == 500)
  }

  @Test func `a snapshot does not change when its shard goes on`() {
    let shard = MetricShard(metrics.registry)
    shard.increment(metrics.opened)
    let before = shard.snapshot()
    shard.increment(metrics.opened)
    #expect(before.value(metrics.opened) == 1)
    #expect(shard.snapshot().value(metrics.opened) == 2)
  }

  @Test func `labels whose index does not count their cases are refused`() async {
    await #expect(processExitsWith: .failure) {
      enum Odd: Int, MetricLabel {
        case a = 3
        case b = 4
      }
      var define = RegistryBuilder()
      let odd: Family<Counter, Odd> = define.counters("odd_total", "Odd.", by: "odd")
      _ = odd
    }
  }
}

@Suite struct PrometheusTextTests {
  @Test func `a label's value of any text stays one value on one line`() {
    var out = ByteBuffer()
    let forged = "1\"} 1\nfermata_forged 7\n# \\"
    PrometheusText.write(
      "info", "gauge", "A \"help\".\nx", [([("version", forged), ("hash", "h")], 1), ([], 2.5)], to: &out)
    let golden = #"""
      # HELP info A "help".\nx
      # TYPE info gauge
      info{version="1\"} 1\nfermata_forged 7\n# \\",hash="h"} 1
      info 2.5

      """#
    #expect(String(decoding: out.toArray(), as: UTF8.self) == golden)
  }

  private enum End: MetricLabel {
    case done
    case timedOut(Int)

    static let allCases = [done, timedOut(1), timedOut(2)]
    var labelIndex: Int { if case .timedOut(let phase) = self { phase } else { 0 } }
    var labelText: String { labelIndex == 0 ? "done" : "\"timed\" out" }
    var companion: LabelCompanion? {
      if case .timedOut(let phase) = self { LabelCompanion("phase", "\\\(phase)") } else { nil }
    }
  }

  @Test func `series that were never used, or never come, can be left out, and a label can have one beside it`() {
    var define = RegistryBuilder()
    let rare: Family<Counter, Mode> = define.counters("rare_total", "R.", by: "mode", showsUnused: false)
    let ends: OpenFamily<Counter, End> = define.counters("ends_total", "E.", open: "name", by: "end")
    define.leaveOut(.timedOut(2), of: ends)
    let waits: OpenFamily<Histogram, Mode> = define.histograms("waits", "W.", open: "name", by: "mode", bounds: [1])
    let shard = MetricShard(define.build())
    let end = shard.resolve(ends, "x")
    let wait = shard.resolve(waits, "x")
    _ = shard.resolve(waits, "y")
    _ = shard.resolve(ends, "hidden", showsUnused: false)
    #expect(!exposition(shard.snapshot()).contains("rare_total{"))
    shard.increment(rare[.shield])
    shard.increment(end[.timedOut(1)])
    shard.observe(wait[.shield], 5)
    let golden = #"""
      # HELP rare_total R.
      # TYPE rare_total counter
      rare_total{mode="shield"} 1
      # HELP ends_total E.
      # TYPE ends_total counter
      ends_total{name="x",end="done"} 0
      ends_total{name="x",end="\"timed\" out",phase="\\1"} 1
      # HELP waits W.
      # TYPE waits histogram
      waits_bucket{name="x",mode="shield",le="1"} 0
      waits_bucket{name="x",mode="shield",le="+Inf"} 1
      waits_sum{name="x",mode="shield"} 5
      waits_count{name="x",mode="shield"} 1

      """#
    #expect(exposition(shard.snapshot()) == golden)
  }

  @Test func `the exposition is the golden text`() {
    var define = RegistryBuilder()
    let opened = define.counter("opened_total", "A \\ and a\nline.")
    let wait: Family<Histogram, Only> = define.histograms("wait", "Waits.", by: "kind", bounds: [0.25, 10])
    let upstreams: OpenFamily<Gauge> = define.gauges("load", "Load.", open: "upstream")
    let shard = MetricShard(define.build())
    shard.increment(opened, by: 3)
    shard.observe(wait[.one], 0.1)
    shard.observe(wait[.one], 99)
    shard.set(shard.resolve(upstreams, "z\"\\\n{}")[], to: .infinity)
    shard.set(shard.resolve(upstreams, "äb")[], to: -1.5)
    let golden = #"""
      # HELP opened_total A \\ and a\nline.
      # TYPE opened_total counter
      opened_total 3
      # HELP wait Waits.
      # TYPE wait histogram
      wait_bucket{kind="one",le="0.25"} 1
      wait_bucket{kind="one",le="10"} 1
      wait_bucket{kind="one",le="+Inf"} 2
      wait_sum{kind="one"} 99.1
      wait_count{kind="one"} 2
      # HELP load Load.
      # TYPE load gauge
      load{upstream="z\"\\\n{}"} +Inf
      load{upstream="äb"} -1.5

      """#
    #expect(exposition(shard.snapshot()) == golden)
  }
}
