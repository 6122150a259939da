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

    @Test func `a status of a backend that means a client that left is not taken for one`() async throws {
      try await World.with(World.Setup(configuration: Self.routes) { _ in Self.plain(499) }) { world in
        #expect(await world.fetch("/chat", fields: []).status == 499)
        let metrics = try await world.gateway.metrics()
        #expect(metrics.value("fermata_responses_total", ["route": "chat", "origin": "upstream", "code": "4xx"]) == 1)
        #expect(metrics.value("fermata_upstream_responses_total", ["upstream": "only", "code": "4xx"]) == 1)
        #expect(metrics.value("fermata_responses_total", ["code": "499"]) == 0)
        #expect(await eventually { world.gateway.log("request_done").first?["closer"]?.string == "backend" })
      }
    }

    @Test func `a flag file's version can't forge a sample`() async throws {
      try await World.with { world in
        let version = #"v\"} 1\nfermata_up{evil=\"\\"#
        world.flags.replace(FlagFile.document("graceful", version: version))
        #expect(await eventually { world.gateway.log("flags_loaded").count == 2 })
        let metrics = try await world.gateway.metrics()
        let info = metrics.samples.filter { $0.name == "fermata_flags_info" }
        #expect(info.compactMap { $0.labels["version"] } == [#"v\"} 1?fermata_up{evil=\"\\"#])
        #expect(!metrics.samples.contains { $0.name == "fermata_up" })
      }
    }

    /// What docs/operations.md says: 300, 180 for each upstream and 100 for each route; the series of clients come on top.
    @Test func `the number of series is bounded by routes and upstreams`() async throws {
      let script: @Sendable (RecordedRequest) -> Script = { request in
        request.path.contains("plain") ? Self.plain(200) : ScriptQuery("events=3&complete=done").script
      }
      try await World.with(World.Setup(variant: "graceful", configuration: Self.routes, script: script)) { world in
        for path in ["/chat", "/two", "/quiet"] {
          _ = await world.fetchNew(path)
          _ = await world.fetch(path)
          _ = await world.fetch(path + "?plain", fields: [])
        }
        _ = await world.fetch("/other")
        _ = await world.outcomes(6)
        for path in ["/flags", "/streams", "/upstreams", "/runs", "/dashboard", "/", "/none"] {
          _ = await world.gateway.ask(path)
        }
        let samples = try await world.gateway.metrics().samples.filter { $0.name != "fermata_client_streams_total" }
        for route in ["chat", "two", "quiet"] {
          let own = samples.filter { $0.labels["route"] == route }
          #expect((90...100).contains(own.count), "\(route) has \(own.count)")
        }
        for upstream in ["only", "spare", "down"] {
          let own = samples.filter { $0.labels["upstream"] == upstream }
          #expect(own.count <= 180, "\(upstream) has \(own.count)")
          #expect(own.count >= (upstream == "down" ? 50 : 120), "\(upstream) has \(own.count)")
        }
        let rest = samples.filter { $0.labels["upstream"] == nil && ($0.labels["route"] ?? "none") == "none" }
        #expect((200...300).contains(rest.count), "\(rest.count)")
      }
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
