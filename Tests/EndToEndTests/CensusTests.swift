import Harness
import JSON
import Processes
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// Who the clients are, and who hangs up at the completion event.
  @Suite struct Clients {
    private static let script = Script([
      .head(), .event("token", "1"), .event("complete", "2"), .pause(.milliseconds(150)), .event("trailing", "3"),
      .event("trailing", "4"), .end,
    ])
    private static let configuration = """
      { upstreams: { main: { url: "UPSTREAM" } }, identity: { header: "X-User" },
        capability: { versions: [{ header: "User-Agent", product: "acme-web", since: "2.3.0" }] },
        routes: [{ name: "chat", path: "/chat", upstreams: "main" }, { name: "rest", upstreams: "main" }] }
      """
    private static let atCompletion = ClientBehaviour.hangingUp(at: "data: 2\n")

    private static func setup(
      _ script: Script, variant: String = "legacy", tail: Bool = false
    ) -> World.Setup {
      World.Setup(
        variant: variant, settings: ["workers": "2", "shadow.tail": "\(tail)"], configuration: configuration,
        script: { _ in script })
    }

    private static func agent(_ name: String, user: String? = nil, prefers: Bool = false) -> [Script.Field] {
      [.acceptsEvents, Script.Field("User-Agent", name)] + (user.map { [Script.Field("X-User", $0)] } ?? [])
        + (prefers ? [.prefersStreamEnd] : [])
    }

    private static func row(_ report: JSONValue, _ product: String, _ version: String, _ mode: String) -> JSONValue? {
      report["rows"]?.array?.first {
        $0["product"] == .string(product) && $0["version"] == .string(version) && $0["mode"] == .string(mode)
      }
    }

    @Test func `clients are told apart by product, version, route, capability and mode`() async throws {
      let chrome = "Mozilla/5.0 (X11) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.1 Safari/537.36"
      try await World.with(Self.setup(Self.script, variant: "graceful")) { world in
        for user in ["ann", "bob", "ann"] {
          let old = await world.fetch(
            "/chat", fields: Self.agent("acme-web/2.1.0 okhttp/4", user: user), behaviour: Self.atCompletion)
          #expect(old.mode == "legacy" && old.end == .hungUp)
        }
        _ = await world.fetch("/chat", fields: Self.agent("acme-web/2.3.1", user: "eve"), behaviour: Self.atCompletion)
        let browser = await world.fetch("/other", fields: Self.agent(chrome, prefers: true))
        #expect(browser.mode == "graceful" && browser.outcome == "completed")
        _ = await world.outcomes(5)
        #expect(await world.setFlags(FlagFile.document("shield", version: "2"), version: "2"))
        #expect(await world.fetch("/chat", fields: Self.agent("acme-web/2.1.0")).mode == "shield")
        _ = await world.outcomes(6)

        let report = try await world.gateway.json("/clients")
        let old = try #require(Self.row(report, "acme-web", "2.1.0", "legacy"))
        #expect(old["streams"] == 3 && old["identities"] == 2 && old["leftAtCompletion"] == 3)
        #expect(old["route"] == "chat" && old["capability"] == "version" && old["understandsStreamEnd"] == false)
        #expect(old["completed"] == 3 && old["hungUpBeforeStreamEnd"] == 0 && old["tailsLost"] == .null)
        let new = try #require(Self.row(report, "acme-web", "2.3.1", "graceful"))
        #expect(new["capability"] == "version" && new["hungUpBeforeStreamEnd"] == 1 && new["streams"] == 1)
        let other = try #require(Self.row(report, "Chrome", "120", "graceful"))
        #expect(other["capability"] == "prefer" && other["route"] == "rest" && other["identities"] == 0)
        #expect(other["completed"] == 1 && other["leftAtCompletion"] == 0)
        let shielded = try #require(Self.row(report, "acme-web", "2.1.0", "shield"))
        #expect(shielded["completed"] == 1 && shielded["leftAtCompletion"] == 0)
        #expect(report["streams"] == 6 && report["staysLegacy"] == 3 && report["byMode"]?["shield"] == 1)

        let metrics = try await world.gateway.metrics()
        #expect(metrics.types["fermata_client_streams_total"] == "counter")
        let labels = ["product": "acme-web", "version": "2.1.0", "mode": "legacy"]
        #expect(metrics.value("fermata_client_streams_total", labels) == 3)
        #expect(metrics.value("fermata_client_streams_total") == 6)
        #expect(metrics.value("fermata_identity_streams_total", ["present": "true"]) == 4)
        #expect(metrics.value("fermata_identity_streams_total", ["present": "false"]) == 2)
        #expect(metrics.value("fermata_shadow_left_early_total") == 3)
        #expect(metrics.value("fermata_shadow_trailing_events_total") == 0, "nobody read on")
      }
    }

    @Test func `an identity is seen whatever the flag asks, by header or by credentials`() async throws {
      try await World.with("legacy", Self.script) { world in
        for fields in [[], [Script.Field("Authorization", "Bearer secret-one")], [.init("X-Api-Key", "secret-two")]] {
          _ = await world.fetch("/", fields: [.acceptsEvents] + fields)
        }
        let metrics = try await world.gateway.metrics()
        #expect(metrics.value("fermata_identity_streams_total", ["present": "true"]) == 2)
        #expect(metrics.value("fermata_identity_streams_total", ["present": "false"]) == 1)
        #expect(!(await world.gateway.ask("/clients")).text.contains("secret"))
      }
    }

    @Test func `with shadow.tail the events are counted that a client has not waited for`() async throws {
      try await World.with(Self.setup(Self.script, tail: true)) { world in
        let early = await world.fetch("/", fields: Self.agent("acme/1"), behaviour: Self.atCompletion)
        #expect(early.end == .hungUp)
        let patient = await world.fetch("/", fields: Self.agent("acme/2"))
        #expect(patient.payloads == ["1", "2", "3", "4"])
        let isRead = await eventually { await world.gateway.metric("fermata_shadow_tails_total") == 1 }
        #expect(isRead)
        let report = try await world.gateway.json("/clients")
        let row = try #require(Self.row(report, "acme", "1", "legacy"))
        #expect(row["tailsRead"] == 1 && row["tailsLost"] == 1 && row["eventsAfterLeaving"] == 2)
        #expect(Self.row(report, "acme", "2", "legacy")?["tailsLost"] == .null && report["readsTails"] == true)
        let metrics = try await world.gateway.metrics()
        #expect(metrics.value("fermata_shadow_trailing_events_total") == 4)
        #expect(metrics.value("fermata_shadow_trailing_streams_total") == 2)
        #expect(await world.outcomes(2) == ["completed", "completed"])
      }
    }

    @Test(arguments: ["silence", "a flood", "a drain"])
    func `a tail is let go after two seconds, 64 KiB or SIGTERM`(what: String) async throws {
      let event = Script.Step.event("trailing", String(repeating: "x", count: 8000))
      let rest: [Script.Step] =
        what == "a flood" ? Array(repeating: event, count: 40) + [.pause(.seconds(30))] : [.pause(.seconds(30))]
      let script = Script([.head(), .event("complete", "2"), .pause(.milliseconds(100))] + rest + [.end])
      try await World.with(Self.setup(script, tail: true)) { world in
        let begin = world.clock
        _ = await world.fetch("/", fields: Self.agent("acme/1"), behaviour: Self.atCompletion)
        if what == "a drain" {
          world.gateway.signal(15)
          #expect(await world.gateway.exit(within: .seconds(5)) == .code(0))
          return
        }
        #expect(await eventually { await world.gateway.metric("fermata_shadow_tails_total") == 1 })
        let passed = world.clock - begin
        #expect(what == "a flood" ? passed < .milliseconds(1900) : passed > .milliseconds(1900), "\(passed)")
        let row = Self.row(try await world.gateway.json("/clients"), "acme", "1", "legacy")
        let events = row?["eventsAfterLeaving"]?.integer ?? -1
        #expect(what == "a flood" ? (7...8).contains(events) : events == 0, "\(events)")
        #expect(await world.gateway.metric("fermata_upstream_busy") == 0, "the backend was let go")
      }
    }

    @Test func `only a legacy client that left at the completion event is read on for`() async throws {
      let script = Script([
        .head(), .event("token", "1"), .pause(.milliseconds(50)), .event("complete", "2"), .pause(.milliseconds(300)),
        .event("trailing", "3"), .end,
      ])
      try await World.with(Self.setup(script, variant: "graceful", tail: true)) { world in
        _ = await world.fetch(
          "/", fields: Self.agent("acme/1"), behaviour: .hangingUp(at: "event: token\ndata: 1\n\n"))
        _ = await world.fetch("/", fields: Self.agent("acme/2", prefers: true), behaviour: .hangingUp(at: "data: 2\n"))
        #expect(await world.outcomes(2).count == 2)
        try await Task.sleep(for: .milliseconds(600))
        #expect(await world.gateway.metric("fermata_shadow_tails_total") == 0)
        #expect(await world.gateway.metric("fermata_shadow_trailing_events_total") == 0)
      }
    }

    @Test func `hostile names of clients are bounded and escaped, in the list and in the metrics`() async throws {
      try await World.with(Self.setup(Script([.head(), .event("complete", "2"), .end]))) { world in
        for index in 0..<700 {
          _ = await world.fetch("/", fields: Self.agent("evil\"\\\(index)\u{E9}{}/\"1\(index)\"} 1"))
        }
        for _ in 0..<20 { _ = await world.fetch("/", fields: Self.agent("busy/1")) }
        _ = await world.fetch("/", fields: Self.agent(String(repeating: "long", count: 1000)))
        _ = await world.outcomes(721)
        let report = try await world.gateway.json("/clients")
        #expect(report["rows"]?.array?.count == 500 && report["streams"] == 721)
        #expect(Self.row(report, "busy", "1", "legacy")?["streams"] == 20)
        for row in report["rows"]?.array ?? [] {
          #expect((row["product"]?.string ?? "").utf8.count <= 64 && (row["version"]?.string ?? "").utf8.count <= 32)
          #expect((row["product"]?.string ?? "").utf8.allSatisfy { (0x21...0x7E).contains($0) })
        }
        let metrics = try await world.gateway.metrics()
        let series = metrics.samples.filter { $0.name == "fermata_client_streams_total" }
        #expect(series.count <= 53 && series.contains { $0.labels["product"] == "busy" }, "\(series.count)")
      }
    }

    @Test func `the list outlives the process, and identities count once`() async throws {
      try await World.with(Self.setup(Self.script)) { world in
        _ = await world.fetch("/", fields: Self.agent("acme/1", user: "ann"))
        world.gateway.signal(15)
        #expect(await world.gateway.exit(within: .seconds(5)) == .code(0))
        let arguments = ["--config", world.flags.directory["fermata.json5"], "--flags", world.flags.path]
        let next = try await GatewayProcess.start(arguments, clients: world.clients)
        let before = try await next.json("/clients")
        #expect(Self.row(before, "acme", "1", "legacy")?["streams"] == 1)
        for user in ["ann", "bob"] {
          let request = ClientRequest("GET", "/", fields: Self.agent("acme/1", user: user))
          _ = await world.clients.fetch(request, from: next.address)
        }
        let after = Self.row(try await next.json("/clients"), "acme", "1", "legacy")
        #expect(after?["streams"] == 3 && after?["identities"] == 2)
        next.signal(15)
        #expect(await next.exit(within: .seconds(5)) == .code(0))
        world.flags.directory.write("stream-closing.flagd.json.guard.clients", "nonsense")
        let third = try await GatewayProcess.start(arguments, clients: world.clients)
        #expect(try await third.json("/clients")["streams"] == 0)
        #expect(third.log("clients_not_restored").count == 1)
        third.signal(15)
        #expect(await third.exit(within: .seconds(5)) == .code(0))
      }
    }
  }
}
