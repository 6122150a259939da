import Harness
import JSON
import Processes
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// The operators' side.
  @Suite struct Admin {
    @Test func `health and readiness answer`() async throws {
      try await World.with { world in
        #expect(await world.gateway.ask("/healthz").status == 200)
        #expect(await world.gateway.ask("/readyz").status == 200)
        #expect(await world.gateway.ask("/healthz", method: "HEAD").body.isEmpty)
        #expect(await world.gateway.ask("/nothing").status == 404)
        #expect(await world.gateway.ask("/metrics", method: "POST").status == 405)
        #expect(world.backend.requests.isEmpty)
      }
    }

    @Test func `metrics are valid Prometheus text with the names that dashboards know`() async throws {
      try await World.with(World.Setup(variant: "graceful")) { world in
        let open = world.openNew("/?events=2&stall=2")
        #expect(await open.receives("{\"n\":2}"))
        _ = await world.fetchNew("/?events=5&complete=done")
        _ = await world.fetch("/?events=1&cut=1")
        _ = await world.outcomes(2)
        let metrics = try await world.gateway.metrics()
        #expect(metrics.types["ai_stream_connections_active"] == "gauge")
        #expect(metrics.value("ai_stream_connections_active") == 1)
        #expect(metrics.types["ai_stream_ttfb_milliseconds"] == "histogram")
        #expect(metrics.value("ai_stream_ttfb_milliseconds_count") == 3)
        #expect(metrics.types["ai_stream_duration_milliseconds"] == "histogram")
        #expect(metrics.value("ai_stream_duration_milliseconds_count") == 2)
        #expect(metrics.types["ai_stream_bytes_sent_total"] == "counter")
        #expect(metrics.value("ai_stream_bytes_sent_total") > 100)
        #expect(metrics.types["ai_stream_clients_gauge"] == "gauge")
        #expect(metrics.value("ai_stream_clients_gauge") >= 1)
        let graceful = ["mode": "graceful", "outcome": "completed"]
        #expect(metrics.value("fermata_outcomes_total", graceful) == 1)
        let cut = ["mode": "legacy", "outcome": "upstream_truncated"]
        #expect(metrics.value("fermata_outcomes_total", cut) == 1)
        for name in ["fermata_close_total", "fermata_streams_total", "fermata_shadow_streams_total"] {
          #expect(metrics.types[name] == "counter", "\(name)")
        }
        open.hangUp()
      }
    }

    @Test func `streams lists what is open, without a secret in it`() async throws {
      try await World.with(World.Setup(variant: "graceful")) { world in
        let fields = [Script.Field.prefersStreamEnd, .init("Authorization", "Bearer very-secret-token")]
        let open = world.open("/secret-path?key=very-secret-key&events=3&stall=3", fields: fields)
        #expect(await open.receives("{\"n\":3}"))
        let result = await world.gateway.ask("/streams")
        let document = try JSONValue(parsing: result.body)
        let stream = try #require(document["streams"]?.array?.first)
        #expect(document["count"]?.integer == 1 && stream["mode"]?.string == "graceful")
        #expect(stream["events"]?.integer == 3 && stream["capability"]?.string == "prefer")
        let id = await open.soFar().head.value("X-Stream-Id")
        #expect(stream["streamId"]?.string == id)
        #expect(!result.text.contains("very-secret") && !world.gateway.logText.contains("very-secret"))
        open.hangUp()
        #expect(await world.outcomes() == ["client_gone"])
        let after = try await world.gateway.json("/streams")
        #expect(after["count"]?.integer == 0)
      }
    }

    @Test func `flags tells what is in force on every worker`() async throws {
      try await World.with(World.Setup(variant: "shield", settings: ["workers": "3"])) { world in
        let document = try await world.gateway.json("/flags")
        #expect(document["version"]?.string == "1" && document["killed"]?.bool == false)
        #expect(document["file"]?.string == world.flags.path)
        let workers = try #require(document["workers"]?.array)
        #expect(workers.count == 3 && workers.allSatisfy { $0["hash"] == document["hash"] })
        #expect(document["flags"]?["stream-closing"]?["defaultVariant"]?.string == "shield")
      }
    }

    @Test func `a token is asked for, and nothing is told without it`() async throws {
      let settings = ["admin.token": "0123456789abcdef-secret"]
      try await World.with(World.Setup(settings: settings)) { world in
        let none = await world.gateway.ask("/streams")
        #expect(none.status == 401 && none.head.value("WWW-Authenticate") == "Bearer")
        let wrong = [Script.Field("Authorization", "Bearer 0123456789abcdef-secreu")]
        #expect(await world.gateway.ask("/metrics", fields: wrong).status == 401)
        let right = [Script.Field("Authorization", "Bearer 0123456789abcdef-secret")]
        #expect(await world.gateway.ask("/metrics", fields: right).status == 200)
        #expect(!world.gateway.logText.contains("0123456789abcdef-secret"))
        world.gateway.signal(15)
        #expect(await world.gateway.exit(within: .seconds(5)) == .code(0))
      }
    }

    @Test func `the log is one JSON object a line, with each stream's life`() async throws {
      try await World.with(World.Setup(variant: "graceful")) { world in
        let trace = Script.Field("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        let result = await world.fetchNew("/path%0aX?events=2&complete=done", fields: [trace])
        _ = await world.outcomes()
        let lines = world.gateway.logText.split(separator: "\n")
        #expect(lines.count == world.gateway.log.count, "every line is JSON")
        let opened = try #require(world.gateway.log("stream_opened").first)
        let closed = try #require(world.gateway.log("request_done").first)
        #expect(opened["streamId"]?.string == result.head.value("X-Stream-Id"))
        #expect(closed["streamId"] == opened["streamId"] && closed["events"]?.integer == 3)
        #expect(closed["traceId"]?.string == "4bf92f3577b34da6a3ce929d0e0e4736")
      }
    }

    @Test func `runs lists each run that is kept once, whatever the loops that read it`() async throws {
      let script = RunWorld.ticking(200, every: .milliseconds(20))
      let setup = RunWorld.setup("{ onDisconnect: \"continue\" }", workers: 3) { request in
        request.path == "/short" ? RunWorld.ticking(2, every: .zero) : script
      }
      try await World.with(setup) { world in
        let over = await world.fetchNew("/short")
        let first = world.open("/?key=very-secret-key", fields: [.acceptsEvents, .prefersStreamEnd])
        #expect(await first.receives("data: 3\n"))
        let stream = try #require(await first.soFar().head.value("X-Stream-Id"))
        let others = (1...8).map { _ in world.openNew("/fermata/streams/\(stream)") }
        for other in others { #expect(await other.receives("data: 5\n")) }
        let result = await world.gateway.ask("/runs")
        let document = try JSONValue(parsing: result.body)
        #expect(document["count"]?.integer == 2 && document["isCut"]?.bool == false)
        let runs = try #require(document["runs"]?.array)
        let running = try #require(runs.first { $0["streamId"]?.string == stream })
        #expect(running["state"]?.string == "running" && running["readers"]?.integer == 9)
        #expect(running["store"]?.string == "memory" && running["owner"]?.string == "this gateway")
        #expect((running["sequence"]?.integer ?? 0) >= 5 && (running["bytesKept"]?.integer ?? 0) > 0)
        #expect(running["attempts"]?.integer == 1 && running["route"]?.string == "all")
        let ended = try #require(runs.first { $0["streamId"]?.string == over.streamID })
        #expect(ended["outcome"]?.string == "completed" && ended["readers"]?.integer == 0)
        #expect(ended["state"]?.string == "ended" && ended["sequence"]?.integer == 3)
        #expect(!result.text.contains("very-secret"))
        for reader in others + [first] { reader.hangUp() }
        #expect(await world.send(ClientRequest("DELETE", "/api/agents/run/\(stream)")).status == 204)
      }
    }
  }
}
