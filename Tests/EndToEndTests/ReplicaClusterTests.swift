import Glibc
import Harness
import JSON
import Processes
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// Runs that all replicas share by a Redis Cluster.
  @Suite(.enabled(if: RedisProcess.isAvailable)) struct ReplicaClusters {
    @Test func `a key starts one run, read whole on both replicas while slots move between the servers`() async throws {
      let cluster = try await ClusterGroup()
      defer { cluster.kill() }
      let servers = cluster.servers
      let length = 40
      var setup = Replicas.Setup { _ in RunWorld.ticking(length, every: .milliseconds(40)) }
      setup.url = "redis+cluster://127.0.0.1:\(servers[1].port)"
      try await Replicas.with(setup, servers[0]) { replicas in
        let count = 20
        let pairs = (0..<count).map { index in replicas.both.map { replicas.post("k-\(index)", of: $0) } }
        // Whatever lies there goes along, again and again.
        let mover = Task {
          var turns = 0
          while !Task.isCancelled {
            let (source, target) = (servers[turns % 3], servers[(turns + 1) % 3])
            for slot in try cluster.occupied(source) { try cluster.move(slot, from: source, to: target) }
            turns += 1
          }
          return turns
        }
        for pair in pairs {
          let results = [await pair[0].result(), await pair[1].result()]
          for result in results {
            #expect(result.payloads == RunWorld.numbers(1...length) && result.outcome == "completed", "\(result.text)")
            #expect(result.streamEnd?["resumable"]?.bool == true)
          }
          #expect(results[0].streamID == results[1].streamID)
        }
        mover.cancel()
        print("slots were moved in \(try await mover.value) turns")
        #expect(replicas.world.backend.requests.count == count)
        for gateway in replicas.both {
          #expect(gateway.log("run_store_lost").isEmpty)
          #expect(await gateway.metric("fermata_redis_errors_total", ["error": "CROSSSLOT"]) == 0)
        }
      }
    }

    @Test func `a server that leaves takes nothing along, though it is the one that is named`() async throws {
      let cluster = try await ClusterGroup()
      defer { cluster.kill() }
      let (stayer, leaver) = (cluster.servers[0], cluster.servers[2])
      let length = 40
      var setup = Replicas.Setup { _ in RunWorld.ticking(length, every: .milliseconds(40)) }
      setup.url = "redis+cluster://127.0.0.1:\(leaver.port)"
      try await Replicas.with(setup, stayer) { replicas in
        /// Runs that are read on both gateways from their first event to their last.
        @Sendable func round(_ number: Int) async {
          let pairs = (0..<10).map { index in replicas.both.map { replicas.post("k-\(number)-\(index)", of: $0) } }
          for pair in pairs {
            let results = [await pair[0].result(), await pair[1].result()]
            for result in results {
              #expect(
                result.payloads == RunWorld.numbers(1...length) && result.outcome == "completed", "\(result.text)")
              #expect(result.streamEnd?["resumable"]?.bool == true)
            }
            #expect(results[0].streamID == results[1].streamID)
          }
        }
        let readers = Task {
          var rounds = 0
          while !Task.isCancelled {
            rounds += 1
            await round(rounds)
          }
          return rounds
        }
        try cluster.remove(leaver)
        readers.cancel()
        let rounds = await readers.value + 1
        await round(rounds)
        print("\(rounds) rounds of runs while a server left")
        #expect(replicas.world.backend.requests.count == 10 * rounds)
        for gateway in replicas.both {
          #expect(gateway.log("run_store_lost").isEmpty, "\(replicas.logs)")
          let isReady = await eventually(within: .seconds(20)) { await gateway.ask("/readyz").status == 200 }
          #expect(isReady)
        }
      }
    }

    @Test func `who only asks for a run whose gateway is gone makes it end`() async throws {
      let cluster = try await ClusterGroup()
      defer { cluster.kill() }
      let servers = cluster.servers
      var setup = Replicas.Setup { _ in RunWorld.ticking(2000, every: .milliseconds(20)) }
      setup.url = "redis+cluster://127.0.0.1:\(servers[0].port)"
      try await Replicas.with(setup, servers[0]) { replicas in
        let readers = (1...6).map { replicas.post("k-\($0)", of: replicas.other) }
        for reader in readers { #expect(await reader.receives("data: 3\n")) }
        var streams: [String] = []
        for reader in readers { streams.append(try await reader.streamID()) }
        replicas.other.signal(SIGKILL)
        func state(_ stream: String) async throws -> JSONValue {
          let path = "/api/agents/run/\(stream)"
          return try JSONValue(
            parsing: await replicas.world.send(ClientRequest("GET", path, fields: [.authorization("Bearer me")])).body)
        }
        // Wherever its keys lie.
        for stream in streams {
          let hasEnded = try await eventually(within: .seconds(20)) {
            let known = try await state(stream)
            return known["state"]?.string == "ended" && known["outcome"]?.string == "gateway_error"
          }
          #expect(hasEnded)
        }
      }
    }

    @Test func `a worker's run is read, stopped and asked for on any replica`() async throws {
      let cluster = try await ClusterGroup()
      defer { cluster.kill() }
      let servers = cluster.servers
      var setup = Replicas.Setup { _ in RunWorld.ticking(3, every: .milliseconds(5)) }
      setup.url = "redis+cluster://127.0.0.1:\(servers[2].port)"
      try await Replicas.with(setup, servers[0]) { replicas in
        let readers = replicas.both.map { replicas.open("/api/agents/stream/job-1", of: $0, fields: [.signedIn]) }
        let key = "ai:run:{job-1}:events"
        let server = try #require(
          try servers.first { try !$0.cli("EXISTS", key).contains("MOVED") })
        for number in 1...5 {
          try server.cli("XADD", key, "*", "data", "\(number)")
          try? await Task.sleep(for: .milliseconds(50))
        }
        try server.cli("XADD", key, "*", "end", "completed", "reason", "all done")
        for reader in readers {
          let result = await reader.result()
          #expect(result.status == 200 && result.outcome == "completed", "\(result.text)")
          #expect(result.payloads == ["1", "2", "3", "4", "5"], "\(result.payloads)")
        }
      }
    }
  }
}
