import Harness
import JSON
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// Runs whose backend numbers its events itself: what a client must say besides to go on behind one of them.
  @Suite struct BackendIDs {
    private static let count = 40

    /// Events with ids that mean something to the backend alone.
    private static let script = Script(
      [.head()]
        + (1...count).flatMap { number -> [Script.Step] in
          [.body("id: b\(number)\ndata: \(number)\n\n"), .pause(.milliseconds(20))]
        } + [.event(nil, "[DONE]"), .end])

    private static let configuration = """
      { upstreams: { main: { url: "UPSTREAM" } }, RUNS
        routes: [
          { name: "named", path: "/named/:runId", upstreams: ["main"],
            runs: { name: "runId", onDisconnect: "continue" STORE } },
          { name: "all", upstreams: ["main"], runs: { onDisconnect: "continue" STORE } } ] }
      """

    private static func fill(_ redis: RedisProcess?) -> String {
      let runs = redis.map { "runs: { redis: { url: \"redis://127.0.0.1:\($0.port)\" } }," } ?? ""
      return configuration.replacing("RUNS", with: runs)
        .replacing("STORE", with: redis == nil ? "" : ", store: \"redis\"")
    }

    /// The ways to name a run: its path, and the fields that a request repeats.
    private static let names: [(path: String, fields: [Script.Field])] = [
      ("/named/order-1", [.signedIn]), ("/x", [.signedIn, .clientStream("tab")]),
      ("/x", [.signedIn, .idempotencyKey("k")]),
    ]

    private static func reads(_ first: ClientResult, _ second: ClientResult, _ place: String) {
      #expect(first.lastID == "b5", "\(place)")
      #expect(first.payloads + second.payloads == RunWorld.numbers(1...count), "\(place)")
      #expect(second.streamID == first.streamID && second.outcome == "completed", "\(place)")
    }

    @Test func `a run that can be found goes on behind an id of the backend's`() async throws {
      let setup = World.Setup(variant: "graceful", configuration: Self.fill(nil), script: { _ in Self.script })
      try await World.with(setup) { world in
        for (path, fields) in Self.names {
          let first = await world.fetchNew(path, fields: fields, behaviour: .hangingUp(at: "data: 5\n\n"))
          let second = await world.fetchNew(path, fields: fields + [.lastEventID(first.lastID ?? "")])
          Self.reads(first, second, "\(path) \(fields)")
          let query = await world.fetchNew(path + "?last_event_id=b39", fields: fields)
          #expect(path == "/named/order-1" ? query.payloads == ["40", "[DONE]"] : true)
          let unknown = await world.fetchNew(path, fields: fields + [.lastEventID("c9")])
          #expect(unknown.events.first?.type == "stream_reset", "\(path) \(fields)")
          #expect(unknown.payloads.count == Self.count + 1, "\(path) \(fields) \(unknown.text.suffix(300))")
        }
        #expect(world.backend.requests.count == Self.names.count)
      }
    }

    @Test func `an id of the backend's alone names no run: that is told, and a new one begins`() async throws {
      let setup = World.Setup(variant: "graceful", configuration: Self.fill(nil), script: { _ in Self.script })
      try await World.with(setup) { world in
        let first = await world.fetchNew("/x", behaviour: .hangingUp(at: "data: 5\n\n"))
        let second = await world.fetchNew("/x", fields: [.lastEventID(first.lastID ?? "")])
        let reset = try JSONValue(parsing: try #require(second.events.first).data)
        #expect(second.events.first?.type == "stream_reset" && reset["reason"]?.string == "unknown")
        #expect(second.streamID != first.streamID && world.backend.requests.count == 2)
        let byStream = await world.fetchNew(
          "/fermata/streams/\(first.streamID ?? "")", fields: [.lastEventID(first.lastID ?? "")])
        #expect(byStream.payloads.first == "6" && byStream.streamID == first.streamID)
        let post = ClientRequest("POST", "/x", fields: [.acceptsEvents, .prefersStreamEnd, .lastEventID("b5")])
        #expect(await world.send(post).status == 404)
      }
    }

    @Test(.enabled(if: RedisProcess.isAvailable))
    func `the same on another replica`() async throws {
      let redis = try await RedisProcess()
      defer { redis.kill() }
      let setup = World.Setup(variant: "graceful", configuration: Self.fill(redis), script: { _ in Self.script })
      try await World.with(setup) { world in
        let arguments = ["--flags", world.flags.path, "--config", world.flags.directory["fermata.json5"]]
        let other = try await GatewayProcess.start(arguments, clients: world.clients)
        defer { other.signal(9) }
        let replicas = Replicas(world: world, other: other, redis: redis)
        for (path, fields) in Self.names {
          let first = await world.fetchNew(path, fields: fields, behaviour: .hangingUp(at: "data: 5\n\n"))
          let second = await replicas.ask(path, fields: fields + [.lastEventID(first.lastID ?? "")])
          Self.reads(first, second, "\(path) \(fields)")
        }
        #expect(world.backend.requests.count == Self.names.count)
        let alone = await replicas.ask("/x", fields: [.lastEventID("b5")])
        #expect(alone.events.first?.type == "stream_reset" && world.backend.requests.count == Self.names.count + 1)
      }
    }
  }
}
