import Harness
import JSON
import Processes
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// Taking the new closing back, by the flag file and by the operators' listener.
  @Suite struct Kill {
    /// Begins, waits until the test says so, and ends well.
    private static func setup(_ settings: [String: String] = [:]) -> World.Setup {
      World.Setup(variant: "graceful", settings: settings) { _ in
        Script([.head(), .event(nil, "1"), .pause(.milliseconds(900)), .event("complete", "2"), .end])
      }
    }

    private static func hardDocument(_ version: String) -> String {
      FlagFile.document("graceful", state: "DISABLED", version: version).replacing(
        "\"state\": \"DISABLED\",", with: "\"state\": \"DISABLED\", \"metadata\": { \"kill\": \"hard\" },")
    }

    @Test func `open streams keep their stream_end when the flag is killed, and it says what comes next`() async throws
    {
      try await World.with(Self.setup()) { world in
        let stream = world.openNew()
        #expect(await stream.receives("data: 1\n\n"))
        #expect(await world.setFlags(FlagFile.document("graceful", state: "DISABLED", version: "2"), version: "2"))
        let result = await stream.result()
        #expect(result.mode == "graceful" && result.end == .clean && result.outcome == "completed")
        #expect(result.streamEnd?["closing"] == "legacy-from-now-on")
        #expect(result.payloads == ["1", "2"])
        let next = await world.fetchNew()
        #expect(next.mode == "legacy" && next.streamEnd == nil)
      }
    }

    @Test func `a hard kill takes stream_end from open streams, with clean framing`() async throws {
      try await World.with(Self.setup()) { world in
        let stream = world.openNew()
        #expect(await stream.receives("data: 1\n\n"))
        #expect(await world.setFlags(Self.hardDocument("2"), version: "2"))
        let result = await stream.result()
        #expect(result.mode == "graceful" && result.end == .clean && result.streamEnd == nil)
        #expect(result.payloads == ["1", "2"])
        #expect(await world.gateway.metric("fermata_kill", ["source": "file"]) == 2)
      }
    }

    @Test func `tail says that nothing can be checked when stream_end was taken back`() async throws {
      try await World.with(Self.setup()) { world in
        async let tail = Task.detached {
          try Program.run(["tail", "http://\(world.gateway.address)/"])
        }.value
        #expect(await eventually { await world.gateway.metric("ai_stream_connections_active") == 1 })
        #expect(await world.gateway.ask("/kill?hard=1", method: "POST").status == 200)
        let run = try await tail
        #expect(run.exit == .code(6), "\(run.output) \(run.errors)")
        #expect(run.errors.contains("taken back"))
        #expect(await world.gateway.ask("/unkill", method: "POST").status == 200)
      }
    }

    @Test func `a kill by the operators' listener is in force at once, latched, shown, and lifted`() async throws {
      try await World.with(Self.setup()) { world in
        let stream = world.openNew()
        #expect(await stream.receives("data: 1\n\n"))
        let begun = world.clock
        let answer = await world.gateway.ask("/kill?reason=OPS%2D17%20now&actor=ann", method: "POST")
        #expect(await world.fetchNew().mode == "legacy")
        #expect(world.clock - begun < .seconds(3) + MachineDelay.since(begun))
        let document = try JSONValue(parsing: answer.body)
        #expect(answer.status == 200 && document["killed"] == true && document["inForce"] == true)
        #expect(document["workers"]?.integer == 2 && document["kept"] == true)
        #expect(document["kill"]?["reason"] == "OPS-17 now" && document["kill"]?["actor"] == "ann")
        let result = await stream.result()
        #expect(result.outcome == "completed" && result.streamEnd?["closing"] == "legacy-from-now-on")
        // The file may say what it likes.
        #expect(await world.setFlags(FlagFile.document("graceful", version: "2"), version: "2"))
        #expect(await world.fetchNew().mode == "legacy")
        let again = try JSONValue(parsing: await world.gateway.ask("/kill", method: "POST").body)
        #expect(again["alreadyApplied"] == true && again["kill"]?["actor"] == "ann")
        try await Self.expectShown(world)
        let lifted = try JSONValue(
          parsing: await world.gateway.ask("/unkill?reason=it%20is%20over&actor=ben", method: "POST").body)
        #expect(lifted["killed"] == false && lifted["effect"] == "configured")
        #expect(await world.fetchNew().mode == "graceful")
        #expect(world.gateway.log("killed").count == 1 && world.gateway.log("kill_lifted").count == 1)
        let line = world.gateway.log("kill_lifted").first
        #expect(line?["reason"] == "it is over" && line?["actor"] == "ben" && line?["byAnotherGateway"] == false)
      }
    }

    @Test func `a kill never weakens one that is in force`() async throws {
      try await World.with(World.Setup(variant: "graceful")) { world in
        func ask(_ path: String) async throws -> JSONValue {
          try JSONValue(parsing: await world.gateway.ask(path, method: "POST").body)
        }
        #expect(try await ask("/kill?hard=1&reason=leak")["kill"]?["hard"] == true)
        let again = try await ask("/kill?reason=softer&actor=ben")
        #expect(again["kill"]?["hard"] == true && again["kill"]?["reason"] == "leak")
        #expect(again["harderStays"] == true && again["toWeaken"] == "POST /unkill, then POST /kill")
        #expect(await world.gateway.metric("fermata_kill", ["source": "operator"]) == 2)
        #expect(await eventually { world.gateway.log("kill_stays").first?["reason"] == "softer" })
        _ = try await ask("/unkill")
        let soft = try await ask("/kill")
        #expect(soft["kill"]?["hard"] == false && soft["harderStays"] == nil)
        // The other way round it is what was asked for.
        #expect(try await ask("/kill?hard=False")["kill"]?["hard"] == false)
        for spelling in ["hard=1", "hard", "hard=Yes"] {
          #expect(try await ask("/kill?\(spelling)")["kill"]?["hard"] == true, "\(spelling)")
          _ = try await ask("/unkill")
        }
        #expect(try await ask("/kill?hard=true")["kill"]?["hard"] == true)
        #expect(await world.gateway.metric("fermata_kill", ["source": "operator"]) == 2)
      }
    }

    private static func expectShown(_ world: World) async throws {
      let ready = await world.gateway.ask("/readyz")
      #expect(ready.status == 200 && ready.text.contains("by POST /kill"))
      let flags = try await world.gateway.json("/flags")
      #expect(flags["killed"] == true && flags["kill"]?["operator"]?["reason"] == "OPS-17 now")
      #expect(flags["workers"]?.array?.allSatisfy { $0["effective"] == "legacy" } == true)
      #expect(await world.gateway.metric("fermata_kill", ["source": "operator"]) == 1)
      #expect(await world.gateway.metric("fermata_kill", ["source": "file"]) == 0)
    }

    @Test func `only POST kills, and no web page does`() async throws {
      try await World.with(World.Setup(variant: "graceful")) { world in
        #expect(await world.gateway.ask("/kill").status == 405)
        let page = [Script.Field("Origin", "http://127.0.0.1:3000")]
        #expect(await world.gateway.ask("/kill", fields: page, method: "POST").status == 403)
        #expect(await world.fetchNew("/?events=1&complete=done").mode == "graceful")
      }
    }

    @Test func `a kill outlives the process, in the service manager's state directory`() async throws {
      let state = try ScratchDirectory()
      let flags = try FlagFile("graceful")
      let backend = try ScriptedBackend.start(choose: ScriptedBackend.byQuery)
      let clients = try ClientLoop.start()
      for round in 0..<3 {
        let gateway = try await GatewayProcess.start(
          ["--upstream", backend.url, "--flags", flags.path], environment: ["STATE_DIRECTORY": state.path],
          clients: clients)
        let client = ClientRequest("GET", "/?events=1&complete=done", fields: [.prefersStreamEnd])
        #expect(await clients.fetch(client, from: gateway.address).mode == (round == 1 ? "legacy" : "graceful"))
        let path = round == 0 ? "/kill" : "/unkill"
        #expect(await gateway.ask(path, method: "POST").status == 200)
        #expect(gateway.log("kill_restored").count == (round == 1 ? 1 : 0))
        gateway.signal(9)
        _ = await gateway.exit(within: .seconds(5))
      }
      #expect(state.text("stream-closing.guard")?.contains("\"kill\":null") == true)
      // What can't be read may have been a kill.
      state.write("stream-closing.guard", "{\"kill\":")
      let last = try await GatewayProcess.start(
        ["--upstream", backend.url, "--flags", flags.path], environment: ["STATE_DIRECTORY": state.path],
        clients: clients)
      #expect(last.log("guard_state_unreadable").first?["file"] == .string(state["stream-closing.guard"]))
      last.signal(9)
      _ = await last.exit(within: .seconds(5))
      clients.stop()
      backend.stop()
    }

    @Test func `a state file that can't be written is told at the start, and a kill holds all the same`() async throws {
      let settings = ["flags.guardState": "/nonexistent/state"]
      try await World.with(World.Setup(variant: "graceful", settings: settings)) { world in
        #expect(world.gateway.log("guard_state_not_saved").count == 1)
        let ready = await world.gateway.ask("/readyz")
        #expect(ready.status == 200 && ready.text.contains("not_writable"))
        #expect(await world.gateway.metric("fermata_guard_state_writable") == 0)
        let answer = try JSONValue(parsing: await world.gateway.ask("/kill", method: "POST").body)
        #expect(answer["inForce"] == true && answer["kept"] == false)
        #expect(answer["keptFault"]?.string?.contains("/nonexistent/") == true)
        #expect(await world.fetchNew("/?events=1&complete=done").mode == "legacy")
      }
    }
  }
}
