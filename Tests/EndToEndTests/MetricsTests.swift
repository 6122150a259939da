import Glibc
import Harness
import JSON
import RunningGateway
import Streams
import Testing
import Time

extension EndToEnd {
  /// What is counted by route and by status.
  @Suite struct Metrics {
    static let routes = """
      {
        upstreams: { only: { url: "UPSTREAM" }, spare: { url: "UPSTREAM" }, down: { url: "http://127.0.0.1:1" } },
        routes: [
          { name: "chat", path: "/chat", upstreams: "only" },
          { name: "two", path: "/two", upstreams: ["down", "spare"] },
          { name: "quiet", path: "/quiet", upstreams: "only" },
        ],
      }
      """

    static func plain(_ status: Int) -> Script {
      Script([.head(Script.Head(status: status, framing: .length(nil))), .body("x"), .end])
    }

    @Test(arguments: [200, 401, 429, 500, 503, 418])
    func `a status of a backend is counted by route and by upstream`(status: Int) async throws {
      try await World.with(World.Setup(configuration: Self.routes) { _ in Self.plain(status) }) { world in
        for _ in 0..<3 { #expect(await world.fetch("/chat", fields: []).status == status) }
        let code = status == 418 ? "4xx" : "\(status)"
        let metrics = try await world.gateway.metrics()
        #expect(
          metrics.value("fermata_responses_total", ["route": "chat", "origin": "upstream", "code": code]) == 3)
        #expect(metrics.value("fermata_responses_total", ["route": "chat"]) == 3)
        #expect(metrics.value("fermata_responses_total", ["route": "quiet"]) == 0, "from the start")
        #expect(metrics.value("fermata_upstream_responses_total", ["upstream": "only", "code": code]) == 3)
      }
    }

    @Test func `answers of the gateway's own are counted by route, and so is who answered in another's place`()
      async throws
    {
      try await World.with(World.Setup(configuration: Self.routes) { _ in Self.plain(200) }) { world in
        #expect(await world.fetch("/nowhere").status == 404)
        #expect(await world.fetch("/two").status == 200)
        let connection = try RawConnection(to: world.gateway.address)
        connection.send("GET / HTTP/9\r\n\r\n")
        let refusal = try #require(connection.response()).status
        let metrics = try await world.gateway.metrics()
        func own(_ route: String, _ code: Int) -> Double {
          metrics.value(
            "fermata_responses_total", ["route": route, "origin": "gateway", "code": StatusWord.of(code)])
        }
        #expect(own("none", 404) == 1)
        #expect(own("none", refusal) == 1)
        #expect(metrics.value("fermata_failovers_total", ["route": "two"]) == 1)
        #expect(metrics.value("fermata_failovers_total") == 1)
      }
    }

    @Test func `a client that leaves while it waits is a 499, and waits until then`() async throws {
      let script: @Sendable (RecordedRequest) -> Script = { _ in Script([.pause(.seconds(2)), .head(), .end]) }
      try await World.with(World.Setup(configuration: Self.routes, script: script)) { world in
        let connection = try RawConnection(to: world.gateway.address)
        connection.send("GET /chat HTTP/1.1\r\nHost: h\r\n\r\n")
        #expect(await eventually { await world.gateway.metric("fermata_streams_waiting", ["route": "chat"]) == 1 })
        connection.reset()
        #expect(
          await eventually {
            await world.gateway.metric("fermata_responses_total", ["route": "chat", "code": "499"]) == 1
          })
        #expect(await world.gateway.metric("fermata_streams_waiting") == 0)
      }
    }

    @Test(arguments: ["legacy", "graceful"])
    func `what open streams carry is counted while they are open`(variant: String) async throws {
      let script = Script([.head(), .event(nil, "one"), .event(nil, "two"), .pause(.seconds(4)), .end])
      let setup = World.Setup(variant: variant, configuration: Self.routes) { _ in script }
      try await World.with(setup) { world in
        let streams = (0..<20).map { _ in world.openNew("/chat") }
        #expect(await eventually { await world.gateway.metric("fermata_events_total", ["mode": variant]) == 40 })
        let open = try await world.gateway.metrics()
        #expect(open.value("fermata_streams_open", ["route": "chat"]) == 20)
        #expect(open.value("ai_stream_bytes_sent_total") > 200)
        #expect(open.value("fermata_stream_first_event_seconds_count", ["route": "chat"]) == 20)
        #expect(open.value("fermata_route_outcomes_total") == 0)
        try await Task.sleep(for: .milliseconds(1200))
        #expect(await world.gateway.metric("fermata_stream_silence_seconds_max", ["route": "chat"]) > 1)
        for stream in streams { _ = await stream.result() }
        #expect(
          await eventually {
            await world.gateway.metric("fermata_route_outcomes_total", ["route": "chat", "outcome": "incomplete"]) == 20
          })
        let closed = try await world.gateway.metrics()
        #expect(closed.value("fermata_events_total") == 40, "nothing is counted twice")
        #expect(closed.value("fermata_streams_open") == 0)
        #expect(closed.value("fermata_stream_duration_seconds_count", ["route": "chat"]) == 20)
        #expect(closed.value("fermata_stream_silence_seconds_max") == 0)
      }
    }

    @Test func `the limit that ends a stream is counted under its name`() async throws {
      let setup = World.Setup(
        variant: "graceful", settings: ["stream.total": "300ms"], configuration: Self.routes
      ) { _ in Script([.head(), .event(nil, "one"), .pause(.seconds(3)), .end]) }
      try await World.with(setup) { world in
        _ = await world.fetchNew("/chat")
        #expect(await world.outcomes() == ["cancelled"])
        let metrics = try await world.gateway.metrics()
        #expect(metrics.value("fermata_stream_limits_total", ["route": "chat", "limit": "total"]) == 1)
        #expect(metrics.value("fermata_stream_limits_total") == 1)
      }
    }

    @Test func `a name that was changed is there beside the new one, with the same numbers`() async throws {
      try await World.with { world in
        _ = await world.fetch("/?events=3&complete=done")
        _ = await world.outcomes()
        let metrics = try await world.gateway.metrics()
        for sample in metrics.samples where sample.name == "fermata_upstream_phase_seconds_count" {
          #expect(metrics.value("fermata_upstream_phase_milliseconds_count", sample.labels) == sample.value)
        }
        for sample in metrics.samples where sample.name == "fermata_upstream_phase_seconds_sum" {
          let old = metrics.value("fermata_upstream_phase_milliseconds_sum", sample.labels)
          #expect(abs(old - 1000 * sample.value) < 1e-6)
        }
        let bounds = metrics.samples.filter { $0.name == "fermata_upstream_phase_milliseconds_bucket" }
        let words = [
          "1", "5", "10", "25", "50", "100", "250", "500", "1000", "2500", "5000", "10000", "30000", "60000",
        ]
        #expect(Set(bounds.compactMap { $0.labels["le"] }) == Set(words + ["300000", "+Inf"]))
        #expect(metrics.samples.contains { $0.name == "fermata_flag_load_failures" })
      }
    }

    @Test func `the number of series is bounded by routes and upstreams`() async throws {
      func series(_ configuration: String) async throws -> Int {
        var count = 0
        try await World.with(World.Setup(configuration: configuration) { _ in Self.plain(200) }) { world in
          for path in ["/chat", "/two", "/quiet", "/other"] { _ = await world.fetch(path) }
          count = try await world.gateway.metrics().samples.count
        }
        return count
      }
      let many = try await series(Self.routes)
      let quiet = "{ name: \"quiet\", path: \"/quiet\", upstreams: \"only\" },"
      let fewer = try await series(Self.routes.replacing(quiet, with: ""))
      #expect(many - fewer <= 100, "one route has \(many - fewer)")
    }
  }
}

/// The label of a status.
private enum StatusWord {
  static func of(_ status: Int) -> String {
    switch status {
    case 400, 404, 408, 413: "\(status)"
    case 400..<500: "4xx"
    default: status == 505 ? "5xx" : "\(status)"
    }
  }
}
