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
  }
}
