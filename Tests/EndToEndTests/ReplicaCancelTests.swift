import Harness
import JSON
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// Runs that are stopped from a replica that does not have them.
  @Suite(.enabled(if: RedisProcess.isAvailable)) struct ReplicaCancels {
    /// How long it took until the backend's connection ended, and until the last reader was told.
    private struct Times {
      var backend: [Int] = []
      var readers: [Int] = []
      /// How late the machine was meanwhile.
      var late: [Int] = []

      static func summary(_ times: [Int]) -> String {
        let sorted = times.sorted()
        return "median \(sorted[sorted.count / 2]) ms, worst \(sorted.last ?? 0) ms of \(sorted.count)"
      }

      var text: String { "backend: \(Self.summary(backend)); readers: \(Self.summary(readers))" }
      /// Whether most took less than `limit` ms and none twice that, without what the machine was late by: a single one
      /// waits for several programs, which a busy machine makes late each for itself.
      func hold(_ limit: Int) -> Bool {
        [backend, readers].allSatisfy { times in
          let sorted = zip(times, late).map(-).sorted()
          return sorted[sorted.count / 2] < limit && sorted[sorted.count - 1] < 2 * limit
        }
      }
    }

    /// Stops a run of one replica on the other, while readers are on both.
    private func stop(
      _ round: Int, _ replicas: Replicas, _ times: inout Times, _ how: (String) async throws -> Void
    ) async throws {
      let (owner, other) = (replicas.both[round % 2], replicas.both[1 - round % 2])
      let first = replicas.open("/run/\(round)", of: owner)
      let stream = try await first.streamID()
      let readers = [first, replicas.open("/fermata/streams/\(stream)", of: other)]
      for reader in readers { #expect(await reader.receives("data: 3\n")) }
      // A connection that was cut in the round before may still be on its way back.
      _ = try await eventually(within: .seconds(5)) {
        try !replicas.redis.cli("client", "list", "type", "pubsub").isEmpty
      }
      let asked = replicas.world.clock
      try await how(stream)
      var results: [ClientResult] = []
      for reader in readers { results.append(await reader.result()) }
      for result in results { #expect(result.outcome == "cancelled" && result.end == .clean) }
      #expect(results[0].payloads == results[1].payloads)
      let isClosed = await eventually(within: .seconds(5)) {
        replicas.world.backend.requests.last?.peerClosedAt != nil
      }
      let request = try #require(replicas.world.backend.requests.last)
      #expect(isClosed && request.path == "/run/\(round)")
      times.backend.append(Int(((request.peerClosedAt ?? asked) - asked).milliseconds))
      times.late.append(Int(MachineDelay.since(asked).milliseconds))
      times.readers.append(Int((results.map(\.endedAt).reduce(asked, max) - asked).milliseconds))
      let ends = try replicas.ends(of: stream)
      #expect(ends == ["cancelled"])
    }

    private func delete(_ stream: String, of gateway: GatewayProcess, _ replicas: Replicas) async -> Int {
      await replicas.open("/api/agents/run/\(stream)", of: gateway, method: "DELETE").result().status
    }

    @Test func `within 250 ms the backend is left and all readers are told, on both replicas`() async throws {
      try await Replicas.with(script: RunWorld.ticking(600, every: .milliseconds(20))) { replicas in
        var times = Times()
        var stream = ""
        for round in 0..<20 {
          try await stop(round, replicas, &times) { id in
            stream = id
            #expect(await delete(id, of: replicas.both[1 - round % 2], replicas) == 204)
          }
          for gateway in replicas.both { #expect(await delete(stream, of: gateway, replicas) == 204) }
        }
        print("DELETE on the other replica: \(times.text)")
        #expect(times.hold(250), "\(times)")
        for gateway in replicas.both { #expect(await delete("AAAAAAAAAAAAAAAAAAAAAA", of: gateway, replicas) == 404) }
        let time = Int(try replicas.redis.cli("ttl", "ai:run:\(stream):cancel")) ?? 0
        #expect((200...300).contains(time))
      }
    }

    @Test(arguments: [["pubsub"], ["pubsub", "normal"]])
    func `the same when the channel that tells of it was just cut, and half a second when everything was`(
      types: [String]
    ) async throws {
      try await Replicas.with(script: RunWorld.ticking(600, every: .milliseconds(20))) { replicas in
        var times = Times()
        for round in 0..<10 {
          try await stop(round, replicas, &times) { stream in
            for type in types {
              let killed = Int(try replicas.redis.cli("client", "kill", "type", type)) ?? 0
              #expect(killed > 0)
            }
            #expect(await delete(stream, of: replicas.both[1 - round % 2], replicas) == 204)
          }
        }
        print("DELETE after CLIENT KILL of \(types), its time included: \(times.text)")
        #expect(times.hold(types.count == 1 ? 250 : 500), "\(times)")
      }
    }

    @Test func `a word that is lost on its way is found out within a second`() async throws {
      try await Replicas.with(script: RunWorld.ticking(600, every: .milliseconds(20))) { replicas in
        var times = Times()
        for round in 0..<6 {
          // The key is set, and the channel says nothing.
          try await stop(round, replicas, &times) { stream in
            try replicas.redis.cli("set", "ai:run:\(stream):cancel", "1", "ex", "300")
          }
        }
        print("cancel key without a word on the channel: \(times.text)")
        #expect(times.hold(1250), "\(times)")
      }
    }

    @Test func `a stop that races with the run's own end gives it one end, the same for all`() async throws {
      try await Replicas.with(script: RunWorld.ticking(5, every: .milliseconds(15))) { replicas in
        var outcomes: [String: Int] = [:]
        for round in 0..<60 {
          let (owner, other) = (replicas.both[round % 2], replicas.both[1 - round % 2])
          let first = replicas.open("/run/\(round)", of: owner)
          let stream = try await first.streamID()
          let second = replicas.open("/fermata/streams/\(stream)", of: other)
          #expect(await first.receives("data: 4\n"))
          try await Task.sleep(for: .milliseconds(Int64(15 + round % 20)))
          async let stopped = delete(stream, of: other, replicas)
          async let again = delete(stream, of: owner, replicas)
          let statuses = await [stopped, again]
          #expect(statuses == [204, 204])
          let results = [await first.result(), await second.result()]
          let outcome = try #require(results[0].outcome)
          #expect(results[1].outcome == outcome && results[0].payloads == results[1].payloads)
          let late = await replicas.open("/fermata/streams/\(stream)", of: other).result()
          #expect(late.outcome == outcome && late.payloads == results[0].payloads)
          let ends = try replicas.ends(of: stream)
          #expect(ends == [outcome])
          outcomes[outcome, default: 0] += 1
        }
        print("DELETE against the run's own end: \(outcomes)")
        #expect(Set(outcomes.keys) == ["completed", "cancelled"])
      }
    }
  }
}
