import Harness
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// Clients that end their sending side while the last bytes of a complete answer wait for them.
  @Suite struct HalfClose {
    private static let size = 768 << 10

    private static func configuration(upstream: String = "UPSTREAM", runs: String = "false") -> String {
      """
      {
        upstreams: { main: { url: "\(upstream)" } }, stream: { highWater: "4MiB", lowWater: "1MiB" },
        routes: [{ name: "r", upstreams: "main", runs: \(runs) }],
      }
      """
    }

    /// A client that takes little ahead, behind whose request the whole answer is queued in the gateway.
    private static func client(_ world: World, _ request: String) async throws -> RawConnection {
      let connection = try RawConnection(to: world.gateway.address, receiveBuffer: 16_384)
      connection.send(request)
      #expect(await eventually { world.backend.requests.count == 1 && world.backend.openRequests == 0 })
      #expect(await eventually { await world.gateway.metric("fermata_upstream_busy") == 0 })
      return connection
    }

    @Test(arguments: ["plain", "legacy", "shield", "graceful", "run"])
    func `a client that half-closes while its answer is on its way has all of it, and then the connection's end`(
      kind: String
    ) async throws {
      let plain = Script.Step.head(.init(fields: [.init("Content-Type", "text/plain")]))
      let event = Script.event(nil, String(repeating: "x", count: 32_768))
      let script = Script([
        kind == "plain" ? plain : .head(), .repeated(count: Self.size / 32_768, interval: .zero, [.body(event)]), .end,
      ])
      let variant = ["legacy", "shield"].contains(kind) ? kind : "graceful"
      let text = Self.configuration(runs: kind == "run" ? "{}" : "false")
      try await World.with(World.Setup(variant: variant, configuration: text) { _ in script }) { world in
        let prefers = kind == "graceful" || kind == "run" ? "Prefer: stream-end\r\n" : ""
        let connection = try await Self.client(
          world, "GET / HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\(prefers)\r\n")
        connection.finishWriting()
        try await Task.sleep(for: .milliseconds(100))
        let response = try #require(connection.response())
        #expect(response.status == 200 && response.body.count >= Self.size)
        if !prefers.isEmpty { #expect(response.text.suffix(400).contains("\"outcome\":")) }
        #expect(connection.rest(seconds: 3).isEmpty && connection.end == .finished)
      }
    }

    @Test(arguments: ["", "\r\n", "GET / HT"])
    func `a client that half-closes behind something that is no request has its answer, and then the end`(
      rest: String
    ) async throws {
      let script = Script([.pause(.milliseconds(300)), .head(), .event(nil, "1"), .end])
      try await World.with("legacy", script) { world in
        let connection = try RawConnection(to: world.gateway.address)
        connection.send("GET / HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n" + rest)
        connection.finishWriting()
        #expect(connection.response()?.text == "data: 1\n\n")
        #expect(connection.rest(seconds: 3).isEmpty && connection.end == .finished)
      }
    }

    /// What a client does behind an early answer with the rest of its body.
    enum Rest: String, CaseIterable, Sendable {
      case halfCloses = "half-closes"
      case breaksFraming = "breaks its framing"
      case breaksFramingAndHalfCloses = "breaks its framing and half-closes"
      case sendsItAndHalfCloses = "sends it and half-closes"
    }

    @Test(arguments: Rest.allCases)
    func `an answer that was complete before its request's body is taken to its end, whatever becomes of the body`(
      rest: Rest
    ) async throws {
      let listener = try RawListener()
      let text = Self.configuration(upstream: "http://\(listener.address)")
      try await World.with(World.Setup(configuration: text)) { world in
        let connection = try RawConnection(to: world.gateway.address, receiveBuffer: 16_384)
        connection.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
        let backend = try #require(listener.accept())
        #expect(backend.receives("half"))
        backend.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: \(Self.size)\r\n\r\n")
        backend.send(String(repeating: "x", count: Self.size))
        #expect(await eventually { await world.gateway.metric("fermata_upstream_busy") == 0 })
        if rest == .breaksFraming || rest == .breaksFramingAndHalfCloses { connection.send("no chunk\r\n") }
        if rest == .sendsItAndHalfCloses { connection.send("1\r\n.\r\n0\r\n\r\n") }
        if rest != .breaksFraming { connection.finishWriting() }
        try await Task.sleep(for: .milliseconds(100))
        let response = try #require(connection.response())
        #expect(response.status == 413 && response.body.count == Self.size)
        #expect(connection.rest(seconds: 3).isEmpty && connection.end == .finished)
      }
    }

    @Test func `a client that breaks the connection before it has taken its answer is counted as one that did`()
      async throws
    {
      let event = Script.event(nil, String(repeating: "x", count: 32_768))
      let script = Script([.head(), .repeated(count: Self.size / 32_768, interval: .zero, [.body(event)]), .end])
      let setup = World.Setup(variant: "legacy", configuration: Self.configuration()) { _ in script }
      try await World.with(setup) { world in
        let connection = try await Self.client(
          world, "GET / HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n")
        connection.reset()
        #expect(
          await eventually {
            await world.gateway.metric("fermata_close_total", ["mode": "legacy", "result": "reset"]) == 1
          })
      }
    }
  }
}
