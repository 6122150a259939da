import Harness
import RunningGateway
import Streams
import Testing
import Time

extension EndToEnd {
  /// Every wait for a peer comes to an end, by the limit that is documented for it.
  @Suite struct TimeLimits {
    /// What is sent to the gateway, and what the backend does, so that the wait is reached.
    struct Case: Sendable {
      var request = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
      var script = Script([.stall])
      var route = ""
      /// What the log says of the end; empty where there is nothing to say.
      var name = ""
      /// Whether the client reads.
      var reads = true
    }

    static let streamRequest = "GET / HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n"
    static let halfBody = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf"
    static let flood = Script.Step.repeated(count: 400, interval: .zero, [.stamped(size: 65_536)])
    static let plain = Script.Step.head(.init(fields: [.init("Content-Type", "text/plain")]))

    static func cases(_ wait: PeerWait) -> [Case] {
      switch wait {
      case .requestHead: [Case(request: "GET / HT", name: "limits.headTimeout"), Case(request: "")]
      case .nextRequest: [Case(script: .events(["1"]))]
      case .requestBody:
        ["", "gate: \"firstEvent\"", "upstreams: [\"main\", \"main2\"]", "runs: {}"].map {
          Case(request: halfBody, route: $0, name: "limits.bodyTimeout")
        }
          + [
            Case(
              request: halfBody.replacing("Host: h", with: "Host: h\r\nIdempotency-Key: k"), route: "runs: {}",
              name: "limits.bodyTimeout")
          ]
      case .backendTakesBody, .connection: []
      case .streamHead:
        [
          Case(request: streamRequest, name: "timeouts.head"),
          Case(request: streamRequest, route: "gate: \"firstEvent\"", name: #""limit":"budget""#),
          Case(request: streamRequest, route: "upstreams: [\"main\", \"main2\"]", name: "timeouts.head"),
          Case(request: streamRequest, route: "runs: {}", name: "timeouts.head"),
        ]
      case .answerHead:
        [Case(name: "timeouts.answer"), Case(route: "upstreams: [\"main\", \"main2\"]", name: "timeouts.answer")]
      case .gatedEvent, .gatedToken:
        [
          Case(
            request: streamRequest, script: Script([.head(), .stall]),
            route: "gate: \"\(wait == .gatedEvent ? "firstEvent" : "firstToken")\", upstreams: [\"main\", \"main2\"]",
            name: wait == .gatedEvent ? "timeouts.firstEvent" : "timeouts.first")
        ]
      case .firstEvent: [Case(request: streamRequest, script: Script([.head(), .stall]), name: "(stream.idle)")]
      case .nextEvent:
        ["", "runs: {}"].map {
          Case(
            request: streamRequest, script: Script([.head(), .event(nil, "1"), .stall]), route: $0,
            name: "(stream.idle)")
        }
      case .answerBody: [Case(script: Script([plain, .body("half"), .stall]), name: "limits.bodyTimeout")]
      case .clientTakesStream:
        ["", "runs: { limit: \"1GB\" }"].map {
          Case(
            request: streamRequest, script: Script([.head(), flood, .stall]), route: $0, name: "(stream.clientStall)",
            reads: false)
        }
      case .clientTakesAnswer:
        [Case(script: Script([plain, flood, .end]), name: "limits.stallTimeout", reads: false)]
      case .clientEnd:
        [Case(request: "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", script: .events(["1"]))]
      // They need a Redis: see `StoreWaits`, which has a case for each.
      case .storeConnection, .storeAnswer, .storeTakesEvents, .otherGateway: []
      // Nobody waits for these: see `GuardShares`.
      case .guardConnection, .guardAnswer: []
      }
    }

    static func configuration(_ route: String) -> String {
      """
      {
        upstreams: { main: { url: "UPSTREAM", health: { failures: 0 } }, main2: { url: "UPSTREAM", health: { failures: 0 } } },
        limits: { headTimeout: "300ms", keepAliveTimeout: "300ms", bodyTimeout: "300ms", stallTimeout: "300ms" },
        defaults: {
          timeouts: { head: "300ms", answer: "300ms", firstEvent: "300ms", firstToken: "400ms" }, budget: "600ms",
          answerBudget: "600ms", commitAfter: 0,
        },
        stream: { idle: "300ms", clientStall: "300ms", linger: "300ms", lowWater: "16KiB", highWater: "64KiB" },
        routes: [{ name: "r", \(route.contains("upstreams:") ? "" : "upstreams: \"main\",") \(route) }],
      }
      """
    }

    @Test(arguments: PeerWait.allCases)
    func `every wait for a peer is ended by its limit`(_ wait: PeerWait) async throws {
      for sample in Self.cases(wait) {
        let setup = World.Setup(configuration: Self.configuration(sample.route)) { _ in sample.script }
        try await World.with(setup) { world in
          let connection = try RawConnection(to: world.gateway.address, receiveBuffer: 16_384)
          connection.send(sample.request)
          if sample.reads {
            _ = connection.rest(seconds: 8)
            #expect(connection.end != .silent, "\(sample.request) \(sample.route)")
          }
          let isNamed = await eventually { sample.name.isEmpty || world.gateway.logText.contains(sample.name) }
          #expect(isNamed, "\(sample.name) in \(world.gateway.logText.suffix(600))")
          #expect(await eventually { world.backend.openRequests == 0 }, "\(sample.name)")
        }
      }
    }

    @Test func `a backend that takes nothing of a body is given up, one that takes it slowly is not`() async throws {
      let listener = try RawListener(receiveBuffer: 65_536)
      let text = """
        { upstreams: { main: { url: "http://\(listener.address)" } },
          limits: { bodyTimeout: "700ms" }, routes: [{ name: "r", upstreams: "main" }] }
        """
      try await World.with(World.Setup(configuration: text)) { world in
        let size = 12 << 20
        let request = ClientRequest("POST", "/", body: [UInt8](repeating: 7, count: size))
        async let slow = world.send(request)
        let first = try #require(listener.accept())
        var taken = 0
        for _ in 0..<20 {
          taken += first.take(65_536)
          try await Task.sleep(for: .milliseconds(100))
        }
        while taken < size, case let count = first.takeAndForget(), count > 0 { taken += count }
        first.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        #expect(await slow.status == 200)
        async let stalled = world.send(request)
        let second = listener.accept()
        let result = await stalled
        #expect(result.status == 504 || result.end != .clean)
        #expect(await eventually { world.gateway.logText.contains(#""limit":"limits.bodyTimeout""#) })
        second?.close()
        first.close()
      }
    }

    @Test func `a gated backend that takes nothing of a body is given up`() async throws {
      let listener = try RawListener(receiveBuffer: 65_536)
      let text = """
        { upstreams: { main: { url: "http://\(listener.address)" }, main2: { url: "UPSTREAM" } },
          defaults: { gate: "firstEvent", budget: "60s", timeouts: { head: "60s", firstEvent: "60s" } },
          limits: { bodyTimeout: "700ms" }, routes: [{ name: "r", upstreams: ["main", "main2"] }] }
        """
      try await World.with(World.Setup(configuration: text)) { world in
        let request = ClientRequest(
          "POST", "/", fields: [.acceptsEvents], body: [UInt8](repeating: 7, count: 12 << 20))
        async let answer = world.send(request)
        let backend = try #require(listener.accept())
        #expect(backend.receives("\r\n\r\n"))
        backend.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: soon\n\n")
        let result = await answer
        #expect(result.status >= 502 || result.end != .clean, "\(result.status)")
        #expect(await eventually { world.gateway.logText.contains(#""limit":"limits.bodyTimeout""#) })
        #expect(world.backend.requests.isEmpty)
      }
    }

    @Test(arguments: ["0", "300ms"])
    func `a kept connection whose client takes nothing of its answer's tail is ended, however long one lingers`(
      linger: String
    ) async throws {
      let event = Script.event(nil, String(repeating: "x", count: 100_000))
      let text = """
        { upstreams: { main: { url: "UPSTREAM" } }, limits: { keepAliveTimeout: "300ms", headTimeout: "300ms" },
          stream: { linger: "\(linger)" }, routes: [{ name: "r", upstreams: "main" }] }
        """
      let script = Script([.head(), .body(event), .end])
      try await World.with(World.Setup(configuration: text) { _ in script }) { world in
        let connection = try RawConnection(to: world.gateway.address, receiveBuffer: 16_384)
        connection.send(Self.streamRequest)
        #expect(
          await eventually {
            await world.gateway.metric("fermata_close_total", ["mode": "legacy", "result": "linger_timeout"]) == 1
          })
        #expect(
          await eventually {
            await world.gateway.metric("fermata_bound_used", ["bound": "client_connections"]) == 0
          })
        // It has lost nothing by it.
        #expect(connection.response()?.body.count == event.count)
        #expect(connection.rest().isEmpty && connection.end == .finished)
      }
    }

    @Test(arguments: ["stream", "plain", "run"], [false, true])
    func `a client that takes its answer slowly has all of it, to the end`(
      kind: String, usesUnixSocket: Bool
    ) async throws {
      let folder = try ScratchDirectory()
      let path = folder["front.sock"]
      let size = 3 << 20
      let head = kind == "plain" ? Self.plain : Script.Step.head()
      let event = Script.event(nil, String(repeating: "x", count: 65_536))
      let script = Script([head, .repeated(count: size / 65_536, interval: .zero, [.body(event)]), .end])
      let text = """
        { upstreams: { main: { url: "UPSTREAM" } }, limits: { stallTimeout: "1s" },
          stream: { clientStall: "1s", linger: "1s" }, listeners: [{ address: "unix:\(path)" }],
          routes: [{ name: "r", upstreams: "main", runs: \(kind == "run" ? "{}" : "false") }] }
        """
      try await World.with(World.Setup(variant: "graceful", configuration: text) { _ in script }) { world in
        let connection =
          try usesUnixSocket
          ? RawConnection(toUnixSocket: path) : RawConnection(to: world.gateway.address, receiveBuffer: 16_384)
        connection.send("GET / HTTP/1.1\r\nHost: h\r\nPrefer: stream-end\r\nConnection: close\r\n\r\n")
        var taken = 0
        for _ in 0..<50 {
          taken += connection.take(16_384)
          try await Task.sleep(for: .milliseconds(100))
        }
        #expect(taken < size)
        let response = try #require(connection.response())
        #expect(response.body.count >= size)
        if kind != "plain" { #expect(response.text.contains("\"outcome\":")) }
        #expect(!world.gateway.logText.contains("client_stalled"))
      }
    }
  }

  /// Clients whose input is not read because they have sent more than their request.
  @Suite struct UnreadInput {
    static func script(_ kind: String) -> Script {
      kind == "head" ? Script([.stall]) : Script([.head(), .event(nil, "1"), .stall])
    }

    @Test(arguments: ["head", "legacy", "shield", "graceful", "run"], [false, true])
    func `a client that leaves is noticed within a second, whatever it has sent`(
      kind: String, resets: Bool
    ) async throws {
      let variant = kind == "shield" || kind == "graceful" ? kind : "legacy"
      let prefers = kind == "graceful" ? "Prefer: stream-end\r\n" : ""
      let text = """
        { upstreams: { main: { url: "UPSTREAM" } },
          routes: [{ name: "r", upstreams: "main", runs: \(kind == "run" ? "{}" : "false") }] }
        """
      let setup = World.Setup(variant: variant, configuration: text) { _ in Self.script(kind) }
      try await World.with(setup) { world in
        let connection = try RawConnection(to: world.gateway.address)
        connection.send("GET / HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\(prefers)\r\nG")
        #expect(await eventually { world.backend.requests.count == 1 })
        if kind != "head" { #expect(connection.receives("data: 1\n\n")) }
        let left = world.clock
        if resets { connection.reset() } else { connection.close() }
        #expect(await eventually(within: .seconds(5)) { world.backend.openRequests == 0 })
        #expect(world.clock - left < .seconds(1) + MachineDelay.since(left))
      }
    }

    @Test func `a client that half-closes behind its second request gets both answers`() async throws {
      try await World.with { world in
        let connection = try RawConnection(to: world.gateway.address)
        let request = "GET /?plain=3&delay=400 HTTP/1.1\r\nHost: h\r\n\r\n"
        connection.send(request + request)
        connection.finishWriting()
        #expect(connection.response()?.text == "xxx")
        #expect(connection.response()?.text == "xxx")
        #expect(connection.rest().isEmpty && connection.end == .finished)
      }
    }
  }
}
