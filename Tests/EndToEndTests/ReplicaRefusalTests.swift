import Harness
import JSON
import Processes
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// Redis refuses what it is asked, or a gateway ends what it has.
  @Suite(.enabled(if: RedisProcess.isAvailable)) struct ReplicaRefusals {
    private func setup(_ redis: String = "lease: \"2s\"", runs: String = "", count: Int = 400) -> Replicas.Setup {
      var setup = Replicas.Setup { _ in RunWorld.ticking(count, every: .milliseconds(20)) }
      setup.redis = redis
      setup.runs += runs
      return setup
    }

    /// The reasons in the log lines of one event.
    private func reasons(_ gateway: GatewayProcess, _ event: String) -> [String] {
      gateway.log(event).map { $0["reason"]?.string ?? "" }
    }

    @Test(arguments: ["full", "not allowed", "too few replicas"])
    func `readers elsewhere of a run that Redis takes no more of are told within a bound`(how: String) async throws {
      var setup = setup("lease: \"2s\", patience: \"1s\"", count: 500)
      setup.server.password = "sesame"
      try await Replicas.with(setup) { replicas in
        let owner = replicas.world.openNew()
        let stream = try await owner.streamID()
        let readers = (1...10).map { _ in replicas.open("/fermata/streams/\(stream)") }
        for reader in [owner] + readers { #expect(await reader.receives("data: 10\n")) }
        switch how {
        case "full": try replicas.redis.cli("config", "set", "maxmemory", "1")
        case "not allowed": try replicas.redis.cli("acl", "setuser", "gate", "-@write")
        default: try replicas.redis.cli("config", "set", "min-replicas-to-write", "1")
        }
        let begin = replicas.world.clock
        var longest = Nanoseconds.zero
        for reader in readers {
          let result = await reader.result()
          #expect(result.outcome == "gateway_error" && result.payloads == (1...result.payloads.count).map { "\($0)" })
          longest = max(longest, result.endedAt - begin)
        }
        // A lease that was just renewed, 0.3 leases, and 2 s.
        let limit = Nanoseconds.milliseconds(2000 + 600 + 2000 + 500) + MachineDelay.since(begin)
        #expect(longest < limit, "\(longest.milliseconds)")
        let late = await replicas.ask("/fermata/streams/\(stream)")
        #expect(late.outcome == "gateway_error")
        let result = await owner.result()
        #expect(result.payloads == RunWorld.numbers(1...500) && result.streamEnd?["resumable"]?.bool == false)
        let fresh = await replicas.world.fetchNew("/new")
        #expect(fresh.outcome == "completed" && fresh.streamEnd?["resumable"]?.bool == false)
        let word = ["full": "OOM", "not allowed": "NOPERM"][how] ?? "NOREPLICAS"
        for reason in reasons(replicas.world.gateway, "run_store_lost") { #expect(reason.hasPrefix(word), "\(reason)") }
        #expect(reasons(replicas.world.gateway, "run_store_lost").count == 2)
        #expect(await replicas.world.gateway.metric("fermata_redis_errors_total", ["error": word]) > 0)
        #expect(await replicas.world.gateway.metric("fermata_run_store_lost_total") == 2)
        print("\(how): 10 of 10 readers told after at most \(longest.milliseconds) ms")
      }
    }

    @Test(arguments: [true, false])
    func `a process says that Redis is away, and where it is told to, that it is not ready`(isNeeded: Bool) async throws
    {
      try await Replicas.with(setup("readiness: \(isNeeded)")) { replicas in
        let gateway = replicas.world.gateway
        #expect(await eventually { (try? await gateway.json("/readyz"))?["redis"]?["status"]?.string == "connected" })
        #expect(await eventually { await gateway.metric("fermata_redis_connected") == 2 })
        replicas.redis.kill()
        #expect(
          await eventually(within: .seconds(5)) {
            let answer = await gateway.ask("/readyz")
            return answer.status == (isNeeded ? 503 : 200) && answer.text.contains("\"lost\"")
          })
        #expect(await eventually { reasons(gateway, "redis_lost").count == 2 })
        #expect(reasons(gateway, "redis_lost").allSatisfy { !$0.isEmpty })
        #expect(await gateway.metric("fermata_redis_connected") == 0)
        #expect(await gateway.metric("fermata_redis_connections_lost_total") >= 2)
        try await replicas.redis.restart()
        #expect(await eventually(within: .seconds(5)) { await gateway.ask("/readyz").status == 200 })
        #expect(await eventually { await gateway.metric("fermata_redis_connected") == 2 })
      }
    }

    @Test func `a patience of four seconds bears an absence of three, again and again`() async throws {
      try await Replicas.with(setup("lease: \"2s\", patience: \"4s\"", count: 600)) { replicas in
        let owner = replicas.world.openNew()
        let reader = replicas.open("/fermata/streams/\(try await owner.streamID())")
        for reader in [owner, reader] { #expect(await reader.receives("data: 10\n")) }
        for _ in 0..<2 {
          replicas.redis.kill()
          try await Task.sleep(for: .seconds(3))
          try await replicas.redis.restart()
          try await Task.sleep(for: .seconds(1))
        }
        for stream in [owner, reader] {
          let result = await stream.result()
          #expect(result.payloads == RunWorld.numbers(1...600) && result.streamEnd?["resumable"]?.bool == true)
        }
        #expect(replicas.both.allSatisfy { $0.log("run_store_lost").isEmpty })
      }
    }

    // MARK: - The end of a gateway

    @Test func `a key whose run a gateway has ended itself starts another, once`() async throws {
      try await Replicas.with(setup(count: 250)) { replicas in
        let first = replicas.post("k", of: replicas.other)
        #expect(await first.receives("data: 5\n"))
        replicas.other.signal(15)
        let told = await first.result()
        #expect(told.outcome == "draining")
        #expect(await replicas.other.exit(within: .seconds(10)) == .code(0))
        // Whoever goes on gets the end of what there was.
        let rest = replicas.open(
          "/", of: replicas.world.gateway, method: "POST",
          fields: [.idempotencyKey("k"), .authorization("Bearer me"), .lastEventID(told.lastID ?? "")], body: "{}")
        let ending = await rest.result()
        #expect(ending.status == 204 || ending.outcome == "draining", "\(ending.status) \(ending.text.suffix(300))")
        #expect(replicas.world.backend.requests.count == 1)
        let again = (1...5).map { _ in replicas.post("k", of: replicas.world.gateway) }
        for stream in again {
          let result = await stream.result()
          #expect(result.payloads == RunWorld.numbers(1...250) && result.outcome == "completed")
        }
        #expect(replicas.world.backend.requests.count == 2)
      }
    }

    @Test func `a key of a gateway that died starts another run once the first one is ended`() async throws {
      try await Replicas.with(setup(count: 250)) { replicas in
        let first = replicas.post("k", of: replicas.other)
        #expect(await first.receives("data: 5\n"))
        replicas.other.signal(9)
        let waiting = await replicas.post("k", of: replicas.world.gateway).result()
        #expect(waiting.outcome == "gateway_error")
        let again = await replicas.post("k", of: replicas.world.gateway).result()
        #expect(again.payloads == RunWorld.numbers(1...250) && again.outcome == "completed")
        #expect(replicas.world.backend.requests.count == 2)
      }
    }

    @Test func `a replica that drains says that runs of others can be resumed, and so they can`() async throws {
      try await Replicas.with(setup(count: 400)) { replicas in
        let owner = replicas.world.openNew()
        let stream = try await owner.streamID()
        let reader = replicas.open("/fermata/streams/\(stream)")
        #expect(await reader.receives("data: 5\n"))
        replicas.other.signal(15)
        let told = await reader.result()
        #expect(told.outcome == "draining" && told.streamEnd?["resumable"]?.bool == true)
        #expect(await owner.result().outcome == "completed")
        let rest = await replicas.world.fetchNew(fields: [.lastEventID(told.lastID ?? "")])
        #expect(told.payloads + rest.payloads == RunWorld.numbers(1...400))
      }
    }
  }
}
