import Harness
import JSON
import RunningGateway
import Synchronization
import Testing
import Time

extension EndToEnd {
  /// Who is asked, and who is left alone for a while.
  @Suite struct Upstreams {
    /// The backends that fail now, in the way that is named.
    final class Faults: Sendable {
      private let scripts = Mutex<[String: Script]>([:])

      subscript(name: String) -> Script? {
        get { scripts.withLock { $0[name] } }
        set { scripts.withLock { $0[name] = newValue } }
      }
    }

    static let busy = Script.plain(status: 500, Array("no".utf8))

    /// Two backends, `a` and `b`.
    static func setup(
      _ faults: Faults, upstreams: String = #"["a", "b"]"#, health: String
    ) -> World.Setup {
      let configuration = """
        {
          defaults: {
            gate: "firstToken", budget: "20s", timeouts: { head: "300ms" }, health: { \(health) },
          },
          upstreams: { a: { url: "UPSTREAM/a" }, b: { url: "UPSTREAM/b" } },
          stream: { dialect: "openai" },
          routes: [{ name: "chat", upstreams: \(upstreams) }],
        }
        """
      return World.Setup(variant: "graceful", settings: ["workers": "1"], configuration: configuration) { request in
        let name = String(request.path.dropFirst().prefix { $0 != "/" })
        if let fault = faults[name] { return fault }
        return request.path.hasSuffix("/healthz") ? .plain(Array("well".utf8)) : Waterfall.good(name)
      }
    }

    /// What the only worker knows of an upstream.
    static func report(_ name: String, _ world: World) async -> JSONValue {
      let all = (try? await world.gateway.json("/upstreams"))?["upstreams"]?.array ?? []
      return all.first { $0["name"]?.string == name }?["workers"]?.array?.first ?? .null
    }

    static func state(_ name: String, _ world: World) async -> String? {
      await report(name, world)["state"]?.string
    }

    static func asked(_ name: String, _ world: World) -> Int {
      world.backend.requests.count { $0.path == "/\(name)/x" }
    }

    /// One request that must succeed.
    static func succeed(_ world: World) async {
      let result = await world.fetchNew("/x")
      #expect(result.status == 200 && result.outcome == "completed", "\(result.status) \(result.end) \(result.text)")
    }

    @Test func `a backend that is given only what another left of the budget is not blamed for it`() async throws {
      let text = """
        {
          defaults: { budget: "700ms", timeouts: { head: "600ms" }, health: { failures: 1 } },
          upstreams: { a: { url: "UPSTREAM/a" }, b: { url: "UPSTREAM/b" } },
          routes: [{ name: "r", upstreams: ["a", "b"] }],
        }
        """
      let setup = World.Setup(settings: ["workers": "1"], configuration: text) { _ in Script([.stall]) }
      try await World.with(setup) { world in
        #expect(await world.fetchNew("/x").status == 503)
        #expect(world.backend.requests.map(\.path) == ["/a/x", "/b/x"])
        #expect(await eventually { world.gateway.log("attempt_failed").count == 2 })
        #expect(world.gateway.log("attempt_failed").map { $0["reason"]?.string } == ["timed_out", "budget_spent"])
        #expect(await Self.state("a", world) == "ejected")
        #expect(await Self.state("b", world) == "available")
        let metrics = try await world.gateway.metrics()
        func attempts(_ labels: [String: String]) -> Double {
          metrics.value("fermata_upstream_attempts_total", labels)
        }
        #expect(attempts(["upstream": "a", "result": "timed_out", "phase": "head"]) == 1)
        #expect(attempts(["result": "timed_out"]) == 1 && attempts(["upstream": "b", "result": "budget_spent"]) == 1)
        #expect(metrics.value("fermata_upstream_ejections_total", ["upstream": "a"]) == 1)
        #expect(metrics.value("fermata_upstream_ejections_total") == 1)
      }
    }

    @Test func `a backend that fails is left out for longer each time, and comes back when it is well`()
      async throws
    {
      let faults = Faults()
      faults["a"] = Self.busy
      let setup = Self.setup(faults, health: #"failures: 2, ejection: "600ms", ejectionMax: "1500ms""#)
      try await World.with(setup) { world in
        for _ in 0..<5 { await Self.succeed(world) }
        // Two failures in a row put it out, after which nobody asks.
        #expect(Self.asked("a", world) == 2)
        #expect(await Self.state("a", world) == "ejected")
        // It is let back in for one request, which fails: out for twice as long, and then for as long as is allowed.
        for (round, longest) in [600, 1200, 1500, 1500].enumerated() {
          let report = await Self.report("a", world)
          let left = try #require(report["comesBackInMilliseconds"]?.integer)
          #expect(left <= longest && left > longest - 600, "\(round): \(left)")
          #expect(report["ejections"]?.integer == round + 1)
          #expect(await eventually { await Self.state("a", world) == "available" })
          #expect(Self.asked("a", world) == round + 2)
          if round == 3 { faults["a"] = nil }
          await Self.succeed(world)
          #expect(Self.asked("a", world) == round + 3)
        }
        for _ in 0..<3 { await Self.succeed(world) }
        #expect(Self.asked("a", world) == 9)
        #expect(await Self.state("a", world) == "available")
        #expect(await eventually { world.gateway.log("upstream_state").count == 5 })
        let moves = world.gateway.log("upstream_state")
        #expect(moves.contains { $0["from"]?.string == "available" && $0["to"]?.string == "ejected" })
        #expect(moves.last?["from"]?.string == "ejected" && moves.last?["to"]?.string == "available")
        #expect(moves.allSatisfy { $0["upstream"]?.string == "a" })
        let levels = moves.map { $0["level"]?.string }
        #expect(levels == ["warning", "warning", "warning", "warning", "info"])
      }
    }

    @Test func `an ejection shows in the metrics, and so does its end`() async throws {
      let faults = Faults()
      faults["a"] = Script([.finish(.cut)])
      try await World.with(Self.setup(faults, health: #"failures: 1, ejection: "700ms""#)) { world in
        func isIn(_ state: String) async -> Bool {
          await world.gateway.metric("fermata_upstream_state", ["upstream": "a", "state": state]) == 1
        }
        #expect(await isIn("available"))
        await Self.succeed(world)
        #expect(await isIn("ejected"))
        #expect(!(await isIn("available")))
        faults["a"] = nil
        #expect(await eventually { await isIn("available") })
        await Self.succeed(world)
        let metrics = try await world.gateway.metrics()
        func attempts(_ name: String, _ result: String) -> Double {
          metrics.value("fermata_upstream_attempts_total", ["upstream": name, "result": result])
        }
        #expect(attempts("a", "cut") == 1 && attempts("a", "completed") == 1 && attempts("b", "completed") == 1)
        #expect(metrics.value("fermata_upstream_busy") == 0)
      }
    }

    @Test func `streams that are cut in the middle put a backend out as well`() async throws {
      let faults = Faults()
      faults["a"] = Script([.head(), Waterfall.token("1"), .pause(.milliseconds(20)), .cut])
      try await World.with(Self.setup(faults, health: #"failures: 2, ejection: "10s""#)) { world in
        for _ in 0..<2 { #expect(await world.fetchNew("/x").outcome == "upstream_truncated") }
        await Self.succeed(world)
        #expect(await Self.state("a", world) == "ejected")
        #expect(await Self.report("a", world)["truncations"]?.integer == 2)
      }
    }

    @Test func `the last one is asked however often it has failed`() async throws {
      let faults = Faults()
      faults["a"] = Self.busy
      faults["b"] = Self.busy
      try await World.with(Self.setup(faults, health: #"failures: 1, ejection: "30s""#)) { world in
        #expect(await world.fetchNew("/x").status == 503)
        for name in ["a", "b"] { #expect(await Self.state(name, world) == "ejected") }
        // Nobody is available, and still somebody is asked: the one that comes back first.
        #expect(await world.fetchNew("/x").status == 503)
        #expect(Self.asked("a", world) == 2 && Self.asked("b", world) == 1)
        faults["a"] = nil
        for _ in 0..<3 { await Self.succeed(world) }
        #expect(Self.asked("b", world) == 1)
      }
    }

    @Test(arguments: ["status", "silence", "cut"])
    func `checks take a backend out before a client meets it, and bring it back`(fault: String) async throws {
      let script = ["status": Self.busy, "silence": Script([.stall]), "cut": Script([.finish(.cut)])][fault]
      let health = """
        failures: 0,
        check: { path: "/healthz", interval: "100ms", timeout: "150ms", healthyAfter: 2, unhealthyAfter: 2 }
        """
      let faults = Faults()
      try await World.with(Self.setup(faults, health: health)) { world in
        #expect(await eventually { await Self.report("a", world)["checksPassed"]?.integer ?? 0 >= 2 })
        await Self.succeed(world)
        #expect(Self.asked("a", world) == 1)
        faults["a"] = script
        #expect(await eventually { await Self.state("a", world) == "unhealthy" })
        for _ in 0..<3 { await Self.succeed(world) }
        #expect(Self.asked("a", world) == 1 && Self.asked("b", world) == 3)
        #expect(await Self.state("b", world) == "available")
        faults["a"] = nil
        #expect(await eventually { await Self.state("a", world) == "available" })
        await Self.succeed(world)
        #expect(Self.asked("a", world) == 2)
        let check = world.backend.requests.first { $0.path == "/a/healthz" }
        #expect(check?.head.value("User-Agent") == "fermata-health-check" && check?.method == "GET")
        let metrics = try await world.gateway.metrics()
        func checks(_ name: String, _ result: String) -> Double {
          metrics.value("fermata_upstream_checks_total", ["upstream": name, "result": result])
        }
        #expect(checks("a", "passed") >= 4 && checks("a", "failed") >= 2)
        #expect(checks("b", "passed") >= 4 && checks("b", "failed") == 0)
      }
    }

    @Test func `connections to a backend are counted while they are busy, kept and closed`() async throws {
      let script = Script([.head(), Waterfall.token("1"), .pause(.milliseconds(400)), .event(nil, "[DONE]"), .end])
      let text = """
        {
          upstreams: { a: { url: "UPSTREAM/a", idleTimeout: "700ms" } },
          stream: { dialect: "openai" }, routes: [{ name: "r", upstreams: "a" }],
        }
        """
      try await World.with(World.Setup(settings: ["workers": "1"], configuration: text) { _ in script }) { world in
        func isCounted(busy: Double, idle: Double) async -> Bool {
          await eventually {
            guard let metrics = try? await world.gateway.metrics() else { return false }
            return [("busy", busy), ("idle", idle)].allSatisfy { state, count in
              metrics.value("fermata_upstream_connections", ["upstream": "a", "state": state]) == count
            }
          }
        }
        #expect(await isCounted(busy: 0, idle: 0))
        let streams = [world.openNew("/x"), world.openNew("/x")]
        #expect(await isCounted(busy: 2, idle: 0))
        for stream in streams { _ = await stream.result() }
        #expect(await isCounted(busy: 0, idle: 2))
        let third = world.openNew("/x")
        #expect(await isCounted(busy: 1, idle: 1))
        third.hangUp()
        #expect(await isCounted(busy: 0, idle: 0), "one was dropped with its client, the other grew old")
      }
    }

    @Test func `a backend that is back gets a small share first, and its whole one in the end`() async throws {
      let faults = Faults()
      faults["a"] = Self.busy
      let health = #"failures: 1, ejection: "100ms", slowStart: "60s""#
      try await World.with(Self.setup(faults, upstreams: #"[["a", "b"]]"#, health: health)) { world in
        while Self.asked("a", world) == 0 { await Self.succeed(world) }
        faults["a"] = nil
        #expect(await eventually { await Self.state("a", world) == "available" })
        let factor = try #require(await Self.report("a", world)["weightFactor"]?.number)
        #expect(factor >= 0.1 && factor < 0.6)
        world.backend.forgetRequests()
        for _ in 0..<60 { await Self.succeed(world) }
        // One in eleven of them, not every other one.
        #expect(Self.asked("a", world) < 24 && Self.asked("b", world) > 36)
      }
      faults["a"] = Self.busy
      let quick = #"failures: 1, ejection: "100ms", slowStart: "200ms""#
      try await World.with(Self.setup(faults, upstreams: #"[["a", "b"]]"#, health: quick)) { world in
        while Self.asked("a", world) == 0 { await Self.succeed(world) }
        faults["a"] = nil
        let isWhole = await eventually {
          let report = await Self.report("a", world)
          return report["state"]?.string == "available" && report["weightFactor"] == nil
        }
        #expect(isWhole)
        for _ in 0..<60 { await Self.succeed(world) }
        #expect(Self.asked("a", world) > 10)
      }
    }
  }
}
