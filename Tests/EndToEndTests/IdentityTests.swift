import Harness
import JSON
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// Who a client is, for its runs: what it may read, and what its names mean.
  @Suite struct Identity {
    private static func cookies(_ text: String) -> Script.Field { Script.Field("Cookie", text) }

    private static func post(_ fields: [Script.Field], _ target: String = "/v1/chat") -> ClientRequest {
      ClientRequest("POST", target, fields: [.acceptsEvents, .prefersStreamEnd] + fields, body: Array("{}".utf8))
    }

    @Test func `a cookie that changes does not change who a client is`() async throws {
      try await World.with(RunWorld.setup(common: "{ principalCookies: [\"session\"] }")) { world in
        let first = await world.fetchNew("/?events=3", fields: [Self.cookies("session=s; AWSALB=one")])
        let stream = try #require(first.streamID)
        let again = await world.fetchNew(
          "/?events=3", fields: [Self.cookies("AWSALB=two; session=s"), .lastEventID("\(stream).2")])
        #expect(again.streamID == stream && again.payloads == Array(first.payloads.dropFirst(2)))
        let other = await world.fetchNew("/fermata/streams/\(stream)", fields: [Self.cookies("session=t; AWSALB=one")])
        #expect(other.status == 404)
        for cookies in [[], [Self.cookies("AWSALB=one")]] {
          let post = Self.post([Self.cookies("session=s"), .idempotencyKey("k")] + cookies, "/?events=3")
          #expect(await world.send(post).payloads == first.payloads)
        }
        #expect(world.backend.requests.count == 2)
      }
    }

    @Test(arguments: ["api-key", "x-goog-api-key", "x-api-key", "?key="])
    func `clients with keys of their own have runs of their own, whatever they call them`(name: String) async throws {
      try await World.with(RunWorld.setup(common: "{ principalQuery: [\"key\"] }")) { world in
        func ask(_ key: String) async -> ClientResult {
          let credential = name == "?key=" ? [] : [Script.Field(name, key)]
          let target = name == "?key=" ? "/?events=2&key=\(key)" : "/?events=2"
          return await world.send(Self.post(credential + [.idempotencyKey("1")], target))
        }
        let mine = await ask("a")
        #expect(await ask("a").streamID == mine.streamID)
        #expect(await ask("b").streamID != mine.streamID)
        #expect(world.backend.requests.count == 2)
      }
    }

    private static let named = """
      { upstreams: { main: { url: "UPSTREAM" } }, RUNS
        routes: [
          { name: "named", path: "/named/:runId", upstreams: ["main"],
            runs: { name: "runId", onDisconnect: "continue" STORE } },
          { name: "all", upstreams: ["main"], runs: { onDisconnect: "continue" STORE } } ] }
      """

    @Test(arguments: RedisProcess.isAvailable ? ["memory", "redis"] : ["memory"])
    func `names of clients without credentials open and stop nothing, a stream's id does`(store: String) async throws {
      let redis = store == "redis" ? try await RedisProcess() : nil
      defer { redis?.kill() }
      let runs = redis.map { "runs: { redis: { url: \"redis://127.0.0.1:\($0.port)\" } }," } ?? ""
      let script = RunWorld.ticking(30, every: .milliseconds(50))
      let setup = World.Setup(
        variant: "graceful",
        configuration: Self.named.replacing("RUNS", with: runs).replacing("STORE", with: ", store: \"\(store)\""),
        script: { _ in script })
      try await World.with(setup) { world in
        let names: [(path: String, fields: [Script.Field])] = [
          ("/named/order-1", []), ("/x", [.clientStream("tab")]), ("/x", [.idempotencyKey("k")]),
        ]
        for (path, fields) in names {
          let fields = [.acceptsEvents, .prefersStreamEnd] + fields
          let streams = [world.open(path, fields: fields), world.open(path, fields: fields)]
          for stream in streams { #expect(await stream.receives("data: 3\n"), "\(path)") }
          let ids = [try await streams[0].streamID(), try await streams[1].streamID()]
          #expect(ids[0] != ids[1], "\(path) \(fields)")
          #expect(await streams[0].soFar().events.last?.type != "stream_end", "it was not replaced")
          let run = await world.send(ClientRequest("DELETE", "/api/agents/run/order-1"))
          #expect(run.status == 404)
          let resumed = await world.fetchNew(path, fields: [.lastEventID("\(ids[0]).2")])
          #expect(resumed.streamID == ids[0] && resumed.payloads == RunWorld.numbers(3...30))
          let stopped = await world.send(ClientRequest("DELETE", "/api/agents/run/\(ids[1])"))
          #expect(stopped.status == 204)
          for stream in streams { _ = await stream.result() }
        }
        #expect(world.backend.requests.count == 2 * names.count)
      }
    }

    @Test func `the head of a kept run says where it can be resumed, that of another does not`() async throws {
      let setup = World.Setup(
        variant: "graceful",
        configuration: """
          { upstreams: { main: { url: "UPSTREAM" } }, runs: { streamPath: "/again/:streamId/tail" },
            routes: [
              { name: "kept", path: "/kept", upstreams: ["main"], runs: true,
                cors: { origins: ["https://app.example"] } },
              { name: "all", upstreams: ["main"] } ] }
          """,
        script: { _ in
          var head = Script.Head()
          head.fields.append(Script.Field("X-Stream-Resume", "/forged"))
          return Script([.head(head), .event(nil, "1"), .event(nil, "[DONE]"), .end])
        })
      try await World.with(setup) { world in
        let kept = await world.fetchNew("/kept", fields: [Script.Field("Origin", "https://app.example")])
        let path = "/again/\(kept.streamID ?? "")/tail"
        #expect(kept.head.values("X-Stream-Resume") == [path])
        #expect(kept.head.value("Access-Control-Expose-Headers")?.contains("X-Stream-Resume") == true)
        #expect(await world.fetchNew(path).payloads == kept.payloads)
        let plain = await world.fetchNew("/x")
        #expect(plain.mode == "graceful" && plain.head.values("X-Stream-Resume").isEmpty)
      }
    }

    @Test func `a backend gets no field that is removed, and the encoding that is set`() async throws {
      let setup = World.Setup(
        configuration: """
          { upstreams: { main: { url: "UPSTREAM", headers: { "X-Forwarded-Proto": "https" },
              removeHeaders: ["X-Forwarded-For", "x-forwarded-host", "Via", "User-Agent", "Accept-Encoding"] } },
            routes: [{ name: "all", upstreams: ["main"] }] }
          """)
      try await World.with(setup) { world in
        let fields: [Script.Field] = [
          .acceptsEvents, .init("User-Agent", "x"), .init("X-Forwarded-For", "192.0.2.1"), .init("Via", "1.1 edge"),
        ]
        _ = await world.fetch("/?events=1", fields: fields)
        let head = try #require(world.backend.requests.first?.head)
        for name in ["X-Forwarded-For", "X-Forwarded-Host", "Via", "User-Agent", "Accept-Encoding"] {
          #expect(head.value(name) == nil, "\(name)")
        }
        #expect(head.values("X-Forwarded-Proto") == ["https"])
      }
    }
  }
}
