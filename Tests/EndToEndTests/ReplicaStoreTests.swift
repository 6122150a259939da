import Harness
import JSON
import RunningGateway
import TLS
import Testing
import Time

extension EndToEnd {
  /// The way to the store: TLS, accounts, a new configuration.
  @Suite(.enabled(if: RedisProcess.isAvailable)) struct ReplicaStores {
    @Test func `runs are kept over TLS, under an account, in a database and behind a prefix`() async throws {
      let certificates = try TestCertificates()
      defer { certificates.remove() }
      var setup = Replicas.Setup { _ in RunWorld.ticking(30, every: .milliseconds(20)) }
      setup.server.identity = try certificates.identity()
      setup.server.password = "sesame"
      setup.path = "/3"
      setup.redis = "lease: \"2s\", prefix: \"shop:\", tls: { roots: \"\(certificates.roots)\" }"
      try await Replicas.with(setup) { replicas in
        let live = replicas.world.openNew()
        let stream = try await live.streamID()
        #expect(await live.receives("data: 5\n"))
        let resumed = await replicas.ask("/", fields: [.lastEventID("\(stream).3")])
        #expect(resumed.payloads == RunWorld.numbers(4...30) && resumed.outcome == "completed")
        #expect(await live.result().payloads == RunWorld.numbers(1...30))
        let other = replicas.open("/", of: replicas.world.gateway)
        let stopped = try await other.streamID()
        #expect(await replicas.ask("/api/agents/run/\(stopped)", method: "DELETE").status == 204)
        #expect(await other.result().outcome == "cancelled")
        let keys = try replicas.redis.cli("-n", "3", "keys", "*").split(separator: "\n")
        #expect(keys.count >= 5 && keys.allSatisfy { $0.hasPrefix("shop:") }, "\(keys)")
        let others = try replicas.redis.cli("-n", "0", "keys", "*")
        #expect(others == "ai:epoch", "what the test has made it old with")
        for gateway in replicas.both { #expect(!gateway.logText.contains("sesame")) }
      }
    }

    @Test(arguments: ["roots", "password"], ["degrade", "refuse"])
    func `a store that can't be trusted, or does not trust us, is a store that is away`(
      wrong: String, policy: String
    ) async throws {
      let certificates = try TestCertificates()
      let strangers = try TestCertificates()
      defer {
        certificates.remove()
        strangers.remove()
      }
      var setup = Replicas.Setup { _ in RunWorld.ticking(5, every: .milliseconds(5)) }
      setup.server.identity = try certificates.identity()
      setup.server.password = "sesame"
      setup.saidPassword = wrong == "password" ? "guessed" : nil
      setup.runs = "whenStoreFails: \"\(policy)\""
      let roots = wrong == "roots" ? strangers.roots : certificates.roots
      setup.redis = "lease: \"2s\", tls: { roots: \"\(roots)\" }"
      try await Replicas.with(setup) { replicas in
        for gateway in replicas.both {
          let result = await replicas.open("/", of: gateway).result()
          if policy == "degrade" {
            #expect(result.payloads == RunWorld.numbers(1...5) && result.outcome == "completed")
            #expect(result.streamEnd?["resumable"]?.bool == false)
          } else {
            #expect(result.status == 503 && result.text.contains("run_store_lost"))
            #expect(result.head.value("Retry-After") == "1")
          }
          _ = await eventually(within: .seconds(5)) { !gateway.log("run_store_lost").isEmpty }
          let line = try #require(gateway.log("run_store_lost").first)
          #expect(line["level"]?.string == "warning")
          let reason = line["reason"]?.string ?? ""
          #expect(reason.contains(wrong == "roots" ? "certificate" : "WRONGPASS"), "\(reason)")
          for word in ["sesame", "guessed"] { #expect(!gateway.logText.contains(word)) }
        }
        #expect(replicas.world.backend.requests.count == (policy == "degrade" ? 2 : 0))
      }
    }

    /// The gateways' connections to a Redis.
    private func connections(_ redis: RedisProcess) -> Int {
      let list = (try? redis.cli("client", "list")) ?? ""
      return list.split(separator: "\n").count { $0.contains("name=fermata") }
    }

    private func reload(_ replicas: Replicas, _ text: String, expecting event: String) async {
      let before = replicas.both.map { $0.log(event).count }
      replicas.world.configure(text)
      for gateway in replicas.both { gateway.signal(1) }
      for (gateway, count) in zip(replicas.both, before) {
        #expect(await eventually(within: .seconds(10)) { gateway.log(event).count > count })
      }
    }

    @Test func `a new configuration counts for new runs, and those that run stay where they began`() async throws {
      let setup = Replicas.Setup { request in
        RunWorld.ticking(request.path == "/long" ? 150 : 5, every: .milliseconds(20))
      }
      let second = try await RedisProcess()
      defer { second.kill() }
      try await Replicas.with(setup) { replicas in
        let live = replicas.world.openNew("/long")
        let stream = try await live.streamID()
        let reader = replicas.open("/fermata/streams/\(stream)")
        for stream in [live, reader] { #expect(await stream.receives("data: 5\n")) }
        #expect(connections(replicas.redis) >= 2)

        await reload(replicas, setup.configuration(second.url), expecting: "configuration_reloaded")
        let fresh = await replicas.world.fetchNew()
        let id = try #require(fresh.streamID)
        #expect(fresh.payloads == RunWorld.numbers(1...5) && fresh.streamEnd?["resumable"]?.bool == true)
        #expect(await replicas.ask("/fermata/streams/\(id)").payloads == RunWorld.numbers(1...5))
        let places = try [second, replicas.redis].map { try $0.cli("exists", "ai:run:\(id):events") }
        #expect(places == ["1", "0"])
        for stream in [live, reader] {
          let result = await stream.result()
          #expect(result.payloads == RunWorld.numbers(1...150) && result.outcome == "completed")
        }
        let ends = try replicas.ends(of: stream)
        #expect(ends == ["completed"])
        // A queue is read where the configuration says now.
        let job = replicas.world.openNew("/jobs/9")
        #expect(await job.receives(":ok\n"))
        try await Task.sleep(for: .milliseconds(300))
        try second.cli(
          "xadd", "bull:answers:events", "*", "event", "completed", "jobId", "9", "returnvalue",
          "{\"a\":1}")
        #expect(await job.result().payloads == ["{\"a\":1}"])
        let isLeft = await eventually(within: .seconds(20)) { connections(replicas.redis) == 0 }
        #expect(isLeft, "\(connections(replicas.redis)) connections are left")

        // What is wrong changes nothing.
        await reload(replicas, setup.configuration("redis:/nowhere"), expecting: "configuration_reload_failed")
        let still = try #require(await replicas.world.fetchNew().streamID)
        #expect(try second.cli("exists", "ai:run:\(still):events") == "1")

        var prefixed = setup
        prefixed.redis = "lease: \"2s\", prefix: \"b:\", hashTags: true"
        await reload(replicas, prefixed.configuration(second.url), expecting: "configuration_reloaded")
        let last = try #require(await replicas.world.fetchNew().streamID)
        #expect(await replicas.ask("/fermata/streams/\(last)").payloads == RunWorld.numbers(1...5))
        let names = try ["ai:run:\(last)", "b:run:{\(last)}"].map { try second.cli("exists", "\($0):events") }
        #expect(names == ["0", "1"])
        let key: [Script.Field] = [.signedIn, .idempotencyKey("k")]
        let asked = replicas.world.backend.requests.count
        let posts = [
          await replicas.open("/", of: replicas.world.gateway, method: "POST", fields: key, body: "{}").result(),
          await replicas.ask("/", method: "POST", fields: key, body: "{}"),
        ]
        for post in posts {
          #expect(post.payloads == RunWorld.numbers(1...5) && post.streamID == posts[0].streamID)
        }
        #expect(replicas.world.backend.requests.count == asked + 1, "the key counts at both gateways")
        let claims = try ["ai:idem:*", "b:idem:*"].map { try second.cli("keys", $0).isEmpty }
        #expect(claims == [true, false])
      }
    }
  }
}
