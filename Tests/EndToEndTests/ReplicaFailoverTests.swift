import Harness
import JSON
import Processes
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// Another server, or another account, behind the same address.
  @Suite(.enabled(if: RedisProcess.isAvailable)) struct ReplicaFailovers {
    private static let length = 200

    private func setup(_ relay: SwitchingRelay) -> Replicas.Setup {
      var setup = Replicas.Setup { _ in RunWorld.ticking(Self.length, every: .milliseconds(20)) }
      setup.url = "redis://127.0.0.1:\(relay.port)"
      return setup
    }

    /// Waits until `server` has all that its master has.
    private func follow(_ server: RedisProcess, _ master: RedisProcess) async throws {
      try server.cli("replicaof", "127.0.0.1", "\(master.port)")
      let isLinked = await eventually(within: .seconds(20)) {
        (try? server.cli("info", "replication").contains("master_link_status:up")) == true
      }
      #expect(isLinked)
    }

    @Test(arguments: ["FAILOVER", "REPLICAOF"])
    func `a failover behind a stable address loses no event and starts no run twice`(how: String) async throws {
      let (first, second) = (try await RedisProcess(), try await RedisProcess())
      let relay = try SwitchingRelay(to: first.port)
      defer {
        for redis in [first, second] { redis.kill() }
        relay.stop()
      }
      try await follow(second, first)
      try await Replicas.with(setup(relay), first) { replicas in
        let runs = (1...10).map { replicas.post("k-\($0)", of: replicas.world.gateway) }
        for run in runs { #expect(await run.receives("data: 5\n")) }
        let begin = replicas.world.clock
        // The old server stays, as a replica that answers.
        if how == "FAILOVER" {
          try first.cli("failover")
          let isOver = await eventually(within: .seconds(10)) {
            (try? second.cli("info", "replication").contains("role:master")) == true
          }
          #expect(isOver)
        } else {
          try second.cli("replicaof", "no", "one")
          try first.cli("replicaof", "127.0.0.1", "\(second.port)")
        }
        relay.lead(to: second.port)
        let again = (1...10).map { replicas.post("k-\($0)", of: replicas.other) }
        for (run, repeated) in zip(runs, again) {
          let (result, other) = (await run.result(), await repeated.result())
          for result in [result, other] {
            #expect(result.payloads == RunWorld.numbers(1...Self.length) && result.outcome == "completed")
            #expect(result.streamEnd?["resumable"]?.bool == true)
          }
          #expect(other.streamID == result.streamID)
        }
        #expect(replicas.world.backend.requests.count == 10)
        let fresh = await replicas.ask("/")
        #expect(fresh.outcome == "completed" && fresh.streamEnd?["resumable"]?.bool == true)
        #expect(try second.cli("exists", "ai:run:\(fresh.streamID ?? ""):events") == "1")
        for gateway in replicas.both { #expect(gateway.log("run_store_lost").isEmpty) }
        print("\(how): 10 runs and 10 repeats whole after \((replicas.world.clock - begin).milliseconds) ms")
      }
    }

    @Test func `a new password reaches the connections of runs that are going on`() async throws {
      var setup = Replicas.Setup { _ in RunWorld.ticking(Self.length, every: .milliseconds(20)) }
      setup.server.password = "old-secret"
      try await Replicas.with(setup) { replicas in
        let live = replicas.world.openNew()
        let stream = try await live.streamID()
        let reader = replicas.open("/fermata/streams/\(stream)")
        for stream in [live, reader] { #expect(await stream.receives("data: 10\n")) }
        try replicas.redis.cli("acl", "setuser", "gate", "resetpass", ">new-secret")
        replicas.world.configure(setup.configuration("redis://gate:new-secret@127.0.0.1:\(replicas.redis.port)"))
        for gateway in replicas.both { gateway.signal(1) }
        for gateway in replicas.both {
          #expect(await eventually { gateway.log("configuration_reloaded").count == 1 })
        }
        for kind in ["normal", "pubsub"] { try replicas.redis.cli("client", "kill", "type", kind, "skipme", "yes") }
        for stream in [live, reader] {
          let result = await stream.result()
          #expect(result.payloads == RunWorld.numbers(1...Self.length) && result.outcome == "completed")
        }
        #expect(try replicas.ends(of: stream) == ["completed"])
        for gateway in replicas.both {
          #expect(gateway.log("run_store_lost").isEmpty)
          for word in ["old-secret", "new-secret"] { #expect(!gateway.logText.contains(word)) }
          #expect(await gateway.metric("fermata_redis_errors_total", ["error": "WRONGPASS"]) == 0)
        }
      }
    }

    @Test(arguments: ["cluster", "sentinel"])
    func `a server that runs can never be kept on is refused at the start`(kind: String) async throws {
      let directory = try ScratchDirectory()
      let port = try FreePort.pick()
      let kept = "port \(port)\nbind 127.0.0.1\ndir \(directory.path)\n"
      // By itself the cluster's port is 10,000 beyond, where there may be none.
      let cluster = "cluster-enabled yes\ncluster-port \(try FreePort.pick())\n"
      directory.write("redis.conf", kept + (kind == "cluster" ? cluster : ""))
      let words = ["redis-server", directory["redis.conf"]] + (kind == "cluster" ? [] : ["--sentinel"])
      let redis = try ChildProcess(words)
      defer {
        redis.signal(9)
        _ = redis.wait(timeout: .seconds(5))
      }
      while let line = redis.readLine(timeout: .seconds(60)) {
        if line.contains("Ready to accept") || line.contains("Sentinel ID") { break }
      }
      directory.write(
        "fermata.json5",
        """
        { upstreams: { main: { url: "http://127.0.0.1:9" } }, runs: { redis: { url: "redis://127.0.0.1:\(port)" } },
          routes: [{ name: "all", path: "/*", upstreams: ["main"], runs: { store: "redis" } }] }
        """)
      let run = try Program.run([
        "serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--config", directory["fermata.json5"],
      ])
      #expect(run.exit == .code(1) && run.errors.contains("runs.redis.url"), "\(run.errors)")
      #expect(run.errors.contains(kind == "cluster" ? "Redis Cluster" : "Redis Sentinel"), "\(run.errors)")
    }
  }
}
