import Harness
import JSON
import Processes
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// The flag file, edited while the gateway runs.
  @Suite struct Flags {
    static let script = Script([.head(), .event(nil, "1"), .event("complete", "2"), .end])

    @Test func `an edit switches new streams at once, and open ones keep their mode`() async throws {
      let setup = World.Setup { request in
        request.path == "/long"
          ? Script([.head(), .event(nil, "1"), .pause(.milliseconds(800)), .event("complete", "2"), .end]) : Self.script
      }
      try await World.with(setup) { world in
        let old = world.openNew("/long")
        #expect(await old.receives("data: 1\n\n"))
        let start = world.clock
        world.flags.replace(FlagFile.document("graceful", version: "2"))
        #expect(await world.usesFlags("2", within: .seconds(1)))
        let took = world.clock - start
        #expect(took < .milliseconds(300) + MachineDelay.since(start), "it took \(took)")
        #expect(await world.fetchNew().mode == "graceful")
        let result = await old.result()
        #expect(result.mode == "legacy" && result.text == "data: 1\n\nevent: complete\ndata: 2\n\n")
        #expect(await world.setFlags(FlagFile.document("shield", version: "3"), version: "3"))
        #expect(await world.fetch().mode == "shield")
      }
    }

    @Test func `a disabled flag is legacy for everybody`() async throws {
      try await World.with("graceful", Self.script) { world in
        let document = FlagFile.document("graceful", state: "DISABLED", version: "2")
        #expect(await world.setFlags(document, version: "2"))
        #expect(await world.fetchNew().mode == "legacy")
        let flags = try await world.gateway.json("/flags")
        #expect(flags["killed"]?.bool == true)
      }
    }

    @Test func `targeting chooses by capability, version and fraction`() async throws {
      let rule = """
        { "if": [
          { "sem_ver": [ { "var": "version" }, ">=", "3.0.0" ] }, "graceful",
          { "==": [ { "var": "capability" }, "stream_end" ] },
          { "fractional": [ ["graceful", 50], ["legacy", 50] ] },
          "shield" ] }
        """
      let settings = ["identity.header": "X-User"]
      try await World.with("legacy", settings: settings, Self.script) { world in
        let document = FlagFile.document("legacy", targeting: rule, version: "2")
        #expect(await world.setFlags(document, version: "2"))
        let versioned = await world.fetchNew(fields: [.init("X-Client-Version", "3.1.0")])
        #expect(versioned.mode == "graceful")
        #expect(await world.fetch().mode == "shield")
        var modes: [String: Int] = [:]
        for user in 0..<60 {
          let fields = [Script.Field("X-User", "user-\(user)")]
          let first = await world.fetchNew(fields: fields).mode ?? ""
          let second = await world.fetchNew(fields: fields).mode ?? ""
          #expect(first == second, "the same client always gets the same")
          modes[first, default: 0] += 1
        }
        #expect(modes["graceful", default: 0] > 10 && modes["legacy", default: 0] > 10, "\(modes)")
      }
    }

    @Test(arguments: [
      ("garbage", "not json at all {"), ("half a file", String(FlagFile.document("graceful").prefix(120))),
      ("an empty file", ""), ("another flag", "{\"flags\":{\"other\":{\"state\":\"ENABLED\",\"variants\":{}}}}"),
      ("a variant that is not there", FlagFile.document("nonsense")),
      ("a bad rule", FlagFile.document("graceful", targeting: "{\"fractional\":", version: "9")),
    ])
    func `what is wrong never takes effect, and is told`(name: String, text: String) async throws {
      try await World.with("graceful", Self.script) { world in
        world.flags.replace(text)
        #expect(await eventually { !world.gateway.log("flags_refused").isEmpty }, "\(name)")
        #expect(world.gateway.log("flags_refused").last?["reason"]?.string?.isEmpty == false)
        #expect(await world.fetchNew().mode == "graceful", "the last good one is kept")
        let flags = try await world.gateway.json("/flags")
        #expect(flags["fault"]?.string?.isEmpty == false && flags["version"]?.string == "1")
        #expect(await world.gateway.metric("fermata_flag_load_failures_total") >= 1)
        #expect(await world.setFlags(FlagFile.document("legacy", version: "2"), version: "2"))
        let mended = try await world.gateway.json("/flags")
        #expect(mended["fault"]?.isNull == true)
      }
    }

    @Test func `a deleted file changes nothing until there is one again`() async throws {
      try await World.with("graceful", Self.script) { world in
        world.flags.delete()
        #expect(await eventually { !world.gateway.log("flags_refused").isEmpty })
        #expect(await world.fetchNew().mode == "graceful")
        #expect(await world.setFlags(FlagFile.document("legacy", version: "2"), version: "2"))
        #expect(await world.fetchNew().mode == "legacy")
      }
    }

    @Test func `an edit in place takes effect too`() async throws {
      try await World.with("graceful", Self.script) { world in
        world.flags.write(FlagFile.document("legacy", version: "2"))
        #expect(await world.usesFlags("2"))
      }
    }

    @Test func `a Kubernetes volume is followed through its data link`() async throws {
      let volume = try ScratchDirectory()
      volume.makeDirectory("v1")
      volume.write("v1/flags.json", FlagFile.document("legacy", version: "1"))
      volume.link("..data", to: "v1")
      volume.link("flags.json", to: "..data/flags.json")
      try await World.with(World.Setup(settings: ["flags.startWithout": "true"])) { world in
        let gateway = try await GatewayProcess.start(
          ["--upstream", world.backend.url, "--flags", volume["flags.json"]], clients: world.clients)
        let client = ClientRequest("GET", "/?events=1&done=1", fields: [.prefersStreamEnd])
        #expect(await world.clients.fetch(client, from: gateway.address).mode == "legacy")
        volume.makeDirectory("v2")
        volume.write("v2/flags.json", FlagFile.document("graceful", version: "2"))
        volume.link("..data", to: "v2")
        let follows = await eventually(within: .seconds(2)) {
          await world.clients.fetch(client, from: gateway.address).mode == "graceful"
        }
        #expect(follows)
        gateway.signal(15)
        #expect(await gateway.exit(within: .seconds(5)) == .code(0))
      }
    }

    @Test func `without a usable file the program does not start, unless it is told to`() async throws {
      let nowhere = ["serve", "--upstream", "http://127.0.0.1:9", "--flags", "/nonexistent/flags.json"]
      let listeners = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
      let refused = try Program.run(nowhere + listeners)
      #expect(refused.exit != .code(0) && refused.errors.contains("/nonexistent/flags.json"))
      let clients = try ClientLoop.start()
      let started = try await GatewayProcess.start(
        ["--upstream", "http://127.0.0.1:9", "--flags", "/nonexistent/flags.json"],
        environment: ["FERMATA_FLAGS_START_WITHOUT": "true"], clients: clients)
      let flags = try await started.json("/flags")
      #expect(flags["version"]?.string == "built-in")
      started.signal(15)
      #expect(await started.exit(within: .seconds(5)) == .code(0))
      clients.stop()
    }

    @Test func `without a file everybody gets the default of the configuration`() async throws {
      let clients = try ClientLoop.start()
      let backend = try ScriptedBackend.start(choose: ScriptedBackend.byQuery)
      let gateway = try await GatewayProcess.start(
        ["--upstream", backend.url], environment: ["FERMATA_FLAGS_DEFAULT": "graceful"], clients: clients)
      let client = ClientRequest("GET", "/?events=1&done=1", fields: [.prefersStreamEnd])
      #expect(await clients.fetch(client, from: gateway.address).mode == "graceful")
      #expect(await gateway.ask("/kill", method: "POST").status == 200)
      #expect(await clients.fetch(client, from: gateway.address).mode == "legacy")
      gateway.signal(15)
      #expect(await gateway.exit(within: .seconds(5)) == .code(0))
      clients.stop()
      backend.stop()
    }
  }
}
