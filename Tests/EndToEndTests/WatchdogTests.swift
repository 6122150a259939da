import Harness
import JSON
import Processes
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// The clocks of a stream, with small values given by variables.
  @Suite struct WatchdogTests {
    @Test func `no event in time ends with first_token_timeout`() async throws {
      let script = Script([.head(), .comment("hi"), .stall])
      try await World.with("graceful", settings: ["stream.firstToken": "300ms"], script) { world in
        let new = await world.fetchNew()
        #expect(new.outcome == "first_token_timeout" && new.end == .clean)
        #expect(new.endedAt - new.startedAt > .milliseconds(250))
        let old = await world.fetch()
        #expect(old.end != .clean && old.status == 200)
        #expect(await world.outcomes(2) == ["first_token_timeout", "first_token_timeout"])
        #expect(await eventually { world.backend.openRequests == 0 })
      }
    }

    @Test func `a backend that sends no head in time is 504`() async throws {
      let settings = ["defaults.timeouts.head": "300ms", "stream.firstToken": "10s"]
      try await World.with("graceful", settings: settings, Script([.stall])) { world in
        let result = await world.fetchNew()
        #expect(result.status == 504 && result.end == .clean)
        #expect(result.text.contains(#""limit":"timeouts.head""#) && result.text.contains("in time (timeouts.head)"))
        #expect(await eventually { world.gateway.logText.contains(#""limit":"timeouts.head""#) })
        #expect(await eventually { world.backend.openRequests == 0 })
      }
    }

    @Test func `events that come in time keep the idle clock quiet`() async throws {
      let events = Script.Step.repeated(count: 8, interval: .milliseconds(150), [.event(nil, "x")])
      let script = Script([.head(), events, .event("done", "y"), .end])
      try await World.with("graceful", settings: ["stream.idle": "500ms"], script) { world in
        let result = await world.fetchNew()
        #expect(result.outcome == "completed" && result.payloads.count == 9)
      }
    }

    @Test func `a comment of the backend is a sign of life`() async throws {
      let comments = Script.Step.repeated(count: 8, interval: .milliseconds(150), [.comment("alive")])
      let script = Script([.head(), .event(nil, "1"), comments, .event("done", "2"), .end])
      try await World.with("graceful", settings: ["stream.idle": "500ms"], script) { world in
        #expect(await world.fetchNew().outcome == "completed")
      }
    }

    @Test func `silence towards a graceful client is filled with comments`() async throws {
      let script = Script([.head(), .event(nil, "1"), .pause(.milliseconds(700)), .event("done", "2"), .end])
      try await World.with("graceful", settings: ["stream.keepalive": "100ms"], script) { world in
        let result = await world.fetchNew()
        let comments = result.text.split(separator: "\n", omittingEmptySubsequences: false).count { $0 == ":" }
        #expect((2...8).contains(comments), "\(comments) comments in \(result.text)")
        #expect(result.outcome == "completed" && result.payloads == ["1", "2"])
        #expect(await world.gateway.metric("fermata_keepalives_total") == Double(comments))
      }
    }

    @Test func `the total time ends a stream that never falls silent`() async throws {
      let events = Script.Step.repeated(count: 100, interval: .milliseconds(50), [.event(nil, "x")])
      let script = Script([.head(), events, .end])
      try await World.with("graceful", settings: ["stream.total": "500ms"], script) { world in
        let new = await world.fetchNew()
        #expect(new.outcome == "cancelled" && new.end == .clean && new.payloads.count < 30)
        let old = await world.fetch()
        #expect(old.end != .clean)
      }
    }

    @Test func `a duration of 0 switches a watchdog off`() async throws {
      let settings = ["stream.idle": "0", "stream.firstToken": "0", "stream.keepalive": "0"]
      let script = Script([.head(), .pause(.milliseconds(600)), .event("done", "1"), .end])
      try await World.with("graceful", settings: settings, script) { world in
        let result = await world.fetchNew()
        #expect(result.outcome == "completed" && !result.text.contains("\n:\n"))
      }
    }
  }

  /// Clients that read slowly, or not at all.
  @Suite struct BackPressure {
    @Test func `a slow reader is not mistaken for a silent backend`() async throws {
      let script = Script([
        .head(), .repeated(count: 40, interval: .zero, [.stamped(size: 65_536)]), .event("done", "1"), .end,
      ])
      try await World.with("graceful", settings: ["stream.idle": "300ms"], script) { world in
        let connection = try RawConnection(to: world.gateway.address, receiveBuffer: 16_384)
        connection.send("GET / HTTP/1.1\r\nHost: h\r\nPrefer: stream-end\r\n\r\n")
        // Three times the idle time without a single byte taken, and then slowly.
        for _ in 0..<6 {
          _ = connection.take(4096)
          try await Task.sleep(for: .milliseconds(160))
        }
        let response = try #require(connection.response())
        #expect(response.text.contains("\"outcome\":\"completed\""))
        #expect(response.body.count > 40 * 65_536)
      }
    }

    @Test func `a reader that stalls costs its buffers and no more, then is let go`() async throws {
      let event = Script.event(nil, String(repeating: "x", count: 65_536))
      let setup = World.Setup(settings: ["stream.clientStall": "3s"]) { request in
        request.path == "/large"
          ? Script([.head(), .repeated(count: 1000, interval: .zero, [.body(event)]), .end]) : .events(["1"])
      }
      try await World.with(setup) { world in
        _ = await world.fetch("/small")
        let before = try world.gateway.usage()
        var behaviour = ClientBehaviour()
        behaviour.stopsReadingAfter = 1000
        let stalled = (0..<8).map { _ in world.open("/large", behaviour: behaviour) }
        let areOpen = await eventually { await world.gateway.metric("ai_stream_connections_active") == 8 }
        #expect(areOpen)
        try await Task.sleep(for: .milliseconds(500))
        let during = try world.gateway.usage()
        #expect(during.residentBytes - before.residentBytes < 24 << 20, "8 streams of 64 MB each")
        let outcomes = await world.outcomes(9)
        #expect(outcomes.dropFirst().allSatisfy { $0 == "client_stalled" }, "\(outcomes)")
        #expect(await eventually { world.backend.openRequests == 0 })
        for stream in stalled { stream.hangUp() }
        let isBack = await eventually {
          ((try? world.gateway.usage().descriptors) ?? .max) <= before.descriptors
        }
        #expect(isBack, "descriptors are back")
      }
    }

    @Test func `an event without an end passes in legacy and ends graceful`() async throws {
      let size = 64 << 20
      try await World.with("graceful", Script([.head(), .flood(size), .body("\n\n"), .end])) { world in
        let new = await world.fetchNew()
        #expect(new.outcome == "event_too_large" && new.end == .clean && new.payloads.isEmpty)
        #expect(new.body.count < 10_000)
        let old = try RawConnection(to: world.gateway.address)
        old.send("GET / HTTP/1.0\r\n\r\n")
        var came = 0
        while case let count = old.takeAndForget(), count > 0 { came += count }
        #expect(came >= size + 2 && old.end == .finished)
        let usage = try world.gateway.usage()
        #expect(usage.residentBytes < 96 << 20, "\(usage.residentBytes)")
      }
    }

    @Test func `a request's body waits for a backend that does not take it`() async throws {
      try await World.with(World.Setup(settings: ["limits.bodyTimeout": "5s"])) { world in
        let body = [UInt8](repeating: 7, count: 8 << 20)
        let result = await world.send(ClientRequest("POST", "/?plain=1", body: body))
        #expect(result.status == 200 && world.backend.requests[0].bodyLength == body.count)
      }
    }

    @Test func `a client that half-closes gets its whole answer`() async throws {
      let script = Script([
        .head(), .pause(.milliseconds(100)), .event(nil, "1"), .pause(.milliseconds(100)), .event("done", "2"), .end,
      ])
      try await World.with("graceful", script) { world in
        var behaviour = ClientBehaviour()
        behaviour.halfCloses = true
        let new = await world.fetchNew(behaviour: behaviour)
        #expect(new.end == .clean && new.outcome == "completed" && new.payloads == ["1", "2"])
        let old = await world.fetch(behaviour: behaviour)
        #expect(old.end == .clean && old.payloads == ["1", "2"])
        let plain = await world.fetch("/", fields: [], behaviour: behaviour)
        #expect(plain.end == .clean)
      }
    }

    @Test func `where the route says so, a half-close is a cancel`() async throws {
      let script = Script([.head(), .event(nil, "1"), .stall])
      try await World.with("graceful", settings: ["stream.onHalfClose": "cancel"], script) { world in
        var behaviour = ClientBehaviour()
        behaviour.halfCloses = true
        _ = await world.fetchNew(behaviour: behaviour)
        #expect(await eventually { world.backend.openRequests == 0 && !world.backend.requests.isEmpty })
      }
    }

    @Test func `a client that half-closed and then went away is noticed`() async throws {
      let script = Script([.head(), .repeated(count: 200, interval: .milliseconds(50), [.event(nil, "x")]), .end])
      try await World.with("graceful", script) { world in
        let connection = try RawConnection(to: world.gateway.address)
        connection.send("GET / HTTP/1.1\r\nHost: h\r\nPrefer: stream-end\r\n\r\n")
        #expect(connection.receives("data: x"))
        connection.finishWriting()
        connection.close()
        #expect(await world.outcomes() == ["client_gone"])
        #expect(await eventually { world.backend.openRequests == 0 })
      }
    }
  }
}
