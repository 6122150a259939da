import Harness
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// The old behaviour: the backend's bytes, and nothing else.
  @Suite struct Legacy {
    static let oddities =
      "\u{FEFF}: a comment\n\ndata: \"\"\n\ndata:\n\ndata\n\nid: 1\n\nretry: 10\n\nevent: custom\rdata: a\r\r"
      + "data: b\r\ndata: c\r\n\r\n:\n: x\nunknown: field\nid: a\0b\ndata: \u{1F600}\n\n\n\n\ndata: not json {\n\n"

    @Test(arguments: [Script.Framing.chunked, .length(nil), .untilClose])
    func `the body is byte for byte what the backend sent`(framing: Script.Framing) async throws {
      let script = Script([.head(Script.Head(framing: framing)), .body(Self.oddities), .end])
      try await World.with("graceful", script) { world in
        let result = await world.fetch()
        #expect(result.mode == "legacy" && result.end == .clean)
        #expect(result.body == Array(Self.oddities.utf8))
      }
    }

    @Test func `the same bytes come when each is a packet of its own`() async throws {
      let bytes = Array(Self.oddities.utf8)
      let script = Script([.head(), .trickle(bytes, piece: 1, interval: .milliseconds(1)), .end])
      try await World.with("legacy", script) { world in
        let result = await world.fetch()
        #expect(result.end == .clean && result.body == bytes)
      }
    }

    @Test func `nothing is added: no ids, no retry, no comments, no end`() async throws {
      let script = Script([.head(), .event(nil, "1"), .pause(.milliseconds(400)), .event("complete", "2"), .end])
      try await World.with("legacy", settings: ["stream.keepalive": "100ms"], script) { world in
        let result = await world.fetchNew()
        #expect(result.mode == "legacy")
        #expect(result.text == "data: 1\n\nevent: complete\ndata: 2\n\n")
        #expect(result.head.value("Preference-Applied") == nil)
      }
    }

    @Test func `a keepalive the route asks for is a comment line, between events only`() async throws {
      let settings = ["stream.keepalive": "100ms", "stream.keepaliveInLegacy": "true"]
      let script = Script([
        .head(), .event(nil, "1"), .pause(.milliseconds(500)), .body("data: 2"), .pause(.milliseconds(500)),
        .body("\n\n"), .end,
      ])
      try await World.with("legacy", settings: settings, script) { world in
        let text = await world.fetch().text
        #expect(text.hasPrefix("data: 1\n\n:\n"), "\(text)")
        #expect(text.hasSuffix(":\ndata: 2\n\n"), "no comment inside the event: \(text)")
        #expect(!text.contains(":\n\n"))
      }
    }

    @Test func `the backend's own content type is kept, and nothing on the way may hold events back`() async throws {
      let fields = [Script.Field("Content-Type", "text/event-stream;charset=UTF-8"), .init("X-Own", "kept")]
      let script = Script([.head(Script.Head(fields: fields)), .event(nil, "1"), .end])
      try await World.with("legacy", script) { world in
        let head = await world.fetch().head
        #expect(head.value("Content-Type") == "text/event-stream;charset=UTF-8")
        #expect(head.values("Cache-Control") == ["no-cache, no-transform"])
        #expect(head.value("X-Accel-Buffering") == "no" && head.value("X-Own") == "kept")
        #expect(head.value("Content-Length") == nil && head.value("X-Stream-Mode") == "legacy")
        #expect(head.value("X-Stream-Id")?.count ?? 0 >= 16)
      }
    }

    @Test func `an old client that hangs up at completion loses the rest, and the shadow counts it`() async throws {
      let script = Script([
        .head(), .event("token", "1"), .event("complete", "2"), .pause(.milliseconds(100)), .event("trailing", "3"),
        .end,
      ])
      try await World.with("legacy", script) { world in
        let early = await world.fetch(behaviour: .hangingUp(at: "event: complete\ndata: 2\n\n"))
        #expect(early.end == .hungUp && early.payloads == ["1", "2"])
        let patient = await world.fetch()
        #expect(patient.payloads == ["1", "2", "3"])
        _ = await world.outcomes(2)
        let metrics = try await world.gateway.metrics()
        #expect(metrics.value("fermata_shadow_left_early_total") == 1)
        #expect(metrics.value("fermata_shadow_trailing_streams_total") == 1)
        #expect(metrics.value("fermata_shadow_trailing_events_total") == 1)
        #expect(metrics.value("fermata_shadow_streams_total") == 2)
      }
    }

    @Test func `a client that closes right behind its dialect's terminal has completed`() async throws {
      let script = Script([.head(), .event(nil, "1"), .event(nil, "[DONE]"), .stall])
      try await World.with("graceful", script) { world in
        for resets in [false, true] {
          var behaviour = ClientBehaviour.hangingUp(at: "data: [DONE]\n\n")
          behaviour.resets = resets
          let old = await world.fetch(behaviour: behaviour)
          let new = await world.fetchNew(behaviour: behaviour)
          #expect(old.payloads == new.payloads && new.payloads == ["1", "[DONE]"])
        }
        #expect(await world.outcomes(4) == ["completed", "completed", "completed", "completed"])
        #expect(await eventually { world.backend.openRequests == 0 })
      }
    }

    @Test func `a client that leaves in the middle is gone, and so is its request to the backend`() async throws {
      let script = Script([.head(), .event(nil, "1"), .stall])
      try await World.with("graceful", script) { world in
        _ = await world.fetch(behaviour: .hangingUp(at: "data: 1\n\n"))
        #expect(await world.outcomes() == ["client_gone"])
        #expect(await eventually { world.backend.requests.first?.state == .abandoned })
      }
    }

    @Test func `a backend that compressed its stream although asked not to passes as it is`() async throws {
      let fields = [Script.Field("Content-Type", "text/event-stream"), .init("Content-Encoding", "gzip")]
      let bytes: [UInt8] = [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3, 0xFF, 0x0A, 0x0A]
      let script = Script([.head(Script.Head(fields: fields)), .body(bytes), .end])
      try await World.with("graceful", script) { world in
        let result = await world.fetchNew(fields: [.init("Accept-Encoding", "gzip, br")])
        #expect(result.body == bytes && result.head.value("Content-Encoding") == "gzip" && result.mode == nil)
        #expect(world.backend.requests[0].head.values("Accept-Encoding") == ["identity"])
      }
    }
  }
}
