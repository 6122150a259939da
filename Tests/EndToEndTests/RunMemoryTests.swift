import Harness
import Processes
import RunningGateway
import Testing
import Time

extension EndToEnd {
  @Suite struct RunMemory {
    @Test
    func `a thousand runs beyond the cap of all: memory stays bounded, each ends at its own limit or is not kept`()
      async throws
    {
      let block = String(repeating: "x", count: 9_990)
      // Twelve million bytes for each run, of which ten are allowed; all together may hold 64 MiB.
      let script = Script([.head(), .repeated(count: 1200, interval: .zero, [.event(nil, block)]), .end])
      let setup = RunWorld.setup(
        "{ onDisconnect: \"continue\" }", workers: 2,
        common: "{ memory: \"64MiB\", unread: 10000, unreadPerPrincipal: 10000 }", script: { _ in script })
      try await World.with(setup) { world in
        let before = try world.gateway.usage().residentBytes
        var peak = 0
        for _ in 0..<20 {
          await withTaskGroup(of: Void.self) { group in
            for _ in 0..<50 {
              group.addTask {
                // Leaves at once; the run goes on.
                _ = await world.fetchNew(behaviour: .hangingUp(at: ":ok"))
              }
            }
          }
          peak = max(peak, try world.gateway.usage().residentBytes)
        }
        #expect(await eventually(within: .seconds(60)) { await world.gateway.metric("fermata_runs_active") == 0 })
        peak = max(peak, try world.gateway.usage().residentBytes)
        let large = await world.gateway.metric("fermata_runs_total", ["outcome": "run_too_large"])
        let unkept = await world.gateway.metric("fermata_unkept_streams_total")
        #expect(large + unkept == 1000 && large > 0, "\(large) \(unkept)")
        #expect(await world.gateway.metric("fermata_run_log_bytes") <= 64 * 1024 * 1024)
        // What is beside the logs: connections, buffers, the allocator's own.
        #expect(peak - before < 64 * 1024 * 1024 + 96 * 1024 * 1024, "\(peak - before)")
      }
    }

    @Test func `runs that are over make room, the oldest first, on whichever loop they are`() async throws {
      let block = String(repeating: "x", count: 9_990)
      let script = Script([.head(), .repeated(count: 10, interval: .zero, [.event(nil, block)]), .end])
      let setup = RunWorld.setup(
        "{ onDisconnect: \"continue\" }", workers: 3, common: "{ memory: \"1MiB\" }", script: { _ in script })
      try await World.with(setup) { world in
        var streams: [String] = []
        for _ in 0..<60 {
          let result = await world.fetchNew()
          #expect(result.end == .clean && result.payloads.count == 10, "no run is cut for want of memory")
          streams.append(result.streamID ?? "")
          // What other loops have is asked for at most ten times a second.
          try await Task.sleep(for: .milliseconds(120))
        }
        #expect(await world.gateway.metric("fermata_run_log_bytes") <= 1024 * 1024)
        let last = await world.fetchNew("/fermata/streams/\(streams[59])")
        #expect(last.status == 200 && last.payloads.count == 10)
        #expect(await world.fetchNew("/fermata/streams/\(streams[0])").status == 404)
      }
    }

    /// What one client gets of four megabytes that come in one go, when another run has used up the memory of all.
    private func burst(_ variant: String, workers: Int, slow: Bool, readers: Int) async throws {
      let block = String(repeating: "x", count: 9_990)
      let rest = Script.Step.repeated(count: 400, interval: .zero, [.event(nil, block)])
      let setup = RunWorld.setup(
        "{ onDisconnect: \"continue\" }", variant: variant, workers: workers, common: "{ memory: \"2MiB\" }",
        script: { request in
          request.target.hasPrefix("/large")
            ? Script([.head(), .repeated(count: 300, interval: .zero, [.event(nil, block)]), .stall])
            : Script([.head(), .event(nil, "1"), .pause(.milliseconds(1500)), rest, .event(nil, "[DONE]"), .end])
        })
      try await World.with(setup) { world in
        var behaviour = ClientBehaviour()
        if slow { behaviour.readInterval = .milliseconds(3) }
        var clients: [LiveStream] = []
        if readers == 1 {
          clients = [world.openNew(behaviour: behaviour)]
        } else {
          let first = await world.fetchNew(behaviour: .hangingUp(at: "data: 1\n\n"))
          let path = "/fermata/streams/\(first.streamID ?? "")"
          for _ in 0..<readers { clients.append(world.openNew(path, behaviour: behaviour)) }
        }
        let large = world.open("/large", fields: [.acceptsEvents, .onDisconnect("cancel")])
        #expect(await eventually { await world.gateway.metric("fermata_run_log_bytes") > 1_800_000 })
        for client in clients {
          let result = await client.result()
          #expect(result.payloads.count == 402 && result.payloads.last == "[DONE]", "\(result.payloads.count)")
          #expect(result.end == .clean && !result.events.contains { $0.type == "stream_reset" })
        }
        // What was lent is given back.
        #expect(await world.gateway.metric("fermata_run_log_bytes") <= 2 * 1024 * 1024 + 16 * 1024)
        #expect(!large.isFinished)
        large.hangUp()
      }
    }

    @Test(arguments: ["legacy", "shield", "graceful"], [false, true])
    func `where the memory of all runs is used up, who reads along has every event all the same`(
      _ variant: String, _ slow: Bool
    ) async throws {
      try await burst(variant, workers: 1, slow: slow, readers: 1)
    }

    @Test func `so it is for several readers of a run, on whichever loop they are`() async throws {
      try await burst("graceful", workers: 3, slow: true, readers: 4)
    }
  }
}
