import Harness
import JSON
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// What all clients share: who comes too much is refused or goes on unkept, and nobody else is ended.
  @Suite struct Bounds {
    private static let stream = "GET /stream HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n"
    private static let openStream = Script([.head(), .event(nil, "1"), .pause(.seconds(30)), .end])

    private static func use(_ bound: String, _ world: World) async -> Double {
      await world.gateway.metric("fermata_bound_used", ["bound": bound])
    }

    private static func setup(_ settings: [String: String]) -> World.Setup {
      World.Setup(settings: settings.merging(["workers": "1"]) { $1 }, script: { _ in openStream })
    }

    @Test func `idle connections make room for streams wherever they stand`() async throws {
      try await World.with(Self.setup(["limits.connections": "110"])) { world in
        let idle = try (0..<30).map { _ in try RawConnection(to: world.gateway.address) }
        var streams: [RawConnection] = []
        for number in 0..<110 {
          let connection = try RawConnection(to: world.gateway.address)
          connection.send(Self.stream)
          #expect(connection.receives("data: 1"), "stream \(number)")
          streams.append(connection)
        }
        #expect(await Self.use("client_connections", world) == 110)
        let late = try RawConnection(to: world.gateway.address)
        late.send(Self.stream)
        #expect(late.response()?.status == 503)
        for connection in streams + idle { connection.close() }
      }
    }

    @Test func `a refused client has its answer and a clean end, whenever its request comes`() async throws {
      try await World.with(Self.setup(["limits.connections": "1"])) { world in
        let open = try RawConnection(to: world.gateway.address)
        open.send(Self.stream)
        #expect(open.receives("data: 1"))
        for milliseconds in [0, 0, 0, 1, 5, 30] {
          let late = try RawConnection(to: world.gateway.address)
          try await Task.sleep(for: .milliseconds(milliseconds))
          late.send(Self.stream)
          #expect(late.response()?.status == 503, "after \(milliseconds) ms")
          #expect(late.rest().isEmpty)
          #expect(late.end == .finished, "after \(milliseconds) ms")
          late.close()
        }
        // Those that never leave have no place but their own: the next ones are answered all the same.
        let silent = try (0..<100).map { _ in try RawConnection(to: world.gateway.address) }
        for connection in silent { #expect(connection.response()?.status == 503) }
        #expect(await Self.use("client_connections", world) == 1)
        for connection in silent + [open] { connection.close() }
      }
    }

    @Test func `connections that linger count, and go first`() async throws {
      let setup = World.Setup(settings: ["limits.connections": "20", "workers": "1"])
      try await World.with(setup) { world in
        var lingering: [RawConnection] = []
        for _ in 0..<60 {
          let connection = try RawConnection(to: world.gateway.address)
          connection.send("GET x HTTP/1.1\r\nHost: h\r\n\r\n")
          #expect(connection.response()?.status == 400)
          lingering.append(connection)
        }
        let used = await Self.use("client_connections", world)
        #expect(used > 10 && used <= 20, "\(used)")
        #expect(await world.fetch("/?events=1").status == 200)
        for connection in lingering { connection.close() }
      }
    }

    @Test func `a request that would need one more connection to a backend than there may be gets 503`() async throws {
      try await World.with(Self.setup(["limits.upstreamConnections": "2"])) { world in
        let streams = try (0..<2).map { _ in try RawConnection(to: world.gateway.address) }
        for connection in streams {
          connection.send(Self.stream)
          #expect(connection.receives("data: 1"))
        }
        #expect(await Self.use("upstream_connections", world) == 2)
        let late = try RawConnection(to: world.gateway.address)
        late.send(Self.stream)
        let refusal = late.response()
        #expect(refusal?.status == 503 && refusal?.head.value("Retry-After") == "1")
        streams[0].close()
        #expect(await eventually { await Self.use("upstream_connections", world) == 1 })
        let next = try RawConnection(to: world.gateway.address)
        next.send(Self.stream)
        #expect(next.receives("data: 1"))
        for connection in streams + [next] { connection.close() }
      }
    }

    @Test func `bodies of all requests together are bounded, and what is over it gets 503`() async throws {
      let setup = World.Setup(
        settings: ["workers": "1", "limits.bodies": "128KiB"],
        configuration: """
          { upstreams: { main: { url: "UPSTREAM" } }, routes: [{ name: "all", path: "/*", upstreams: ["main"], runs: true }] }
          """)
      try await World.with(setup) { world in
        let head =
          "POST /?events=1 HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer a\r\nContent-Length: 50000\r\nIdempotency-Key: "
        var waiting: [RawConnection] = []
        var refused = 0
        for number in 0..<12 {
          let connection = try RawConnection(to: world.gateway.address)
          connection.send(head + "\(number)\r\n\r\n" + String(repeating: "b", count: 30_000))
          waiting.append(connection)
        }
        #expect(await eventually { await world.gateway.metric("fermata_refusals_total", ["reason": "overload"]) > 7 })
        for connection in waiting where connection.response(seconds: 0.1)?.status == 503 { refused += 1 }
        #expect(refused >= 8)
        let used = await Self.use("request_bodies", world)
        #expect(used >= 30_000 && used <= 128 * 1024)
        for connection in waiting { connection.close() }
        #expect(await eventually { await Self.use("request_bodies", world) == 0 })
        let connection = try RawConnection(to: world.gateway.address)
        connection.send(head + "new\r\n\r\n" + String(repeating: "b", count: 50_000))
        #expect(connection.response()?.status == 200)
      }
    }

    @Test(arguments: ["false", "{}"])
    func `a body that finds no memory while no backend takes it is answered`(runs: String) async throws {
      // Accepts and never shakes hands: the body has nowhere to go.
      let silent = try RawListener()
      let setup = World.Setup(
        variant: "graceful", settings: ["workers": "1", "limits.bodies": "64KiB"],
        configuration: """
          {
            defaults: { timeouts: { connect: "60s" }, budget: "60s" },
            upstreams: { a: { url: "https://\(silent.address)" }, b: { url: "UPSTREAM" } },
            routes: [{ name: "all", upstreams: ["a", "b"], runs: \(runs) }],
          }
          """)
      try await World.with(setup) { world in
        let connection = try RawConnection(to: world.gateway.address)
        connection.send(
          Self.stream.replacing("GET", with: "POST")
            .replacing("\r\n\r\n", with: "\r\nPrefer: stream-end\r\nContent-Length: 300000\r\n\r\n"))
        connection.send(String(repeating: "b", count: 150_000))
        let response = try #require(connection.response(seconds: 5))
        #expect(response.status == 503 && response.text.contains(#""code":"overload""#), "\(response.text)")
        #expect(await eventually { await Self.use("request_bodies", world) == 0 })
        connection.close()
      }
    }

    @Test func `runs that nobody reads are bounded, for each principal and in all`() async throws {
      let setup = RunWorld.setup(
        "{ onDisconnect: \"continue\" }", common: "{ unread: 3, unreadPerPrincipal: 2 }",
        script: { _ in Self.openStream })
      try await World.with(setup) { world in
        func leave(_ who: String, expecting count: Double) async {
          _ = await world.fetchNew(fields: [.authorization(who)], behaviour: .hangingUp(at: "data: 1"))
          #expect(await eventually { await world.gateway.metric("ai_stream_connections_active") == 0 })
          #expect(await eventually { await world.gateway.metric("fermata_runs_active") == count }, "\(who)")
          #expect(await Self.use("unread_runs", world) == count)
        }
        await leave("a", expecting: 1)
        await leave("a", expecting: 2)
        await leave("a", expecting: 2)
        await leave("b", expecting: 3)
        await leave("c", expecting: 3)
        #expect(await world.gateway.metric("fermata_runs_total", ["outcome": "cancelled"]) == 2)
      }
    }

    @Test func `when memory for runs is used up running ones go on, new ones are not kept, keys get 503`() async throws
    {
      let script = Script([.head(), .event(nil, "1"), .pause(.seconds(3)), .event(nil, "[DONE]"), .end])
      let setup = RunWorld.setup(common: "{ memory: \"64KiB\" }", script: { _ in script })
      try await World.with(setup) { world in
        let results = await withTaskGroup(of: ClientResult.self) { group in
          for _ in 0..<30 { group.addTask { await world.fetchNew(fields: [.authorization("a")]) } }
          #expect(await eventually { await world.gateway.metric("ai_stream_connections_active") == 30 })
          #expect(await Self.use("run_memory", world) > 57_344)
          #expect(await world.fetchNew(fields: [.authorization("a"), .idempotencyKey("k")]).status == 503)
          return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(results.allSatisfy { $0.streamEnd?["outcome"]?.string == "completed" && $0.payloads.count == 2 })
        let kept = results.count { $0.streamEnd?["resumable"]?.bool == true }
        #expect(kept > 5 && kept < 30, "\(kept)")
        #expect(await world.gateway.metric("fermata_unkept_streams_total") == Double(30 - kept))
        #expect(await Self.use("run_memory", world) <= 64 * 1024)
      }
    }

    @Test func `slow readers of finished runs give way when memory is short`() async throws {
      let block = String(repeating: "x", count: 99_990)
      let script = Script([.head(), .repeated(count: 80, interval: .zero, [.event(nil, block)]), .end])
      let setup = RunWorld.setup(common: "{ memory: \"20MiB\" }", script: { _ in script })
      try await World.with(setup) { world in
        var slow: [RawConnection] = []
        for _ in 0..<2 {
          let connection = try RawConnection(to: world.gateway.address, receiveBuffer: 4096)
          connection.send(Self.stream.replacing("\r\n\r\n", with: "\r\nPrefer: stream-end\r\n\r\n"))
          #expect(connection.receives("data: x"))
          slow.append(connection)
        }
        #expect(await eventually { await world.gateway.metric("fermata_runs_active") == 0 })
        for _ in 0..<4 {
          let result = await world.fetchNew()
          #expect(result.end == .clean && result.payloads.count == 80)
        }
        // Sooner than a client that stalls is ended anywhere.
        let limit = world.clock + .seconds(25)
        while !world.gateway.outcomes.contains("client_stalled"), world.clock < limit {
          #expect(await world.fetchNew().payloads.count == 80)
          try await Task.sleep(for: .milliseconds(100))
        }
        #expect(world.clock < limit)
        #expect(await world.gateway.metric("fermata_runs_total", ["outcome": "run_too_large"]) == 0)
        #expect(await Self.use("run_memory", world) <= 20 * 1024 * 1024)
        for connection in slow { connection.close() }
      }
    }
  }
}
