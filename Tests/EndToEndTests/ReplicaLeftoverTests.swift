import Harness
import JSON
import Processes
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// What gateways leave in Redis goes by itself: no key waits for somebody to delete it.
  @Suite(.enabled(if: RedisProcess.isAvailable)) struct ReplicaLeftovers {
    /// Of the keys in Redis those that are there for longer than they may be: for two seconds, as the configuration
    /// says, a wish that a run may stop for its 300 s, and the guard's sums for 600 s. A key that nothing takes away is
    /// among them.
    private static func lasting(_ replicas: Replicas) throws -> [String] {
      let script = """
        local found = {}
        for _, key in ipairs(redis.call('KEYS', '*')) do
          local left = redis.call('PTTL', key)
          local limit = string.find(key, ':cancel$') and 300000 or key == 'ai:guard:sums' and 600000 or 2000
          if left == -1 or left > limit then found[#found + 1] = key end
        end
        return found
        """
      return try replicas.redis.cli("EVAL", script, "0").split(separator: "\n").map(String.init)
    }

    /// The keys in Redis, but for those that have a longer life of their own.
    private static func keys(_ replicas: Replicas) throws -> Set<String> {
      let all = try replicas.redis.cli("KEYS", "*").split(separator: "\n").map(String.init)
      return Set(all.filter { !$0.hasSuffix(":cancel") && $0 != "ai:guard:sums" })
    }

    private static let setup: Replicas.Setup = {
      var setup = Replicas.Setup { request in
        switch request.path {
        case "/cut": Script([.head(), .event(nil, "1"), .cut])
        case "/none": Script([.cut])
        case "/long": RunWorld.ticking(400, every: .milliseconds(20))
        default: RunWorld.ticking(5, every: .milliseconds(5))
        }
      }
      setup.redis = "lease: \"2s\", ttl: \"2s\""
      return setup
    }()

    /// Runs that end in each way there is, and are over when this returns.
    ///
    /// - Returns: the keys that were there in the middle: some have gone at the end on a slow machine.
    private static func play(_ replicas: Replicas) async throws -> Set<String> {
      let world = replicas.world
      #expect(await world.fetchNew("/").outcome == "completed")
      #expect(await world.fetchNew("/cut").outcome == "upstream_truncated")
      #expect(await world.fetchNew("/none").status == 502)
      #expect(await replicas.ask("/unknown", fields: [.lastEventID("nothing.7")]).outcome == "completed")
      let named: [Script.Field] = [.acceptsEvents, .prefersStreamEnd, .signedIn]
      for field in [Script.Field.idempotencyKey("k"), .clientStream("tab")] {
        let request = ClientRequest("POST", "/named", fields: named + [field], body: Array("{}".utf8))
        #expect(await world.send(request).outcome == "completed")
      }
      let seen = try keys(replicas)
      let gone = world.openNew("/")
      #expect(await gone.receives("data: 1\n"))
      gone.hangUp()
      let stopped = world.openNew("/long")
      let stream = try await stopped.streamID()
      #expect(await stopped.receives("data: 1\n"))
      #expect(await replicas.ask("/api/agents/run/\(stream)", method: "DELETE").status == 204)
      #expect(await stopped.result().outcome == "cancelled")
      return seen
    }

    /// A run that a worker feeds, which sees to the key of its events itself.
    private static func playWorker(_ replicas: Replicas) async throws {
      let reader = replicas.world.openNew("/api/agents/stream/job-1")
      #expect(await reader.receives(":ok\n"))
      for (name, value) in [("data", "word"), ("end", "completed")] {
        try replicas.redis.cli("xadd", "ai:run:job-1:events", "*", name, value)
        try replicas.redis.cli("pexpire", "ai:run:job-1:events", "2000")
      }
      #expect(await reader.result().outcome == "completed")
      let stopped = replicas.world.openNew("/api/agents/stream/job-2")
      #expect(await stopped.receives(":ok\n"))
      #expect(await replicas.ask("/api/agents/run/job-2", method: "DELETE").status == 204)
      #expect(await stopped.result().outcome == "cancelled")
    }

    @Test func `whatever became of a run, none of its keys stays longer than it is kept`() async throws {
      try await Replicas.with(Self.setup) { replicas in
        let early = try await Self.play(replicas)
        try await Self.playWorker(replicas)
        // Two that go on: of one the gateway is killed.
        let going = replicas.world.openNew("/long")
        let orphan = replicas.open("/long")
        for reader in [going, orphan] { #expect(await reader.receives("data: 1\n")) }
        let kinds = ["run", "gateway", "idem", "client", "stream", "epoch"]
        let seen = try Self.keys(replicas).union(early)
        for kind in kinds { #expect(seen.contains { $0.hasPrefix("ai:\(kind)") }, "\(kind) is among \(seen)") }
        let lasting = try Self.lasting(replicas)
        #expect(lasting == ["ai:epoch"], "\(lasting) while runs go on")
        replicas.other.signal(9)
        #expect(await going.result().outcome == "completed")
        replicas.world.gateway.signal(15)
        #expect(await replicas.world.gateway.exit(within: .seconds(15)) == .code(0))
        let given = try Self.lasting(replicas)
        #expect(given == ["ai:epoch"], "\(given) when nobody renews them")
        _ = await eventually(within: .seconds(20)) { (try? Self.keys(replicas)) == ["ai:epoch"] }
        let left = try Self.keys(replicas)
        #expect(left == ["ai:epoch"], "\(left.sorted())")
      }
    }
  }
}
