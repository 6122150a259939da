import Glibc
import Harness
import JSON
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// What an operator sees of each server of a Redis Cluster.
  @Suite(.enabled(if: RedisProcess.isAvailable)) struct ReplicaServers {
    private func setup(_ server: RedisProcess) -> Replicas.Setup {
      var setup = Replicas.Setup { _ in RunWorld.ticking(10, every: .milliseconds(5)) }
      setup.url = "redis+cluster://127.0.0.1:\(server.port)"
      return setup
    }

    private func name(_ server: RedisProcess) -> String { "127.0.0.1:\(server.port)" }

    /// How many of a gateway's loops have, or lack, a connection for commands with a server.
    private func loops(_ gateway: GatewayProcess, _ state: String, _ server: RedisProcess) async -> Double {
      let labels = ["server": name(server), "connection": "commands", "state": state]
      return await gateway.metric("fermata_redis_connections", labels)
    }

    private func standing(_ gateway: GatewayProcess, of server: RedisProcess) async -> JSONValue? {
      let servers = (try? await gateway.json("/readyz"))?["redis"]?["servers"]?.array ?? []
      return servers.first { $0["server"]?.string == name(server) }
    }

    @Test func `a server that is away is named in metrics, readiness and log, and so is its return`() async throws {
      let cluster = try await ClusterGroup()
      defer { cluster.kill() }
      let (lost, others) = (cluster.servers[2], cluster.servers[..<2])
      try await Replicas.with(setup(cluster.servers[0]), cluster.servers[0]) { replicas in
        let gateway = replicas.world.gateway
        for server in cluster.servers { #expect(await eventually { await loops(gateway, "up", server) == 2 }) }
        lost.kill()
        #expect(await eventually { await loops(gateway, "down", lost) == 2 })
        #expect(await loops(gateway, "up", lost) == 0)
        for server in others { #expect(await loops(gateway, "up", server) == 2, "\(name(server))") }
        let events = ["server": name(lost), "connection": "commands", "event": "lost"]
        #expect(await gateway.metric("fermata_redis_connection_events_total", events) == 2)
        #expect(await standing(gateway, of: lost)?["status"]?.string == "lost")
        #expect(await standing(gateway, of: lost)?["reason"]?.string?.isEmpty == false)
        for server in others { #expect(await standing(gateway, of: server)?["status"]?.string == "connected") }
        func lines(_ event: String) -> [JSONValue] {
          gateway.log(event).filter { $0["connection"]?.string == "commands" }
        }
        #expect(await eventually { lines("redis_connection_lost").count == 2 })
        for line in lines("redis_connection_lost") {
          #expect(line["server"]?.string == name(lost) && line["reason"]?.string?.isEmpty == false, "\(line)")
        }
        try await lost.restart()
        #expect(await eventually(within: .seconds(20)) { await loops(gateway, "up", lost) == 2 })
        #expect(await loops(gateway, "down", lost) == 0)
        #expect(await eventually { lines("redis_connection_back").count == 2 })
        #expect(await standing(gateway, of: lost)?["status"]?.string == "connected")
      }
    }

    @Test func `commands are timed and errors counted by the server that answers`() async throws {
      let cluster = try await ClusterGroup()
      defer { cluster.kill() }
      try await Replicas.with(setup(cluster.servers[1]), cluster.servers[1]) { replicas in
        let gateway = replicas.world.gateway
        // So many that each server has some.
        for number in 1...30 {
          #expect(await replicas.post("k-\(number)", of: gateway).result().outcome == "completed")
        }
        let metrics = try await gateway.metrics()
        for server in cluster.servers {
          let labels = ["server": name(server), "class": "script"]
          let (count, sum) = (
            metrics.value("fermata_redis_command_seconds_count", labels),
            metrics.value("fermata_redis_command_seconds_sum", labels)
          )
          #expect(count > 0 && sum > 0 && sum / count < 1, "\(name(server)): \(sum) s of \(count)")
        }
        // A server that is full refuses what is written, and no other does.
        let full = cluster.servers[0]
        try full.cli("CONFIG", "SET", "maxmemory", "1")
        for number in 31...60 { _ = await replicas.post("k-\(number)", of: gateway).result() }
        let after = try await gateway.metrics()
        func errors(_ server: RedisProcess) -> Double {
          after.value("fermata_redis_server_errors_total", ["server": name(server), "error": "OOM"])
        }
        #expect(errors(full) > 0)
        for server in cluster.servers.dropFirst() { #expect(errors(server) == 0, "\(name(server))") }
        #expect(after.value("fermata_redis_errors_total", ["error": "OOM"]) == errors(full))
      }
    }
  }
}
