import Glibc
import Harness
import JSON
import Processes
import RunningGateway
import Streams
import Testing
import Time

extension EndToEnd {
  /// Gateways that share kills, trips and counts over Redis.
  @Suite(.enabled(if: RedisProcess.isAvailable)) struct GuardShares {
    /// Two gateways on one flag file, each with a state of its own.
    struct Pair {
      let world: World
      let other: GatewayProcess
      var one: GatewayProcess { world.gateway }

      func modes() async -> [String?] {
        let client = ClientRequest("GET", "/?events=1&complete=done", fields: [.acceptsEvents, .prefersStreamEnd])
        let first = await world.clients.fetch(client, from: one.address)
        return [first.mode, await world.clients.fetch(client, from: other.address).mode]
      }

      /// Waits until clients of both get the modes.
      func get(_ modes: [String?], within limit: Nanoseconds = .seconds(10)) async -> Bool {
        await eventually(within: limit) { await self.modes() == modes }
      }

      func areConnected() async -> Bool {
        await eventually {
          for gateway in [one, other] {
            guard (try? await gateway.json("/readyz"))?["guardRedis"]?["status"] == "connected" else { return false }
          }
          return true
        }
      }
    }

    private static let looks = """
      interval: "200ms", minSamples: 50, dryRun: ["time_to_first_token", "retries"], truncation: { margin: 0.05 }
      """

    private static func configuration(_ sharing: String, rest: String = "") -> String {
      """
      { upstream: "UPSTREAM", identity: { header: "X-User" }, \(rest)
        flags: { \(sharing), guard: { \(looks) } } }
      """
    }

    private static func with(
      _ url: String, _ body: (Pair) async throws -> Void
    ) async throws {
      let sharing = "guardRedis: { url: \"\(url)\", connectTimeout: \"500ms\", commandTimeout: \"500ms\" }"
      try await with(configuration: configuration(sharing), body)
    }

    private static func with(configuration: String, _ body: (Pair) async throws -> Void) async throws {
      try await World.with(World.Setup(variant: "graceful", configuration: configuration)) { world in
        let state = try ScratchDirectory()
        let other = try await GatewayProcess.start(
          ["--flags", world.flags.path, "--config", world.flags.directory["fermata.json5"]],
          environment: ["STATE_DIRECTORY": state.path], clients: world.clients)
        defer { other.signal(SIGKILL) }
        try await body(Pair(world: world, other: other))
      }
    }

    private static func effect(_ gateway: GatewayProcess) async -> String? {
      (try? await gateway.json("/flags"))?["guard"]?["effect"]?.string
    }

    private static func kill(_ gateway: GatewayProcess, _ path: String = "/kill?actor=ann&reason=why") async throws
      -> JSONValue
    {
      try JSONValue(parsing: await gateway.ask(path, method: "POST").body)
    }

    @Test func `a kill of one gateway is in force in both within a second, and is lifted in both`() async throws {
      let redis = try await RedisProcess()
      defer { redis.kill() }
      try await Self.with(redis.url) { pair in
        #expect(await pair.areConnected())
        #expect(await pair.modes() == ["graceful", "graceful"])
        let begun = SystemClock.now
        let answer = try await Self.kill(pair.one)
        #expect(answer["inForce"] == true && answer["shared"]?["status"] == "connected")
        #expect(await pair.get(["legacy", "legacy"]))
        let took = SystemClock.now - begun
        print("a kill was in force in both after \(Int(took.milliseconds)) ms")
        #expect(took < .seconds(1) + MachineDelay.since(begun))
        let shown = try await pair.other.json("/flags")
        #expect(shown["killed"] == true && shown["kill"]?["operator"]?["actor"] == "ann")
        #expect(await pair.other.metric("fermata_guard_adopted_total", ["what": "kill"]) == 1)
        #expect(await pair.other.metric("fermata_guard_redis_connected") == 1)
        #expect(await eventually { pair.other.log("killed").first?["byAnotherGateway"] == true })
        // The other may lift it.
        #expect(try await Self.kill(pair.other, "/unkill")["killed"] == false)
        #expect(await pair.get(["graceful", "graceful"], within: .seconds(1)))
        #expect(try await Self.kill(pair.other, "/kill?hard=1")["kill"]?["hard"] == true)
        #expect(await eventually { await pair.one.metric("fermata_kill", ["source": "operator"]) == 2 })
      }
    }

    @Test func `what one guard takes back is taken back by both, until the file acknowledges it`() async throws {
      let redis = try await RedisProcess()
      defer { redis.kill() }
      try await Self.with(redis.url) { pair in
        #expect(await pair.areConnected())
        let half = "{\"fractional\": [[\"graceful\", 5000], [\"legacy\", 5000]]}"
        let document = FlagFile.document("legacy", targeting: half, version: "7")
        #expect(await pair.world.setFlags(document, version: "7"))
        // All traffic comes to the first.
        var tripped: MonotonicTime?
        for round in 0..<40 where tripped == nil {
          await Self.play(pair.world, to: pair.one, round)
          if await Self.effect(pair.one) == "rollback" { tripped = SystemClock.now }
        }
        let begun = try #require(tripped, "the first never tripped")
        let isShared = await eventually(within: .seconds(1)) { await Self.effect(pair.other) == "rollback" }
        print("a trip was in force in both after \(Int((SystemClock.now - begun).milliseconds)) ms or less")
        #expect(isShared)
        #expect(try await pair.other.json("/flags")["guard"]?["latch"]?["revision"] == "7")
        #expect(await pair.other.metric("fermata_guard_adopted_total", ["what": "trip"]) == 1)
        #expect(await pair.other.metric("fermata_guard_trips_total") == 0)
        #expect(await eventually { !pair.other.log("guard_adopted").isEmpty })
        let acknowledged = document.replacing("\"version\": \"7\"", with: "\"version\": \"8\"").replacing(
          "\"metadata\"", with: "\"$acknowledged\": { \"stream-closing\": \"7\" }, \"metadata\"")
        #expect(await pair.world.setFlags(acknowledged, version: "8"))
        for gateway in [pair.one, pair.other] {
          #expect(await eventually { await Self.effect(gateway) == "none" })
        }
        // It does not come back from Redis, not to a process that begins anew either.
        let state = try ScratchDirectory()
        let third = try await GatewayProcess.start(
          ["--flags", pair.world.flags.path, "--config", pair.world.flags.directory["fermata.json5"]],
          environment: ["STATE_DIRECTORY": state.path], clients: pair.world.clients)
        defer { third.signal(SIGKILL) }
        try await Task.sleep(for: .milliseconds(1500))
        for gateway in [pair.one, pair.other, third] {
          #expect(await Self.effect(gateway) == "none")
        }
      }
    }

    /// Streams of fresh clients; whoever turns out to be in graceful gets another one, which the backend cuts.
    ///
    /// - Returns: the streams in graceful.
    @discardableResult
    private static func play(
      _ world: World, to gateway: GatewayProcess, _ round: Int, count: Int = 120, isCut: Bool = true
    ) async -> Int {
      func open(_ index: Int, _ query: String) -> LiveStream {
        let fields: [Script.Field] = [
          .acceptsEvents, .prefersStreamEnd, Script.Field("X-User", "user-\(round)-\(index)"),
        ]
        return world.clients.open(ClientRequest("GET", "/?\(query)", fields: fields), from: gateway.address)
      }
      var treated: [Int] = []
      for start in stride(from: 0, to: count, by: 60) {
        let streams = (start..<min(count, start + 60)).map { ($0, open($0, "events=2&complete=done")) }
        for (index, stream) in streams where await stream.result().mode == "graceful" { treated.append(index) }
      }
      guard isCut else { return treated.count }
      let streams = treated.map { open($0, "events=2&cut=1") }
      for stream in streams { _ = await stream.result() }
      return treated.count + streams.count
    }

    @Test func `a rollout does not begin while Redis has a kill, though no gateway is asked`() async throws {
      let redis = try await RedisProcess()
      try await Self.with(redis.url) { pair in
        #expect(await pair.areConnected())
        // No state file is beside this one: only Redis can tell.
        let elsewhere = try ScratchDirectory()
        elsewhere.write("flags.json", FlagFile.document("legacy", version: "1"))
        func start(_ reason: String) async throws -> (exit: ChildProcess.Exit?, text: String) {
          let words = [
            "flags", "rollout", "start", "--variant", "graceful", "--reason", reason, "--dry-run", "--file",
            elsewhere["flags.json"], "--config", pair.world.flags.directory["fermata.json5"],
          ]
          let run = try await Task.detached { try Program.run(words) }.value
          return (run.exit, run.output + run.errors)
        }
        #expect(try await Self.kill(pair.one)["shared"]?["status"] == "connected")
        #expect(await pair.get(["legacy", "legacy"]))
        let killed = try await start("killed")
        #expect(killed.exit == .code(6) && killed.text.contains("the guard of gateways at redis://"), "\(killed.text)")
        #expect(try await Self.kill(pair.other, "/unkill")["killed"] == false)
        #expect(await pair.get(["graceful", "graceful"]))
        let lifted = try await start("lifted")
        #expect(lifted.exit == .code(0), "\(lifted.text)")
        #expect(lifted.text.contains("only the flag file and redis://"), "\(lifted.text)")
        redis.kill()
        let blind = try await start("blind")
        #expect(blind.exit == .code(0) && blind.text.contains("could not be asked: "), "\(blind.text)")
      }
    }

    @Test func `what all have counted is judged together, and a client at two gateways is one`() async throws {
      let redis = try await RedisProcess()
      defer { redis.kill() }
      try await Self.with(redis.url) { pair in
        #expect(await pair.areConnected())
        let half = "{\"fractional\": [[\"graceful\", 5000], [\"legacy\", 5000]]}"
        #expect(await pair.world.setFlags(FlagFile.document("legacy", targeting: half, version: "2"), version: "2"))
        // The same 40 clients at both, again and again: neither gateway alone has enough streams.
        var treated = 0
        for gateway in [pair.one, pair.other] {
          treated += await Self.play(pair.world, to: gateway, 1, count: 40, isCut: false)
          treated += await Self.play(pair.world, to: gateway, 1, count: 40, isCut: false)
        }
        for gateway in [pair.one, pair.other] {
          let isWhole = await eventually {
            (try? await gateway.json("/flags"))?["guard"]?["phase"]?["streams"]?.integer == treated
          }
          let report = try await gateway.json("/flags")
          #expect(isWhole, "\(treated) in \(report["guard"]?["phase"]?.text() ?? "")")
          #expect((report["guard"]?["own"]?["streams"]?.integer ?? 0) == treated / 2)
          #expect(report["guard"]?["phase"]?["identities"] == report["guard"]?["own"]?["identities"])
          #expect(report["shared"]?["gateways"]?.integer == 2)
        }
      }
    }

    @Test func `a kill waits for no Redis, and is shared when it is back`() async throws {
      let redis = try await RedisProcess()
      defer { redis.kill() }
      try await Self.with(redis.url) { pair in
        #expect(await pair.areConnected())
        redis.kill()
        for gateway in [pair.one, pair.other] {
          #expect(await eventually { await gateway.metric("fermata_guard_redis_connected") == 0 })
          #expect(await eventually { !gateway.log("guard_redis_lost").isEmpty })
        }
        let answer = try await Self.kill(pair.one)
        #expect(answer["inForce"] == true && answer["shared"]?["status"] == "lost")
        #expect(answer["shared"]?["done"] == false && answer["shared"]?["reason"]?.string != nil)
        #expect(await pair.modes() == ["legacy", "graceful"], "nobody could tell the other")
        let ready = await pair.one.ask("/readyz")
        #expect(ready.status == 200 && ready.text.contains("\"status\":\"lost\""))
        // It has forgotten everything, or nothing.
        try await redis.restart()
        #expect(await pair.get(["legacy", "legacy"]))
        #expect(await pair.areConnected())
        try redis.cli("flushall")
        try await Task.sleep(for: .milliseconds(1300))
        #expect(await pair.modes() == ["legacy", "legacy"])
        #expect(try redis.cli("hget", "ai:guard:kill", "number") == "1")
        #expect(try await Self.kill(pair.other, "/unkill")["killed"] == false)
        #expect(await pair.get(["graceful", "graceful"]))
        #expect(pair.one.log("guard_redis_lost").count == 1, "told once")
      }
    }

    @Test(arguments: [PeerWait.guardConnection, .guardAnswer])
    func `every wait for this Redis is ended by its limit, which is named, and nothing waits meanwhile`(
      _ wait: PeerWait
    ) async throws {
      let limit = try #require(wait.limits(isLone: true, isLast: true, mode: .graceful).first)
      let redis = try await RedisProcess()
      defer { redis.kill() }
      let silent = try RawListener()
      // Takes connections and says nothing.
      try await Self.with(wait == .guardConnection ? "redis://\(silent.address)" : redis.url) { pair in
        if wait == .guardAnswer {
          #expect(await pair.areConnected())
          try redis.cli("client", "pause", "6000", "ALL")
        }
        let begun = SystemClock.now
        #expect(try await Self.kill(pair.one)["inForce"] == true)
        #expect(await pair.modes().first == "legacy")
        #expect(SystemClock.now - begun < .seconds(5) + MachineDelay.since(begun))
        #expect(await eventually { pair.one.logText.contains(limit.rawValue) }, "\(pair.one.logText.suffix(600))")
      }
    }

    @Test func `what no gateway wrote is told and changes nothing`() async throws {
      let redis = try await RedisProcess()
      defer { redis.kill() }
      try await Self.with(redis.url) { pair in
        #expect(await pair.areConnected())
        try redis.cli("hset", "ai:guard:kill", "number", "99999999999999999999", "text", "{}")
        #expect(await eventually { pair.one.logText.contains("was not written by a gateway") })
        for number in ["-5", "nan", "inf", "1e400", "x", "1125899906842624", "9223372036854775807"] {
          for text in ["{\"hard\":7}", "[]", "{"] {
            try redis.cli("hset", "ai:guard:kill", "number", number, "text", text)
            try redis.cli("hset", "ai:guard:latch", "number", number, "text", text)
            try redis.cli("hset", "ai:guard:sums", "other", "9 {\"hash\":\"\",\"arms\":7}", "x", "nothing")
            try redis.cli("publish", "ai:guard:channel", "x")
          }
        }
        try redis.cli("del", "ai:guard:sums")
        try redis.cli("set", "ai:guard:sums", "a text")
        #expect(await eventually { await pair.one.metric("fermata_guard_redis_failures_total") > 3 })
        #expect(await pair.modes() == ["graceful", "graceful"])
        #expect(try await Self.kill(pair.one)["inForce"] == true)
        #expect(await pair.modes().first == "legacy")
        for key in ["kill", "latch", "sums"] { try redis.cli("del", "ai:guard:\(key)") }
        let says = try redis.cli("hgetall", "ai:guard:kill")
        let ready = try await pair.one.json("/readyz").text()
        #expect(await pair.get(["legacy", "legacy"]), "\(says) \(ready)")
        #expect(await pair.areConnected())
      }
    }

    @Test(arguments: [true, false]) func `where runs are in Redis decisions are shared there, unless told not to`(
      _ isShared: Bool
    ) async throws {
      let redis = try await RedisProcess()
      defer { redis.kill() }
      let runs = "runs: { redis: { url: \"\(redis.url)\" } },"
      let sharing = isShared ? "startWithout: false" : "guardRedis: false"
      try await Self.with(configuration: Self.configuration(sharing, rest: runs)) { pair in
        if isShared { #expect(await pair.areConnected()) }
        let answer = try await Self.kill(pair.one)
        #expect(answer["shared"]?["status"]?.string == (isShared ? "connected" : nil))
        #expect(await pair.get(["legacy", isShared ? "legacy" : "graceful"]))
      }
    }
  }
}
