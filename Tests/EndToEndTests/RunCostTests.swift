import Harness
import JSON
import Processes
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// What kept runs cost: what is counted is what is held, and others' runs cost a request nothing.
  @Suite struct RunCost {
    private static let script = Script([
      .head(), .repeated(count: 10, interval: .zero, [.event(nil, "a short event")]), .event(nil, "[DONE]"), .end,
    ])

    /// Opens runs, one after the other on each of eight connections at a time.
    private static func open(_ count: Int, in world: World) async {
      await withTaskGroup(of: Int.self) { group in
        for lane in 0..<8 {
          group.addTask {
            var whole = 0
            for _ in 0..<count / 8 {
              let result = await world.fetchNew(fields: [.authorization("client \(lane)")])
              if result.streamEnd?["resumable"]?.bool == true { whole += 1 }
            }
            return whole
          }
        }
        let whole = await group.reduce(0, +)
        #expect(whole == count)
      }
    }

    private static func counted(_ world: World) async -> Double {
      await world.gateway.metric("fermata_run_log_bytes")
    }

    /// Time on a processor for a fixed number of requests that look for runs in every way, most of them in vain.
    private static func cost(_ world: World) async throws -> Double {
      let before = try world.gateway.usage().cpu
      for number in 0..<100 {
        let who = Script.Field.authorization("client \(number % 8)")
        _ = await world.fetchNew(fields: [who, .lastEventID("AAAAAAAAAAAAAAAAAAAAAA.\(number + 1)")])
        _ = await world.fetchNew(fields: [who, .lastEventID("own-\(number)"), .clientStream("\(number)")])
        _ = await world.fetchNew("/api/agents/run/\(number)", fields: [who])
        _ = await world.fetchNew("/fermata/streams/AAAAAAAAAAAAAAAAAAAAAA", fields: [who])
      }
      return (try world.gateway.usage().cpu - before).seconds
    }

    @Test func `thousands of short runs hold what they count, and make no request dearer`() async throws {
      let setup = RunWorld.setup(script: { _ in Self.script })
      try await World.with(setup) { world in
        // What a process takes once, tables and the allocator's first pages among it.
        await Self.open(800, in: world)
        let (few, held, count) = (
          try await Self.cost(world), try world.gateway.usage().residentBytes, await Self.counted(world)
        )
        await Self.open(8000, in: world)
        let (grown, more) = (try world.gateway.usage().residentBytes - held, await Self.counted(world) - count)
        let ratio = more / Double(grown)
        print("8000 runs: \(grown / 8000) bytes each are held, \(Int(more) / 8000) are counted, \(ratio)")
        #expect(ratio > 0.75 && ratio < 1.3, "\(ratio)")
        let many = try await Self.cost(world)
        print("400 requests: \(few) s with 800 runs, \(many) s with 8800")
        #expect(many < few * 2.5, "\(few) \(many)")
      }
    }
  }
}
