import Harness
import JSON
import Processes
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// Ends, restarts, reloads.
  @Suite struct Drain {
    static let long = Script([.head(), .event(nil, "1"), .pause(.milliseconds(600)), .event("complete", "2"), .end])

    @Test func `SIGTERM with one active, one stalled and one idle`() async throws {
      let setup = World.Setup(
        variant: "graceful", settings: ["drain": "1200ms", "stream.clientStall": "30s", "stream.linger": "500ms"]
      ) { request in
        switch request.path {
        case "/active": Self.long
        case "/stalled": Script([.head(), .repeated(count: 4000, interval: .zero, [.stamped(size: 16_384)]), .stall])
        case "/endless": Script([.head(), .event(nil, "1"), .stall])
        default: .plain(Array("ok".utf8))
        }
      }
      try await World.with(setup) { world in
        let idle = try RawConnection(to: world.gateway.address)
        idle.send("GET /plain HTTP/1.1\r\nHost: h\r\n\r\n")
        #expect(idle.response()?.text == "ok")
        let active = world.openNew("/active")
        let endless = world.openNew("/endless")
        let oldEndless = world.open("/endless")
        var behaviour = ClientBehaviour()
        behaviour.stopsReadingAfter = 1000
        let stalled = world.openNew("/stalled", behaviour: behaviour)
        for stream in [active, endless, oldEndless] { #expect(await stream.receives("data: 1\n\n")) }
        #expect(await eventually { await stalled.soFar().body.count >= 1000 })

        let start = world.clock
        world.gateway.signal(15)
        #expect(idle.rest().isEmpty && idle.end == .finished, "an idle connection is closed at once")
        #expect(world.clock - start < .milliseconds(500) + MachineDelay.since(start))
        #expect(await world.gateway.ask("/readyz").status == 503)
        #expect(await world.gateway.ask("/healthz").status == 200)
        // Each loop hears of it for itself.
        #expect(await eventually { await world.fetch("/plain").status != 200 }, "no new connections")

        let finished = await active.result()
        #expect(finished.outcome == "completed" && finished.payloads == ["1", "2"])
        let told = await endless.result()
        #expect(told.outcome == "draining" && told.end == .clean && told.streamEnd?["resumable"]?.bool == false)
        let cut = await oldEndless.result()
        #expect(cut.end == .truncated || cut.end == .reset)
        #expect(await world.gateway.exit(within: .seconds(8)) == .code(0), "a stalled client does not hold it")
        stalled.hangUp()
      }
    }

    @Test func `the last stream of a drain is cut so that an HTTP/1.0 client sees it`() async throws {
      let script = Script([.head(), .event(nil, "1"), .stall])
      try await World.with(World.Setup(variant: "legacy", settings: ["drain": "300ms"]) { _ in script }) { world in
        let connection = try RawConnection(to: world.gateway.address)
        connection.send("GET / HTTP/1.0\r\nAccept: text/event-stream\r\n\r\n")
        #expect(connection.receives("data: 1\n\n"))
        world.gateway.signal(15)
        _ = connection.rest()
        #expect(connection.end == .reset, "a close would look like the end")
        #expect(await world.gateway.exit(within: .seconds(8)) == .code(0))
      }
    }

    @Test(arguments: ["false", "true"])
    func `a request that has no answer when a drain's time is over is told so, and may be tried elsewhere`(
      runs: String
    ) async throws {
      let configuration = """
        {
          upstreams: { main: { url: "UPSTREAM" } },
          routes: [{ name: "all", upstreams: "main", runs: \(runs) }],
        }
        """
      let setup = World.Setup(
        variant: "graceful", settings: ["drain": "300ms"], configuration: configuration
      ) { _ in Script([.stall]) }
      try await World.with(setup) { world in
        let connection = try RawConnection(to: world.gateway.address)
        connection.send("GET / HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n")
        #expect(await eventually { await world.gateway.metric("fermata_streams_waiting") == 1 })
        world.gateway.signal(15)
        let refusal = try #require(connection.response(seconds: 5))
        #expect(refusal.status == 503 && refusal.text.contains(#""code":"draining""#), "\(refusal.text)")
        #expect(refusal.head.value("Retry-After") == "1")
        #expect(connection.rest().isEmpty && connection.end == .finished)
        connection.close()
        #expect(await world.gateway.exit(within: .seconds(5)) == .code(0))
      }
    }

    @Test func `runs go on in a drain for as long as runs.drain says, other streams for drain`() async throws {
      let configuration = """
        {
          upstreams: { main: { url: "UPSTREAM" } },
          routes: [
            { name: "kept", path: "/kept", upstreams: "main", runs: true },
            { name: "all", path: "/*", upstreams: "main" },
          ],
        }
        """
      let setup = World.Setup(
        variant: "graceful", settings: ["drain": "300ms", "runs.drain": "4s"], configuration: configuration
      ) { request in
        request.path == "/kept"
          ? Script([.head(), .event(nil, "1"), .pause(.seconds(2)), .event("complete", "2"), .end])
          : Script([.head(), .event(nil, "1"), .stall])
      }
      try await World.with(setup) { world in
        let (kept, plain) = (world.openNew("/kept"), world.openNew("/plain"))
        for stream in [kept, plain] { #expect(await stream.receives("data: 1\n\n")) }
        world.gateway.signal(15)
        #expect(await plain.result().outcome == "draining")
        let whole = await kept.result()
        #expect(whole.outcome == "completed" && whole.payloads == ["1", "2"])
        #expect(await world.gateway.exit(within: .seconds(5)) == .code(0))
      }
    }

    @Test func `signals that come while it ends take nothing from its end`() async throws {
      let setup = World.Setup(variant: "graceful") { _ in Script([.head(), .event(nil, "1"), .stall]) }
      try await World.with(setup) { world in
        let stream = world.openNew()
        #expect(await stream.receives("data: 1\n\n"))
        let deadline = world.clock + .seconds(20)
        while world.gateway.isRunning, world.clock < deadline {
          for signal in [15, 2, 1] as [Int32] { world.gateway.signal(signal) }
        }
        #expect(await world.gateway.exit(within: .seconds(1)) == .code(0))
        #expect(world.gateway.log("stopped").count == 1, "\(world.gateway.logText.suffix(2000))")
        stream.hangUp()
      }
    }

    @Test func `a drain without streams is over at once, and a second signal ends any drain at once`() async throws {
      try await World.with(World.Setup(settings: ["drain": "30s"])) { world in
        world.gateway.signal(15)
        #expect(await world.gateway.exit(within: .seconds(2)) == .code(0))
      }
      try await World.with(World.Setup(settings: ["drain": "30s"])) { world in
        let open = world.open("/?events=1&stall=1")
        #expect(await open.receives("data:"))
        world.gateway.signal(15)
        #expect(await eventually { !world.gateway.log("draining").isEmpty })
        #expect(world.gateway.isRunning)
        world.gateway.signal(15)
        #expect(await world.gateway.exit(within: .seconds(3)) == .code(0))
        let result = await open.result()
        #expect(result.end == .reset || result.end == .truncated)
      }
    }

    @Test func `a kept connection may not start another stream in a drain`() async throws {
      try await World.with("graceful", Self.long) { world in
        let connection = try RawConnection(to: world.gateway.address)
        connection.send("GET / HTTP/1.1\r\nHost: h\r\nPrefer: stream-end\r\n\r\n")
        #expect(connection.receives("data: 1\n\n"))
        world.gateway.signal(15)
        #expect(await eventually { !world.gateway.log("draining").isEmpty })
        connection.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        #expect(connection.response()?.text.contains("stream_end") == true, "what runs, finishes")
        let second = connection.response()
        #expect(second == nil || second?.status == 503, "\(String(describing: second?.status))")
        #expect(world.backend.requests.count == 1)
      }
    }

    @Test func `a second process takes the port over without a lost request`() async throws {
      try await World.with { world in
        let second = try await GatewayProcess.start(
          ["--upstream", world.backend.url, "--share"], listen: "\(world.gateway.address)", clients: world.clients)
        #expect(second.address == world.gateway.address)
        let long = world.open("/?events=3&interval=200&complete=done")
        #expect(await long.receives("data:"))
        world.gateway.signal(15)
        #expect(await eventually { !world.gateway.log("draining").isEmpty })
        for _ in 0..<50 { #expect(await world.fetch("/?plain=1").status == 200) }
        #expect(await long.result().end == .clean)
        #expect(await eventually { !world.gateway.isRunning || second.outcomes.count == 1 })
        second.signal(15)
        #expect(await second.exit(within: .seconds(5)) == .code(0))
      }
    }

    @Test func `SIGHUP takes a good configuration and refuses a bad one, without touching what runs`() async throws {
      let text = "{ upstream: \"UPSTREAM\", stream: { keepalive: \"10s\", numberEvents: true } }"
      let setup = World.Setup(variant: "graceful", configuration: text, script: { _ in Self.long })
      try await World.with(setup) { world in
        let running = world.openNew()
        #expect(await running.receives("data: 1\n\n"))
        world.configure("{ upstream: \"UPSTREAM\", stream: { numberEvents: false } }")
        world.gateway.signal(1)
        #expect(await eventually { world.gateway.log("configuration_reloaded").count == 1 })
        #expect(await running.result().events.contains { $0.id != nil }, "it keeps what it started with")
        let after = await world.fetchNew()
        #expect(after.outcome == "completed" && after.events.allSatisfy { $0.id == nil })
        world.configure("{ upstream: \"UPSTREAM\", stream: { numberEvents: 3, nonsense: 1 } }")
        world.gateway.signal(1)
        #expect(await eventually { world.gateway.log("configuration_reload_failed").count == 1 })
        let reason = world.gateway.log("configuration_reload_failed").last?["reason"]?.string ?? ""
        #expect(reason.contains("stream.nonsense") && reason.contains("stream.numberEvents"), "\(reason)")
        #expect(await world.gateway.metric("fermata_config_reload_failed") == 1)
        #expect(await world.fetchNew().outcome == "completed", "the last good one is kept")
        world.configure(text)
        world.gateway.signal(1)
        #expect(await eventually { await world.gateway.metric("fermata_config_reload_failed") == 0 })
      }
    }
  }
}
