import Glibc
import Harness
import Processes
import RunningGateway
import Streams
import Testing
import Time

extension EndToEnd {
  /// Waits for Redis, which come to an end too, and what changes meanwhile.
  @Suite(.enabled(if: RedisProcess.isAvailable)) struct StoreWaits {
    private static let storeWaits: [PeerWait] = [.storeConnection, .storeAnswer, .storeTakesEvents, .otherGateway]

    private static func post(_ path: String, _ key: String) -> ClientRequest {
      ClientRequest(
        "POST", path, fields: [.acceptsEvents, .prefersStreamEnd, .signedIn, .idempotencyKey(key)],
        body: Array("{}".utf8))
    }

    @Test(arguments: storeWaits)
    func `every wait for Redis is ended by its limit, which is named`(_ wait: PeerWait) async throws {
      let limit = try #require(wait.limits(isLone: true, isLast: true, mode: .graceful).first)
      let silent = try RawListener()
      var setup = Replicas.Setup(script: { _ in RunWorld.ticking(1000, every: .milliseconds(20)) })
      setup.runs = "whenStoreFails: \"refuse\""
      setup.redis = "lease: \"2s\", patience: \"1s\", connectTimeout: \"500ms\""
      // Takes connections and says nothing.
      if wait == .storeConnection { setup.url = "redis://\(silent.address)" }
      try await Replicas.with(setup) { replicas in
        let gateway = replicas.world.gateway
        switch wait {
        case .storeConnection:
          #expect(await replicas.world.send(Self.post("/", "k")).status == 503)
        case .storeAnswer:
          try replicas.redis.cli("client", "pause", "6000", "ALL")
          #expect(await replicas.world.send(Self.post("/", "k")).status == 503)
        case .storeTakesEvents:
          let live = replicas.world.openNew()
          #expect(await live.receives("data: 3\n"))
          replicas.redis.kill()
          let end = await live.result()
          #expect(end.outcome == "gateway_error" && end.text.contains(limit.rawValue), "\(end.text.suffix(300))")
          return
        default:
          // The owner is the second, so that it may be killed.
          let owner = replicas.open("/")
          #expect(await owner.receives("data: 3\n"))
          let reader = replicas.world.openNew("/fermata/streams/\(try await replicas.stream(of: replicas.other))")
          #expect(await reader.receives("data: 5\n"))
          replicas.other.signal(SIGKILL)
          let end = await reader.result()
          #expect(end.outcome == "gateway_error" && end.text.contains(limit.rawValue), "\(end.text.suffix(300))")
          return
        }
        #expect(await eventually { gateway.logText.contains(limit.rawValue) }, "\(gateway.logText.suffix(600))")
      }
    }

    /// An event that names the upstream.
    private static let script: @Sendable (RecordedRequest) -> Script = { request in
      let upstream = String(request.path.split(separator: "/").first ?? "?")
      return Script([.head(), .event(nil, upstream), .event("complete", "end"), .end])
    }

    private static func configuration(_ url: String, upstream: String, prefix: String) -> String {
      """
      { upstreams: { \(upstream): { url: "UPSTREAM/\(upstream)" } },
        runs: { redis: { url: "\(url)", commandTimeout: "10s", lease: "2s", prefix: "\(prefix)" } },
        routes: [{ name: "\(upstream)", path: "/*", upstreams: ["\(upstream)"], runs: { store: "redis" } }] }
      """
    }

    @Test(arguments: Reload.Change.allCases)
    func `a request that waits for Redis finishes on what it began with`(_ change: Reload.Change) async throws {
      let redis = try await RedisProcess()
      defer { redis.kill() }
      let before = Self.configuration(redis.url, upstream: "two", prefix: "ai:")
      let setup = World.Setup(
        variant: "graceful", settings: ["drain": "8s"], configuration: before, script: Self.script)
      try await World.with(setup) { world in
        let finished = await world.send(Self.post("/run", "old"))
        let id = try #require(finished.events.first { $0.id != nil }?.id)
        #expect(finished.payloads == ["two", "end"])
        try redis.cli("client", "pause", "4000", "ALL")
        let begun = world.clock
        let fields: [Script.Field] = [.acceptsEvents, .prefersStreamEnd, .signedIn]
        let waiting = [
          world.clients.open(Self.post("/run", "new"), from: world.gateway.address),
          world.open("/run", fields: fields), world.open("/run", fields: fields + [.clientStream("s")]),
        ]
        let resumed = world.open("/run", fields: fields + [.lastEventID(id)])
        // They are all there before anything changes.
        #expect(await eventually { await world.gateway.metric("fermata_requests_total") >= 5 })
        switch change {
        case .reload:
          world.configure(Self.configuration(redis.url, upstream: "other", prefix: "b:"))
          world.gateway.signal(SIGHUP)
          #expect(await eventually { world.gateway.log("configuration_reloaded").count == 1 })
        default: await Reload.make(change, in: world)
        }
        #expect(world.clock - begun < .seconds(4) + MachineDelay.since(begun), "Redis had not answered yet")
        for stream in waiting {
          let result = await stream.result()
          #expect(result.status == 200 && result.payloads == ["two", "end"], "\(result.status) \(result.text)")
          // A kill acts on all that is not open yet.
          #expect(change == .kill || result.outcome == "completed", "it keeps the mode that it began with")
        }
        let rest = await resumed.result()
        #expect(rest.payloads == ["end"] && rest.streamID == finished.streamID, "\(rest.status) \(rest.text)")
        #expect(world.clock - begun > .seconds(3), "they have waited")
        #expect(Set(world.backend.requests.map(\.path)) == ["/two/run"])
        guard change == .reload else { return }
        let fresh = await world.open("/run", fields: fields).result()
        #expect(fresh.payloads == ["other", "end"])
        #expect(try redis.cli("exists", "b:run:\(fresh.streamID ?? ""):events") == "1")
      }
    }
  }
}
