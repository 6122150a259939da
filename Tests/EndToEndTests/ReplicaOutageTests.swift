import Glibc
import Harness
import JSON
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// Redis or a run's owner dies in the middle of it.
  @Suite(.enabled(if: RedisProcess.isAvailable)) struct ReplicaOutages {
    /// Long runs; short ones where the path says so.
    private func setup(_ redis: String, runs: String = "", count: Int = 400) -> Replicas.Setup {
      var setup = Replicas.Setup { RunWorld.ticking($0.path == "/new" ? 5 : count, every: .milliseconds(20)) }
      setup.redis = redis
      setup.runs += ", " + runs
      return setup
    }

    /// Whether `payloads` are the events from the first on, without a gap.
    private func isPrefix(_ payloads: [String]) -> Bool {
      payloads == (1...max(1, payloads.count)).prefix(payloads.count).map { "\($0)" }
    }

    /// Asks until Redis is found again, which each loop does for itself.
    private func onceBack(_ ask: () async -> ClientResult) async -> ClientResult {
      var result = await ask()
      _ = await eventually(within: .seconds(20)) {
        if result.status == 503 { result = await ask() }
        return result.status != 503
      }
      return result
    }

    @Test(arguments: ["owner lives", "owner dies too"])
    func `where runs must be kept, no reader has an event that is not in Redis when it dies`(how: String) async throws {
      let setup = setup("patience: \"1s\", lease: \"2s\"", runs: "whenStoreFails: \"refuse\"")
      try await Replicas.with(setup) { replicas in
        // The owner is the second, so that it may be killed.
        let first = replicas.open("/")
        let stream = try await first.streamID()
        let second = replicas.world.openNew("/fermata/streams/\(stream)")
        for reader in [first, second] { #expect(await reader.receives("data: 20\n")) }
        replicas.redis.kill()
        let died = replicas.world.clock
        var most = 0
        for reader in [first, second] {
          let result = await reader.result()
          #expect(result.outcome == "gateway_error" && result.streamEnd?["resumable"]?.bool == false)
          #expect(isPrefix(result.payloads) && result.streamEnd?["events"]?.integer == result.payloads.count)
          #expect(result.endedAt - died < .seconds(3) + MachineDelay.since(died))
          most = max(most, result.payloads.count)
        }
        #expect(await eventually { replicas.world.backend.openRequests == 0 })
        for gateway in replicas.both {
          let refused = await replicas.open("/", of: gateway).result()
          #expect(refused.status == 503 && refused.text.contains("run_store_lost"))
          let lost = await replicas.open("/fermata/streams/AAAAAAAAAAAAAAAAAAAAAA", of: gateway).result()
          #expect(lost.status == 503)
        }
        if how == "owner dies too" { replicas.other.signal(9) }
        try await replicas.redis.restart()
        let late = await onceBack { await replicas.world.fetchNew("/fermata/streams/\(stream)") }
        #expect(late.outcome == "gateway_error" && isPrefix(late.payloads) && late.payloads.count >= most)
        let ends = try replicas.ends(of: stream)
        #expect(ends == ["gateway_error"])
        print("refuse, \(how): readers had \(most) events, the log has \(late.payloads.count)")
        if how == "owner lives" {
          #expect(await eventually { !replicas.other.log("run_store_recovered").isEmpty })
          let fresh = try #require(await onceBack { await replicas.ask("/new") }.streamID)
          let there = await onceBack { await replicas.world.fetchNew("/fermata/streams/\(fresh)") }
          #expect(there.payloads == RunWorld.numbers(1...5))
        }
      }
    }

    @Test func `where a run may go on without Redis, it does, and Redis gets the rest when it is back`() async throws {
      try await Replicas.with(setup("patience: \"500ms\", lease: \"2s\"", count: 200)) { replicas in
        let first = replicas.world.openNew()
        let stream = try await first.streamID()
        let second = replicas.open("/fermata/streams/\(stream)")
        for reader in [first, second] { #expect(await reader.receives("data: 20\n")) }
        replicas.redis.kill()
        let there = await second.result()
        #expect(there.outcome == "gateway_error" && there.streamEnd?["resumable"]?.bool == false)
        #expect(isPrefix(there.payloads))
        #expect(await first.receives("data: 100\n"))
        let refused = await replicas.ask("/", fields: [.lastEventID("\(stream).5")])
        #expect(refused.status == 503)
        try await replicas.redis.restart()
        let result = await first.result()
        #expect(result.payloads == RunWorld.numbers(1...200) && result.outcome == "completed")
        #expect(await eventually { !replicas.world.gateway.log("run_store_recovered").isEmpty })
        let resumed = await onceBack { await replicas.ask("/", fields: [.lastEventID(there.lastID ?? "")]) }
        #expect(there.payloads + resumed.payloads == RunWorld.numbers(1...200) && resumed.outcome == "completed")
        for gateway in replicas.both {
          // Each loop finds out for itself that Redis is back; until then its runs go on without.
          let isKept = await eventually(within: .seconds(10)) {
            let fresh = await onceBack { await replicas.open("/new", of: gateway).result() }
            #expect(fresh.payloads == RunWorld.numbers(1...5))
            return fresh.streamEnd?["resumable"]?.bool == true
          }
          #expect(isKept)
        }
      }
    }

    @Test(arguments: [true, false])
    func `the other replica ends the run of one that was killed, for those who read it and who come later`(
      isRead: Bool
    ) async throws {
      try await Replicas.with(setup("lease: \"2s\"")) { replicas in
        let owner = replicas.open("/")
        let stream = try await owner.streamID()
        let reader = isRead ? replicas.world.openNew("/fermata/streams/\(stream)") : nil
        #expect(await owner.receives("data: 20\n"))
        if let reader { #expect(await reader.receives("data: 20\n")) }
        replicas.other.signal(9)
        let died = replicas.world.clock
        let seen = await owner.result().payloads
        if !isRead { try await Task.sleep(for: .seconds(3)) }
        let came = replicas.world.clock
        let result = await (reader ?? replicas.world.openNew("/fermata/streams/\(stream)")).result()
        #expect(result.outcome == "gateway_error" && isPrefix(result.payloads) && result.payloads.count >= seen.count)
        let taken = result.endedAt - (isRead ? died : came)
        print("owner killed, reader \(isRead ? "there" : "later"): told after \(taken.milliseconds) ms")
        // The lease, a third of it so that an owner that was only slow can come back, and a second to look each time: a
        // few seconds where the machine has time, and never the minutes for which a run is kept.
        #expect(taken < .seconds(15))
        let ends = try replicas.ends(of: stream)
        #expect(ends == ["gateway_error"])
        let again = await replicas.world.fetchNew("/fermata/streams/\(stream)")
        #expect(again.outcome == "gateway_error" && again.payloads == result.payloads)
        let done = await replicas.world.fetchNew(fields: [.lastEventID(result.lastID ?? "")])
        #expect(done.status == 204 && done.head.value("X-Stream-Outcome") == "gateway_error")
        #expect(replicas.world.backend.requests.count == 1)
      }
    }

    @Test func `a run that went on without Redis for longer than its lease is not ended by others`() async throws {
      let setup = setup("patience: \"500ms\", lease: \"1s\"", count: 700)
      try await Replicas.with(setup) { replicas in
        let first = replicas.world.openNew()
        let stream = try await first.streamID()
        #expect(await first.receives("data: 20\n"))
        replicas.redis.kill()
        try await Task.sleep(for: .seconds(4))
        try await replicas.redis.restart()
        let second = await onceBack { await replicas.ask("/fermata/streams/\(stream)") }
        for result in [await first.result(), second] {
          #expect(result.payloads == RunWorld.numbers(1...700) && result.outcome == "completed")
        }
        let ends = try replicas.ends(of: stream)
        #expect(ends == ["completed"])
      }
    }

    @Test func `a Redis that comes back empty gets all of a run that goes on`() async throws {
      var setup = setup("lease: \"2s\"", count: 150)
      setup.server.isForgetful = true
      try await Replicas.with(setup) { replicas in
        let first = replicas.world.openNew()
        let stream = try await first.streamID()
        let second = replicas.open("/fermata/streams/\(stream)")
        for reader in [first, second] { #expect(await reader.receives("data: 20\n")) }
        replicas.redis.kill()
        try await replicas.redis.restart()
        for reader in [first, second] {
          let result = await reader.result()
          #expect(result.payloads == RunWorld.numbers(1...150) && result.outcome == "completed")
        }
        let again = await onceBack { await replicas.ask("/", fields: [.lastEventID("\(stream).7")]) }
        #expect(again.payloads == RunWorld.numbers(8...150) && again.streamID == stream, "\(again.text.prefix(600))")
        #expect(replicas.world.backend.requests.count == 1)
      }
    }

    @Test func `an owner that stood still for longer than its lease learns how its run has ended`() async throws {
      try await Replicas.with(setup("lease: \"1s\"")) { replicas in
        let owner = replicas.open("/")
        let stream = try await owner.streamID()
        let reader = replicas.world.openNew("/fermata/streams/\(stream)")
        for reader in [owner, reader] { #expect(await reader.receives("data: 20\n")) }
        replicas.other.signal(SIGSTOP)
        let told = await reader.result()
        replicas.other.signal(SIGCONT)
        let result = await owner.result()
        #expect(told.outcome == "gateway_error" && isPrefix(told.payloads))
        // What the owner had said before, and nothing that the other's readers have not seen.
        #expect(result.outcome == "gateway_error" && result.payloads == told.payloads)
        #expect(await eventually(within: .seconds(5)) { replicas.world.backend.openRequests == 0 })
        let ends = try replicas.ends(of: stream)
        #expect(ends == ["gateway_error"])
        #expect(replicas.world.backend.requests.count == 1)
      }
    }
  }
}
