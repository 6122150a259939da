import Harness
import JSON
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// Runs that workers feed: what their events mean, and how they end.
  @Suite(.enabled(if: RedisProcess.isAvailable)) struct WorkerRuns {
    /// A gateway that has nothing but workers' runs.
    private static func with(
      variant: String, ttl: String = "1h", _ body: (World, RedisProcess) async throws -> Void
    ) async throws {
      let redis = try await RedisProcess()
      defer { redis.kill() }
      let setup = World.Setup(
        variant: variant,
        configuration: """
          { runs: { redis: { url: "redis://127.0.0.1:\(redis.port)", ttl: "\(ttl)" } },
            routes: [{ name: "agents", path: "/api/agents/stream/:runId", runs: { source: "redis" } }] }
          """)
      try await World.with(setup) { world in try await body(world, redis) }
    }

    private static func tell(_ redis: RedisProcess, _ run: String, _ type: String, _ data: String) throws {
      try redis.cli("xadd", "ai:run:\(run):events", "*", "event", type, "data", data)
    }

    @Test func `a client that hangs up at the completion event gets it last`() async throws {
      try await Self.with(variant: "shield") { world, redis in
        let reader = world.open("/api/agents/stream/job-1")
        try Self.tell(redis, "job-1", "delta", "word")
        #expect(await reader.receives("data: word\n"))
        try Self.tell(redis, "job-1", "complete", "{}")
        try Self.tell(redis, "job-1", "usage", "{\"tokens\":7}")
        #expect(await reader.receives("event: usage\n"))
        try redis.cli("xadd", "ai:run:job-1:events", "*", "end", "completed")
        let result = await reader.result()
        #expect(result.mode == "shield" && result.end == .clean)
        #expect(result.events.map(\.type) == ["delta", "usage", "complete"])
        let post = await world.send(ClientRequest("POST", "/api/agents/stream/job-1"))
        #expect(post.status == 404, "there is no backend to ask")
      }
    }

    @Test func `a worker's run stays its reader's for as long as it is read`() async throws {
      try await Self.with(variant: "graceful", ttl: "1s") { world, redis in
        let path = "/api/agents/stream/job-9"
        let reader = world.open(path, fields: [.acceptsEvents, .prefersStreamEnd, .authorization("a")])
        try Self.tell(redis, "job-9", "delta", "word")
        #expect(await reader.receives("data: word\n"))
        // Longer than the keys live that say whose it is.
        try await Task.sleep(for: .milliseconds(2500))
        #expect(await world.fetchNew(path, fields: [.authorization("b")]).status == 404)
        try redis.cli("xadd", "ai:run:job-9:events", "*", "end", "completed")
        #expect(await reader.result().outcome == "completed")
      }
    }

    @Test(arguments: [("complete", "completed"), ("error", "upstream_error")])
    func `a worker that says its last event and no end has ended`(type: String, outcome: String) async throws {
      try await Replicas.with(script: Script([.head(), .end])) { replicas in
        let first = replicas.world.openNew("/quick/job-1")
        let second = replicas.open("/quick/job-1")
        #expect(await first.receives(":ok\n"))
        #expect(await second.receives(":ok\n"))
        try Self.tell(replicas.redis, "job-1", "delta", "word")
        try Self.tell(replicas.redis, "job-1", type, "{}")
        let results = [await first.result(), await second.result()]
        for result in results {
          #expect(result.outcome == outcome && result.payloads == ["word", "{}"])
          #expect(result.streamEnd?["events"]?.integer == 2)
        }
        let entries = try replicas.redis.cli("xlen", "ai:run:job-1:events")
        #expect(entries == "3", "one end for all")
        let tail = results[0].lastID ?? ""
        #expect(await replicas.ask("/quick/job-1", fields: [.lastEventID(tail)]).status == 204)
      }
    }

    @Test func `a worker's run is known by its own id and by its stream's, on every replica`() async throws {
      try await Replicas.with(script: Script([.head(), .end])) { replicas in
        let reader = replicas.world.openNew("/api/agents/stream/job-4")
        for word in ["a", "b"] { try Self.tell(replicas.redis, "job-4", "delta", word) }
        #expect(await reader.receives("data: b\n"))
        let stream = try await reader.streamID()
        #expect(await reader.soFar().head.value("X-Stream-Resume") == "/fermata/streams/\(stream)")
        for gateway in replicas.both {
          func open(_ path: String, _ method: String = "GET", fields: [Script.Field] = []) -> LiveStream {
            replicas.open(path, of: gateway, method: method, fields: fields)
          }
          for id in ["job-4", stream] {
            for path in ["/fermata/streams/\(id)", "/api/agents/stream/\(id)"] {
              let again = open(path, fields: [.lastEventID("\(stream).1")])
              #expect(await again.receives("data: b\n"), "\(path)")
              let soFar = await again.soFar()
              #expect(soFar.streamID == stream && soFar.payloads == ["b"], "\(path)")
              again.hangUp()
            }
            let state = try JSONValue(parsing: await open("/api/agents/run/\(id)").result().text)
            #expect(state["streamId"]?.string == stream && state["sequence"]?.integer == 2, "\(id)")
            let theirs = open("/fermata/streams/\(id)", fields: [.authorization("Bearer you")])
            #expect(await theirs.result().status == 404)
          }
        }
        #expect(await replicas.ask("/api/agents/run/\(stream)", method: "DELETE").status == 204)
        let end = await reader.result().streamEnd
        #expect(end?["outcome"]?.string == "cancelled")
        #expect(end?["runId"]?.string == "job-4" && end?["streamId"]?.string == stream)
      }
    }

    @Test func `a stop that no worker heeds is in the log for those who come later`() async throws {
      try await Replicas.with(script: Script([.head(), .end])) { replicas in
        let reader = replicas.world.openNew("/api/agents/stream/job-3")
        #expect(await reader.receives(":ok\n"))
        try Self.tell(replicas.redis, "job-3", "delta", "word")
        #expect(await reader.receives("data: word\n"))
        #expect(await replicas.ask("/api/agents/run/job-3", method: "DELETE").status == 204)
        #expect(await reader.result().outcome == "cancelled")
        try Self.tell(replicas.redis, "job-3", "delta", "too late")
        let later = await replicas.ask("/api/agents/stream/job-3")
        #expect(later.outcome == "cancelled" && later.payloads == ["word"])
      }
    }
  }
}
