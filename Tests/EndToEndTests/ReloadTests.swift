import Glibc
import Harness
import JSON
import Processes
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// What changes under those that wait: the configuration, the flags, the process itself.
  @Suite struct Reload {
    /// What happens while they wait.
    enum Change: String, CaseIterable, CustomTestStringConvertible {
      case reload, flags, kill, drain

      var testDescription: String { rawValue }
    }

    /// Two upstreams, told apart by their base paths; the last of them would be missing, or be another's, if anybody
    /// went by its number.
    static let before = """
      { upstreams: { one: { url: "UPSTREAM/one" }, two: { url: "UPSTREAM/two" }, spare: { url: "UPSTREAM/spare" } },
        routes: [
          { name: "one", path: "/one/*", upstreams: ["one"] },
          { name: "tiers", path: "/tiers/*", upstreams: ["two", "spare"] },
          { name: "runs", path: "/*", upstreams: ["two"], runs: { onDisconnect: "continue" } },
        ] }
      """
    static let after = """
      { upstreams: { other: { url: "UPSTREAM/other" } }, routes: [{ name: "all", upstreams: ["other"] }] }
      """

    static let setup = World.Setup(
      variant: "graceful", settings: ["drain": "8s", "workers": "1"], configuration: before
    ) { request in
      let upstream = String(request.path.split(separator: "/").first ?? "?")
      let events: [Script.Step] = [
        .head(), .event(nil, upstream), .pause(.milliseconds(1500)), .event("complete", "end"), .end,
      ]
      return Script(request.path.hasSuffix("/slow") ? [.pause(.milliseconds(1500))] + events : events)
    }

    static func post(_ path: String, _ field: String = "X-None: 1") -> String {
      "POST \(path) HTTP/1.1\r\nHost: h\r\nPrefer: stream-end\r\n\(field)\r\nContent-Length: 4\r\nConnection: close\r\n\r\nab"
    }

    static func make(_ change: Change, in world: World) async {
      switch change {
      case .reload:
        world.configure(after)
        world.gateway.signal(SIGHUP)
        #expect(await eventually { world.gateway.log("configuration_reloaded").count == 1 })
        #expect(await eventually { await world.fetch("/x/fresh").payloads.first == "other" }, "it is in force")
      case .flags: #expect(await world.setFlags(FlagFile.document("legacy", version: "2"), version: "2"))
      case .kill:
        let document = FlagFile.document("graceful", state: "DISABLED", version: "2")
        #expect(await world.setFlags(document, version: "2"))
      case .drain:
        world.gateway.signal(SIGTERM)
        #expect(await eventually { !world.gateway.log("draining").isEmpty })
      }
    }

    @Test(arguments: Change.allCases)
    func `what waits finishes on the settings that it began with`(_ change: Change) async throws {
      try await World.with(Self.setup) { world in
        let bodies = try [("/tiers/x", "X-None: 1"), ("/run", "Idempotency-Key: k"), ("/run", "X-Client-Stream-Id: s")]
          .map { path, field in
            let connection = try RawConnection(to: world.gateway.address)
            connection.send(Self.post(path, field))
            return connection
          }
        let heads = ["/tiers/slow", "/runs/slow"].map { world.openNew($0) }
        let streams = ["/tiers/x", "/runs/x"].map { world.openNew($0) }
        for stream in streams { #expect(await stream.receives("data: two\n\n")) }
        let left = world.openNew("/runs/left")
        #expect(await left.receives("data: two\n\n"))
        let id = try #require(await left.soFar().events.last { $0.id != nil }?.id)
        let resumed = world.open("/runs/left", fields: [.acceptsEvents, .prefersStreamEnd, .lastEventID(id)])
        #expect(await eventually { await world.gateway.metric("ai_stream_connections_active") >= 4 })

        await Self.make(change, in: world)

        for connection in bodies {
          connection.send("cd")
          let response = connection.response()
          #expect(response?.status == 200, "\(response?.text ?? "nothing")")
          #expect(response?.text.contains("data: two\n\n") == true, "\(response?.text ?? "nothing")")
        }
        for stream in heads + streams {
          let result = await stream.result()
          #expect(result.status == 200 && result.payloads == ["two", "end"], "\(result.text)")
        }
        let rest = await resumed.result()
        #expect(rest.payloads == ["end"], "\(rest.text)")
        let asked = Set(world.backend.requests.map { $0.path.split(separator: "/").first.map(String.init) ?? "?" })
        #expect(asked.subtracting(["other"]) == ["two"])
        left.hangUp()
      }
    }

    @Test func `a reload forgets nothing of an upstream that did not change`() async throws {
      let text = """
        { upstreams: { bad: { url: "UPSTREAM/bad", health: { failures: 1, ejection: "60s" } }, good: { url: "UPSTREAM/good" } },
          routes: [{ name: "all", upstreams: ["bad", "good"], stream: { idle: "IDLE" } }] }
        """
      let setup = World.Setup(
        settings: ["workers": "1"], configuration: text.replacing("IDLE", with: "40s")
      ) {
        $0.path.hasPrefix("/bad") ? .plain(status: 500, Array("no".utf8)) : Script([.head(), .event(nil, "1"), .end])
      }
      try await World.with(setup) { world in
        #expect(await world.fetch().payloads == ["1"])
        let connects = await world.gateway.metric("fermata_upstream_connects_total")
        // The other order, another setting of the route: neither is the upstreams'.
        world.configure(
          text.replacing("IDLE", with: "50s").replacing("[\"bad\", \"good\"]", with: "[\"good\", \"bad\"]"))
        world.gateway.signal(SIGHUP)
        #expect(await eventually { world.gateway.log("configuration_reloaded").count == 1 })
        let upstreams = try #require(try await world.gateway.json("/upstreams")["upstreams"]?.array)
        let bad = try #require(upstreams.first { $0["name"] == "bad" }?["workers"]?.array?.first)
        #expect(bad["state"] == "ejected" && bad["failures"] == 1, "\(bad.text())")
        #expect(await world.fetch().payloads == ["1"])
        #expect(await world.gateway.metric("fermata_upstream_connects_total") == connects, "the connection was kept")
        // What did change begins anew.
        world.configure(text.replacing("IDLE", with: "50s").replacing("60s", with: "59s"))
        world.gateway.signal(SIGHUP)
        #expect(await eventually { world.gateway.log("configuration_reloaded").count == 2 })
        let states = try await world.gateway.json("/upstreams")["upstreams"]?.array?.map { upstream in
          upstream["workers"]?.array?.first?["state"]?.string ?? ""
        }
        #expect(states == ["available", "available"])
      }
    }

    @Test func `the operators see what is in force and what needs a restart`() async throws {
      let setup = World.Setup(configuration: "{ upstream: \"UPSTREAM\", drain: \"9s\", runs: { memory: \"64MiB\" } }")
      try await World.with(setup) { world in
        #expect(try await world.gateway.json("/config")["restartNeeded"] == [])
        world.configure("{ upstream: \"UPSTREAM\", logLevel: \"warning\", runs: { memory: \"32MiB\" } }")
        world.gateway.signal(SIGHUP)
        #expect(await eventually { await world.gateway.metric("fermata_config_restart_needed") == 1 })
        let shown = try await world.gateway.json("/config")
        #expect(shown["logLevel"] == "warning" && shown["runs"]?["memory"] == JSONValue(64 << 20))
        let need = shown["restartNeeded"]?.array?.first
        #expect(need?["path"] == "runs.memory" && need?["inForce"] == JSONValue(64 << 20))
        #expect(need?["configured"] == JSONValue(32 << 20))
      }
    }

    /// Leaves the process no descriptor beyond those that it has, or not even those that it gives up by itself.
    static func limitDescriptors(of world: World, to count: Int) throws {
      let command = ["prlimit", "--pid", "\(world.gateway.pid)", "--nofile=\(count):4096"]
      #expect(try ChildProcess(command).wait(timeout: .seconds(10)) == .code(0))
    }

    static func openDescriptors(of world: World) -> Int {
      guard let directory = opendir("/proc/\(world.gateway.pid)/fd") else { return 0 }
      defer { closedir(directory) }
      var highest = 0
      while let entry = readdir(directory) {
        let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        highest = max(highest, Int(name) ?? 0)
      }
      return highest + 1
    }

    @Test func `a change of the flags is in force though no descriptor is free`() async throws {
      try await World.with(World.Setup(variant: "graceful")) { world in
        // The operators' connections, which need descriptors too, are over.
        #expect(await world.fetchNew().mode == "graceful")
        let descriptors = Self.openDescriptors(of: world)
        try Self.limitDescriptors(of: world, to: descriptors)
        let open = (0..<8).compactMap { _ in try? RawConnection(to: world.gateway.address) }
        world.flags.replace(FlagFile.document("graceful", state: "DISABLED", version: "2"))
        #expect(await eventually { world.gateway.log("flags_loaded").contains { $0["version"] == "2" } })
        for connection in open { connection.close() }
        try Self.limitDescriptors(of: world, to: 4096)
      }
    }

    @Test func `what can't be read for want of a descriptor is read as soon as there is one`() async throws {
      let setup = World.Setup(variant: "graceful", configuration: "{ upstream: \"UPSTREAM\" }")
      try await World.with(setup) { world in
        try Self.limitDescriptors(of: world, to: 3)
        world.flags.replace(FlagFile.document("shield", version: "2"))
        world.configure("{ upstream: \"UPSTREAM\", logLevel: \"debug\" }")
        world.gateway.signal(SIGHUP)
        #expect(await eventually { !world.gateway.log("flags_refused").isEmpty })
        #expect(await eventually { !world.gateway.log("configuration_reload_failed").isEmpty })
        try Self.limitDescriptors(of: world, to: 4096)
        #expect(await eventually { world.gateway.log("flags_loaded").contains { $0["version"] == "2" } })
        #expect(await eventually { !world.gateway.log("configuration_reloaded").isEmpty })
        #expect(world.gateway.log("flags_refused").count == 1, "it is told once")
        #expect(world.gateway.log("configuration_reload_failed").count == 1, "it is told once")
      }
    }
  }
}
