import Harness
import JSON
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// What backends answer is passed on, once, on routes with tiers and gates too.
  @Suite struct Answers {
    private static let configuration = """
      {
        defaults: { timeouts: { head: "400ms", firstEvent: "400ms", firstToken: "400ms" }, budget: "3s" },
        upstreams: { a: { url: "UPSTREAM/a" }, b: { url: "UPSTREAM/b" } },
        routes: [
          { name: "tiers", path: "/tiers/*", upstreams: ["a", "b"] },
          { name: "gate", path: "/gate/*", upstreams: ["a", "b"], gate: "firstToken" },
          { name: "named", path: "/named/*", upstreams: ["a", "b"],
            retry: { statuses: [503], nonIdempotent: ["cut", "timeout", "wrongContentType"] } },
          { name: "runs", path: "/runs/*", upstreams: ["a", "b"], gate: "firstEvent", runs: {} },
        ],
      }
      """

    /// The backend `a` plays `script`, `b` is good.
    private static func with(_ script: Script, _ body: (World) async throws -> Void) async throws {
      let setup = World.Setup(variant: "graceful", settings: ["workers": "1"], configuration: configuration) {
        request in
        request.path.hasPrefix("/a") ? script : .events(["second", "[DONE]"])
      }
      try await World.with(setup, body)
    }

    private static func typed(_ type: String, status: Int = 200, encoding: String? = nil, _ text: String) -> Script {
      var fields = [Script.Field("Content-Type", type)]
      if let encoding { fields.append(Script.Field("Content-Encoding", encoding)) }
      return Script([.head(Script.Head(status: status, framing: .chunked, fields: fields)), .body(text), .end])
    }

    private static func accept(_ value: String) -> Script.Field { Script.Field("Accept", value) }
    private static let mcp = accept("application/json, text/event-stream")
    private static let streams = Array(#"{"model":"m","stream":true}"#.utf8)

    private func call(
      _ world: World, _ path: String, _ fields: [Script.Field], body: [UInt8] = Array("{}".utf8),
      method: String = "POST"
    ) async -> ClientResult {
      await world.send(ClientRequest(method, path, fields: fields, body: body))
    }

    private static let routes = ["/tiers/x", "/gate/x", "/named/x", "/runs/x"]

    @Test func `MCP's answers to a call are relayed, and the call is made once`() async throws {
      let empty = Script([
        .head(Script.Head(status: 200, framing: .length(0), fields: [.init("Content-Type", "application/json")])), .end,
      ])
      let answers: [(Script, Int, String)] = [
        (Self.typed("application/json", #"{"jsonrpc":"2.0"}"#), 200, #"{"jsonrpc":"2.0"}"#),
        (Script([.head(Script.Head(status: 202, framing: .length(0), fields: [])), .end]), 202, ""),
        (empty, 200, ""),
      ]
      for (script, status, text) in answers {
        try await Self.with(script) { world in
          for _ in 0..<6 {
            for path in Self.routes {
              let result = await call(world, path, [Self.mcp])
              #expect(result.status == status && result.text == text, "\(path) \(result.status) \(result.text)")
            }
          }
          #expect(world.backend.requests.allSatisfy { $0.path.hasPrefix("/a") })
          #expect(world.backend.requests.count == 24)
          #expect(await Waterfall.states(world) == ["a": "available", "b": "available"])
        }
      }
    }

    @Test func `what a stream was asked of and is none goes to the client as it is, and is asked for once`()
      async throws
    {
      for type in ["application/x-ndjson", "application/json", "application/grpc-web+proto", "text/html"] {
        try await Self.with(Self.typed(type, "{\"a\":1}\n{\"done\":true}\n")) { world in
          for path in Self.routes where path != "/named/x" {
            for fields in [[], [Self.accept("*/*")], [Self.accept("text/event-stream")]] {
              let result = await call(world, path, fields, body: Self.streams)
              #expect(result.status == 200 && result.text == "{\"a\":1}\n{\"done\":true}\n", "\(path) \(type)")
              #expect(result.head.value("Content-Type") == type)
            }
          }
          #expect(world.backend.requests.allSatisfy { $0.path.hasPrefix("/a") })
        }
      }
    }

    @Test func `another type than a GET accepts is the next one's turn, as is that of a call where the route names it`()
      async throws
    {
      try await Self.with(Self.typed("text/html", "<p>")) { world in
        #expect(await call(world, "/tiers/x", [.acceptsEvents], body: [], method: "GET").payloads.first == "second")
        #expect(await call(world, "/named/x", [.acceptsEvents]).payloads.first == "second")
        #expect(await call(world, "/tiers/x", [Self.accept("text/*")], body: [], method: "GET").text == "<p>")
        let head = await call(world, "/tiers/x", [.acceptsEvents], body: [], method: "HEAD")
        #expect(head.status == 200 && head.head.value("Content-Type") == "text/html")
      }
    }

    @Test func `an event stream with a content coding passes as it is`() async throws {
      for encoding in ["gzip", "identity, br"] {
        try await Self.with(Self.typed("text/event-stream", encoding: encoding, "not really \(encoding)")) { world in
          for path in Self.routes {
            for method in ["GET", "POST"] {
              let result = await call(world, path, [.acceptsEvents], body: [], method: method)
              #expect(result.status == 200 && result.text == "not really \(encoding)", "\(path)")
              #expect(result.head.value("Content-Encoding") == encoding && result.mode == nil)
            }
          }
          #expect(world.backend.requests.allSatisfy { $0.path.hasPrefix("/a") })
        }
      }
    }

    @Test func `a coding that changes nothing is none`() async throws {
      for encoding in ["none", "", "identity, identity", "Identity", ", none"] {
        let script = Self.typed("text/event-stream", encoding: encoding, "data: 1\n\ndata: [DONE]\n\n")
        try await Self.with(script) { world in
          for path in Self.routes {
            let result = await world.fetchNew(path)
            #expect(result.mode == "graceful" && result.payloads == ["1", "[DONE]"], "\(path) \(encoding)")
            #expect(result.head.value("X-Accel-Buffering") == "no")
          }
        }
      }
    }

    @Test func `a call that a backend may have begun is made again only where the route names the failure`()
      async throws
    {
      for (script, status) in [(Script([.finish(.cut)]), 502), (Script.garbage("nonsense\r\n\r\n"), 502)] {
        try await Self.with(script) { world in
          let refused = await call(world, "/tiers/x", [])
          #expect(refused.status == status && refused.head.value("Retry-After") == nil)
          let problem = try JSONValue(parsing: refused.text)
          #expect(problem["code"]?.string == "not_repeated" && problem["attempts"]?.array?.count == 1)
          #expect(world.backend.requests.count { $0.path.hasPrefix("/b") } == 0)
          #expect(await call(world, "/named/x", [.acceptsEvents]).payloads.first == "second")
          #expect(await call(world, "/tiers/x", [.acceptsEvents], method: "PUT").payloads.first == "second")
        }
      }
    }

    @Test func `a slow answer to a call is waited for, unless the route names the limit or its gate does`() async throws
    {
      let slow = Script([.pause(.milliseconds(800))] + Script.events(["slow", "[DONE]"]).steps)
      try await Self.with(slow) { world in
        #expect(await call(world, "/tiers/x", [.acceptsEvents]).payloads.first == "slow")
        #expect(await call(world, "/named/x", [.acceptsEvents]).payloads.first == "second")
        #expect(await call(world, "/gate/x", [.acceptsEvents]).payloads.first == "second")
        #expect(await call(world, "/gate/x", []).payloads.first == "slow")
      }
    }

    @Test func `a status is the next one's turn where the route names it, for calls too`() async throws {
      for (status, other) in [(503, "second"), (500, nil)] as [(Int, String?)] {
        try await Self.with(.plain(status: status, Array("no".utf8))) { world in
          let named = await call(world, "/named/x", [.acceptsEvents])
          #expect(named.payloads.first == other && named.status == (other == nil ? 500 : 200))
          #expect(await call(world, "/tiers/x", [.acceptsEvents]).payloads.first == "second")
        }
      }
    }

    @Test func `what a client's own key is refused does not put the backend out for others`() async throws {
      let head = Script.Head(status: 429, framing: .length(nil), fields: [.init("Retry-After", "60")])
      try await Self.with(Script([.head(head), .body("quota"), .end])) { world in
        for key in [
          Script.Field("Authorization", "Bearer me"), Script.Field("api-key", "me"),
          Script.Field("X-Goog-Api-Key", "me"),
        ] {
          for _ in 0..<3 { #expect(await call(world, "/tiers/x", [key, .acceptsEvents]).payloads.first == "second") }
        }
        #expect(await Waterfall.states(world)["a"] == "available")
        #expect(await call(world, "/tiers/x", [.acceptsEvents]).payloads.first == "second")
        #expect(await Waterfall.states(world)["a"] == "cooling_down")
      }
    }
  }
}
