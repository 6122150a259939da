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
    private static let slots = 16_384

    /// Three masters.
    private func cluster() async throws -> [RedisProcess] {
      var servers: [RedisProcess] = []
      var buses: [Int] = []
      for _ in 0..<3 {
        var setup = RedisProcess.Setup()
        setup.isNew = true
        buses.append(try FreePort.pick())
        setup.options = [
          "--cluster-enabled", "yes", "--cluster-port", "\(buses[buses.count - 1])", "--cluster-node-timeout", "10000",
        ]
        servers.append(try await RedisProcess(setup))
      }
      for (index, server) in servers.enumerated() {
        try server.cli("CLUSTER", "SET-CONFIG-EPOCH", "\(index + 1)")
        let (first, last) = (index * Self.slots / 3, (index + 1) * Self.slots / 3 - 1)
        try server.cli("CLUSTER", "ADDSLOTSRANGE", "\(first)", "\(last)")
        if index > 0 { try servers[0].cli("CLUSTER", "MEET", "127.0.0.1", "\(server.port)", "\(buses[index])") }
      }
      let isWhole = try await eventually(within: .seconds(20)) {
        try servers.allSatisfy {
          let info = try $0.cli("CLUSTER", "INFO")
          return info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
        }
      }
      #expect(isWhole)
      return servers
    }

    /// Moves a slot that has no key, or one key after the other.
    private func move(_ slot: Int, from source: RedisProcess, to target: RedisProcess) throws {
      let (from, to) = (try source.cli("CLUSTER", "MYID"), try target.cli("CLUSTER", "MYID"))
      try target.cli("CLUSTER", "SETSLOT", "\(slot)", "IMPORTING", from)
      try source.cli("CLUSTER", "SETSLOT", "\(slot)", "MIGRATING", to)
      while let key = try source.cli("CLUSTER", "GETKEYSINSLOT", "\(slot)", "1").split(separator: "\n").first {
        try source.cli("MIGRATE", "127.0.0.1", "\(target.port)", String(key), "0", "5000")
      }
      for server in [target, source] { try server.cli("CLUSTER", "SETSLOT", "\(slot)", "NODE", to) }
    }

    @Test func `a key starts one run, read whole on both replicas while slots move between the servers`() async throws {
      let servers = try await cluster()
      defer { for server in servers { server.kill() } }
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
            for slot in try occupied(source) { try move(slot, from: source, to: target) }
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

    /// Some slots of a server that have keys of runs.
    private func occupied(_ server: RedisProcess) throws -> [Int] {
      let keys = try server.cli("KEYS", "ai:run:*:events").split(separator: "\n")
      return try keys.prefix(8).map { Int(try server.cli("CLUSTER", "KEYSLOT", String($0))) ?? 0 }
    }

    @Test func `who only asks for a run whose gateway is gone makes it end`() async throws {
      let servers = try await cluster()
      defer { for server in servers { server.kill() } }
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
      let servers = try await cluster()
      defer { for server in servers { server.kill() } }
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
