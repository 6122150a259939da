import Glibc
import Harness
import JSON
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// Redis loses what it was told, or has bad days, while runs are going.
  @Suite(.enabled(if: RedisProcess.isAvailable)) struct ReplicaLosses {
    private static let length = 250

    private func setup(_ runs: String = "", isForgetful: Bool = false) -> Replicas.Setup {
      var setup = Replicas.Setup { _ in RunWorld.ticking(Self.length, every: .milliseconds(20)) }
      setup.runs += ", " + runs
      setup.server.isForgetful = isForgetful
      return setup
    }

    /// Starts runs on the first gateway and waits until each has said something.
    private func begin(_ count: Int, _ replicas: Replicas) async throws -> [LiveStream] {
      let runs = (1...count).map { replicas.post("k-\($0)", of: replicas.world.gateway) }
      for run in runs { #expect(await run.receives("data: 5\n")) }
      return runs
    }

    /// Repeats the requests on the second gateway: each reads the run that is going, from its beginning.
    ///
    /// - Returns: how many found it.
    private func repeatAll(_ runs: [LiveStream], _ replicas: Replicas) async throws -> Int {
      let repeats = (1...runs.count).map { replicas.post("k-\($0)", of: replicas.other) }
      var found = 0
      for (run, again) in zip(runs, repeats) {
        let (first, second) = (await run.result(), await again.result())
        for result in [first, second] {
          #expect(
            result.payloads == RunWorld.numbers(1...Self.length) && result.outcome == "completed",
            "\(result.text.suffix(400))")
        }
        if second.streamID == first.streamID { found += 1 }
      }
      return found
    }

    @Test func `a run that was over a moment before Redis is replaced by an empty one is there again`() async throws {
      let (redis, empty) = (try await RedisProcess(), try await RedisProcess(RedisProcess.Setup(isNew: true)))
      let relay = try SwitchingRelay(to: redis.port)
      defer {
        redis.kill()
        empty.kill()
        relay.stop()
      }
      var setup = Replicas.Setup { _ in RunWorld.ticking(5, every: .milliseconds(1)) }
      setup.url = "redis://127.0.0.1:\(relay.port)"
      // Longer than the machine may stand still.
      setup.redis = "lease: \"10s\""
      try await Replicas.with(setup, redis) { replicas in
        let runs = (1...20).map { replicas.post("k-\($0)", of: replicas.world.gateway) }
        var ended: [ClientResult] = []
        for run in runs { ended.append(await run.result()) }
        relay.lead(to: empty.port)
        redis.kill()
        let repeats = (1...20).map { replicas.post("k-\($0)", of: replicas.other) }
        for (first, again) in zip(ended, repeats) {
          let second = await again.result()
          #expect(second.payloads == RunWorld.numbers(1...5) && second.outcome == "completed", "\(second.text)")
          #expect(second.streamID == first.streamID)
        }
        #expect(replicas.world.backend.requests.count == 20)
      }
    }

    @Test(arguments: ["restarted without its data", "emptied", "replaced by an empty one"], ["degrade", "refuse"])
    func `a Redis that forgets starts no run twice`(how: String, policy: String) async throws {
      let redis = try await RedisProcess(RedisProcess.Setup(isForgetful: true))
      let empty = try await RedisProcess(RedisProcess.Setup(isNew: true))
      let relay = try SwitchingRelay(to: redis.port)
      defer {
        redis.kill()
        empty.kill()
        relay.stop()
      }
      var setup = setup("whenStoreFails: \"\(policy)\"", isForgetful: true)
      setup.url = "redis://127.0.0.1:\(relay.port)"
      try await Replicas.with(setup, redis) { replicas in
        let runs = try await begin(20, replicas)
        switch how {
        case "emptied": try redis.cli("flushall")
        case "replaced by an empty one":
          relay.lead(to: empty.port)
          redis.kill()
        default:
          redis.kill()
          try await redis.restart()
        }
        let found = try await repeatAll(runs, replicas)
        #expect(found == 20 && replicas.world.backend.requests.count == 20)
        print("Redis \(how), \(policy): \(found) of 20 repeats found their run, 0 started twice")
      }
    }

    @Test func `a Redis that is killed and started again and again loses no event and starts no run twice`()
      async throws
    {
      try await Replicas.with(setup()) { replicas in
        let runs = try await begin(10, replicas)
        for _ in 0..<4 {
          replicas.redis.kill()
          try await Task.sleep(for: .milliseconds(400))
          try await replicas.redis.restart()
          try await Task.sleep(for: .milliseconds(300))
        }
        for gateway in replicas.both {
          #expect(await eventually { await gateway.metric("fermata_redis_connected") == 2 })
        }
        #expect(try await repeatAll(runs, replicas) == 10)
        #expect(replicas.world.backend.requests.count == 10)
        for gateway in replicas.both {
          #expect(gateway.log("run_store_lost").isEmpty && gateway.log("redis_lost").count >= 1)
        }
      }
    }

    @Test func `a Redis that stands still for a while loses no event`() async throws {
      try await Replicas.with(setup()) { replicas in
        let runs = try await begin(10, replicas)
        let readers = try await runs.asyncMap {
          try await replicas.open("/fermata/streams/\($0.streamID())", fields: [.authorization("Bearer me")])
        }
        for reader in readers { #expect(await reader.receives("data: 5\n")) }
        replicas.redis.signal(SIGSTOP)
        try await Task.sleep(for: .seconds(3))
        replicas.redis.signal(SIGCONT)
        for run in runs + readers {
          let result = await run.result()
          #expect(
            result.payloads == RunWorld.numbers(1...Self.length) && result.outcome == "completed",
            "\(result.text.suffix(400))")
        }
        #expect(replicas.both.allSatisfy { $0.log("run_store_lost").isEmpty })
      }
    }

    @Test func `a Redis that evicts everything makes no run end early for those who read it where it lives`()
      async throws
    {
      var setup = setup()
      setup.server.options = ["--maxmemory-policy", "allkeys-lru"]
      try await Replicas.with(setup) { replicas in
        let runs = try await begin(10, replicas)
        let readers = try await runs.asyncMap {
          try await replicas.open("/fermata/streams/\($0.streamID())", fields: [.authorization("Bearer me")])
        }
        for reader in readers { #expect(await reader.receives("data: 8\n")) }
        let used = try replicas.redis.cli("info", "memory").split(whereSeparator: \.isNewline)
          .first { $0.hasPrefix("used_memory:") }?.split(separator: ":").last.flatMap { Int($0) }
        try replicas.redis.cli("config", "set", "maxmemory", "\(try #require(used) + 200_000)")
        let fill = "for i = 1, 3000 do redis.call('SET', 'junk:' .. i, string.rep('x', 1000)) end return 1"
        for _ in 0..<3 { try replicas.redis.cli("eval", fill, "0") }
        var whole = 0
        for run in runs {
          let result = await run.result()
          #expect(
            result.payloads == RunWorld.numbers(1...Self.length) && result.outcome == "completed",
            "\(result.text.suffix(400))")
        }
        for reader in readers {
          let result = await reader.result()
          // What is missing is told.
          let isWhole = result.payloads == RunWorld.numbers(1...Self.length)
          #expect(isWhole ? result.outcome == "completed" : result.outcome != "completed" && result.outcome != nil)
          if isWhole { whole += 1 }
        }
        print("allkeys-lru: 10 of 10 whole where they live, \(whole) of 10 on the other replica")
      }
    }
  }
}

extension Array {
  fileprivate func asyncMap<Value>(_ body: (Element) async throws -> Value) async rethrows -> [Value] {
    var values: [Value] = []
    for element in self { values.append(try await body(element)) }
    return values
  }
}
