import Harness
import RunningGateway
import Testing

extension EndToEnd {
  /// Which request goes where, and with which fields.
  @Suite struct Routing {
    static let key = "sk-0123456789abcdef"

    static let configuration = """
      {
        upstreams: {
          keyed: {
            url: "UPSTREAM/keyed",
            headers: { Authorization: { env: "FERMATA_TEST_KEY", prefix: "Bearer " }, "X-Gateway": "fermata" },
            removeHeaders: ["Cookie", "X-Private"],
          },
          open: { url: "UPSTREAM/open" },
        },
        routes: [
          { name: "run", path: "/runs/:runId", methods: ["GET"], upstreams: "keyed" },
          { name: "beta", path: "/runs/*", headers: { "X-Beta": true }, upstreams: "open", capabilityHeader: "X-Beta" },
          {
            name: "cors", path: "/cors/*", methods: ["GET", "POST"], upstreams: "open",
            cors: { origins: ["https://app.example"], credentials: true, exposed: ["X-Cost"] },
          },
          {
            name: "dead", path: "/dead", upstreams: "keyed", flagAttributes: { product: "runs" },
            cors: { origins: ["*"] },
          },
        ],
      }
      """

    static func setup(
      _ variant: String = "graceful",
      script: @escaping @Sendable (RecordedRequest) -> Script = { _ in .events(["1", "[DONE]"]) }
    ) -> World.Setup {
      World.Setup(variant: variant, settings: ["test.key": key], configuration: configuration, script: script)
    }

    @Test func `the first route that fits takes a request, by path, method and headers`() async throws {
      let rows: [(method: String, path: String, fields: [Script.Field], backend: String?)] = [
        ("GET", "/runs/7", [], "/keyed/runs/7"), ("GET", "/runs/7?x=%2F", [], "/keyed/runs/7?x=%2F"),
        ("GET", "/runs/7/x", [], nil), ("GET", "/runs/", [], nil), ("GET", "/runs/..", [], nil),
        ("GET", "/runs/a%2Fb", [], nil), ("DELETE", "/runs/7", [], nil),
        ("DELETE", "/runs/7", [.init("X-Beta", "1")], "/open/runs/7"),
        ("GET", "/runs/a/b", [.init("x-beta", "")], "/open/runs/a/b"),
        ("GET", "/runs/../b", [.init("X-Beta", "1")], nil), ("GET", "/other", [], nil),
      ]
      try await World.with(Self.setup()) { world in
        var expected: [String] = []
        for row in rows {
          let result = await world.send(ClientRequest(row.method, row.path, fields: row.fields))
          #expect(result.status == (row.backend == nil ? 404 : 200), "\(row)")
          if let target = row.backend { expected.append(target) }
        }
        #expect(world.backend.requests.map(\.target) == expected)
      }
    }

    @Test func `a backend gets the gateway's fields, and the client's but for those`() async throws {
      try await World.with(Self.setup()) { world in
        let fields: [Script.Field] = [
          .init("Authorization", "Bearer of-the-client"), .init("Cookie", "session=1"), .init("x-private", "1"),
          .init("X-Gateway", "forged"), .init("X-Public", "2"),
        ]
        _ = await world.fetch("/runs/7", fields: fields)
        let head = try #require(world.backend.requests.first?.head)
        let sent = head.fields.map { "\($0.name.lowercased()): \($0.value)" }
        #expect(sent.filter { $0.hasPrefix("authorization") } == ["authorization: Bearer \(Self.key)"])
        #expect(sent.filter { $0.hasPrefix("x-gateway") } == ["x-gateway: fermata"])
        #expect(sent.contains("x-public: 2"))
        #expect(!sent.contains { $0.hasPrefix("cookie") || $0.hasPrefix("x-private") })
        #expect(!world.gateway.logText.contains(Self.key))
        let shown = await world.gateway.ask("/config").text
        #expect(shown.contains("FERMATA_TEST_KEY") && !shown.contains(Self.key))
      }
    }

    @Test func `a route may have a capability header of its own`() async throws {
      try await World.with(Self.setup()) { world in
        let graceful = await world.fetch("/runs/a/b", fields: [.init("X-Beta", "1")])
        let legacy = await world.fetch("/runs/a/b", fields: [.init("X-Beta", "0")])
        #expect(graceful.mode == "graceful" && legacy.mode == "legacy")
      }
    }

    @Test func `the flag's rules see a route's attributes`() async throws {
      try await World.with(Self.setup("legacy")) { world in
        let rule = "{ \"if\": [{ \"==\": [{ \"var\": \"product\" }, \"runs\"] }, \"graceful\", \"legacy\"] }"
        #expect(await world.setFlags(FlagFile.document("legacy", targeting: rule, version: "2"), version: "2"))
        #expect(await world.fetchNew("/dead").mode == "graceful")
        #expect(await world.fetchNew("/runs/7").mode == "legacy")
      }
    }

    @Test func `a page of an allowed origin may read a stream and its fields`() async throws {
      let backend = Script(
        [
          .head(
            Script.Head(fields: [
              .init("Content-Type", "text/event-stream"), .init("Access-Control-Allow-Origin", "*"),
              .init("Access-Control-Allow-Headers", "*"), .init("Vary", "Accept"),
            ])), .event(nil, "1"), .finish(.clean),
        ])
      try await World.with(Self.setup(script: { _ in backend })) { world in
        for isNew in [false, true] {
          let fields = [Script.Field("Origin", "https://app.example"), .acceptsEvents]
          let result = await world.fetch("/cors/x", fields: fields + (isNew ? [.prefersStreamEnd] : []))
          #expect(result.status == 200 && result.mode == (isNew ? "graceful" : "legacy"))
          let values = result.head.fields.filter { $0.name.lowercased().hasPrefix("access-control-") }
          #expect(
            values.map(\.value) == [
              "https://app.example", "true",
              "X-Stream-Id, X-Stream-Mode, X-Stream-Outcome, X-Stream-Resume, X-Run-Id, Preference-Applied, Retry-After, X-Request-Id, X-Cost",
            ])
          let vary = result.head.fields.filter { $0.name.lowercased() == "vary" }.map(\.value)
          #expect(vary.contains("Origin") && vary.contains("Accept"))
        }
        let other = await world.fetch("/cors/x", fields: [.init("Origin", "https://evil.example")])
        #expect(other.status == 200 && other.head.value("Access-Control-Allow-Origin") == nil)
      }
    }

    @Test func `a preflight is answered by the gateway, for the route that would serve the request`() async throws {
      try await World.with(Self.setup()) { world in
        let asked = [
          Script.Field("Origin", "https://app.example"), .init("Access-Control-Request-Method", "POST"),
          .init("Access-Control-Request-Headers", "content-type"),
        ]
        let answer = await world.send(ClientRequest("OPTIONS", "/cors/x", fields: asked))
        #expect(answer.status == 204 && answer.body.isEmpty && answer.end == .clean)
        #expect(answer.head.value("Access-Control-Allow-Origin") == "https://app.example")
        #expect(answer.head.value("Access-Control-Allow-Headers") == "content-type")
        #expect(answer.head.value("Access-Control-Allow-Methods") == "POST")
        #expect(world.backend.requests.isEmpty)
        let elsewhere = await world.send(ClientRequest("OPTIONS", "/runs/7", fields: asked))
        #expect(elsewhere.status == 404)
      }
    }

    @Test func `what the gateway refuses can be read by the page too`() async throws {
      try await World.with(Self.setup(script: { _ in .garbage("nonsense\r\n\r\n") })) { world in
        let result = await world.fetch("/dead", fields: [.init("Origin", "https://anybody.example")])
        #expect(result.status >= 500)
        #expect(result.head.value("Access-Control-Allow-Origin") == "*")
      }
    }
  }
}
