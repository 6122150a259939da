import Harness
import JSON
import Processes
import RunningGateway
import Synchronization
import Testing
import Time

extension EndToEnd {
  /// Thousands of streams at once with everything that goes wrong in the field, and nothing left behind.
  ///
  /// `FERMATA_SOAK_SECONDS` (20) and `FERMATA_SOAK_STREAMS` (5000) say how long and how many.
  @Suite struct Soak {
    static let seconds = Int(Host.environment["FERMATA_SOAK_SECONDS"] ?? "") ?? 20
    static let streams = Int(Host.environment["FERMATA_SOAK_STREAMS"] ?? "") ?? 5000

    static let configuration = """
      {
        upstreams: { main: { url: "UPSTREAM", idleTimeout: "500ms" } },
        routes: [{ name: "all", upstreams: ["main"], stream: { idle: "60s", firstToken: "60s" } }],
      }
      """

    /// A kind of stream that is met in the field, by its number.
    struct Kind {
      let target: String
      var fields: [Script.Field] = [.acceptsEvents]
      var behaviour = ClientBehaviour()
      /// The events that must come, when nothing goes wrong by intent.
      var events: Int?

      init(_ number: Int) {
        let events = 2 + number % 5
        let isNew = number % 2 == 0
        if isNew { fields.append(.prefersStreamEnd) }
        behaviour.timeout = .seconds(90)
        switch number % 10 {
        case 6:
          target = "/?events=\(events)&interval=1500&cut=\(events - 1)"
        case 7:
          target = "/?events=\(events)&interval=1500&stall=\(events)"
          behaviour.hangUpAt = Array("{\"n\":\(events)}".utf8)
          behaviour.resets = number % 20 == 7
        case 8:
          target = "/?events=20&size=4000&interval=100"
          behaviour.readInterval = .milliseconds(200)
          self.events = 20
        default:
          target = "/?events=\(events)&interval=1500&complete=done&trailing=1"
          self.events = events + 2
        }
      }

      /// What is wrong with `result`, if anything.
      func fault(in result: ClientResult) -> String? {
        guard let events else { return result.status == 200 ? nil : "\(target): \(result.status) \(result.end)" }
        let isWhole = result.end == .clean && result.backendEvents.count == events
        return isWhole ? nil : "\(target): \(result.end) with \(result.backendEvents.count) of \(events)"
      }
    }

    /// Keeps `count` streams open for `seconds`, and returns how many there were and what went wrong.
    static func run(_ world: World, streams count: Int, seconds: Int) async -> (total: Int, faults: [String]) {
      let end = world.clock + .seconds(seconds)
      return await withTaskGroup(of: (Int, [String]).self) { group in
        for first in 0..<count {
          group.addTask {
            var (number, faults) = (first, [String]())
            // The first ones don't all come in the same moment.
            try? await Task.sleep(for: .milliseconds(first % 2000))
            repeat {
              let kind = Kind(number)
              let result = await world.fetch(kind.target, fields: kind.fields, behaviour: kind.behaviour)
              if let fault = kind.fault(in: result) { faults.append(fault) }
              number += count
            } while world.clock < end
            return ((number - first) / count, faults)
          }
        }
        return await group.reduce(into: (0, [String]())) { sum, part in
          sum.0 += part.0
          sum.1 += part.1
        }
      }
    }

    /// Waits until nothing is open any more, and returns what the gateway uses then.
    static func settled(_ world: World, descriptors: Int) async throws -> ProcessUsage {
      _ = await eventually(within: .seconds(15)) {
        let usage = try? world.gateway.usage()
        let open = await world.gateway.metric("ai_stream_connections_active")
        return open == 0 && (usage?.descriptors ?? .max) <= descriptors + 1
      }
      world.backend.forgetRequests()
      return try world.gateway.usage()
    }

    @Test func `after thousands of streams with aborts, cuts and slow readers all is back to where it was`()
      async throws
    {
      let count = max(10, min(Self.streams, (Host.raiseDescriptorLimit() - 1000) / 2))
      let setup = World.Setup(variant: "graceful", configuration: Self.configuration)
      try await World.with(setup) { world in
        _ = await world.fetch("/?events=1&complete=done")
        let before = try await Self.settled(world, descriptors: 0)
        let (first, firstFaults) = await Self.run(world, streams: count, seconds: Self.seconds / 3)
        let between = try await Self.settled(world, descriptors: before.descriptors)
        let (second, secondFaults) = await Self.run(world, streams: count, seconds: Self.seconds - Self.seconds / 3)
        var after = try await Self.settled(world, descriptors: before.descriptors)
        // The first round's memory may have been given back by now, and the second's not yet.
        _ = await eventually(within: .seconds(60)) {
          after = (try? world.gateway.usage()) ?? after
          return after.residentBytes - between.residentBytes < 8 << 20
        }

        let faults = firstFaults + secondFaults
        #expect(faults.isEmpty, "\(faults.count) of \(first + second): \(faults.prefix(5))")
        #expect(after.descriptors <= before.descriptors + 1, "\(before.descriptors) became \(after.descriptors)")
        #expect(after.threads == before.threads)
        // The first round fills the allocator's pools; the second must find room in them.
        let growth = after.residentBytes - between.residentBytes
        #expect(growth < 8 << 20, "\(between.residentBytes) became \(after.residentBytes)")
        let metrics = try await world.gateway.metrics()
        #expect(metrics.value("ai_stream_connections_active") == 0 && metrics.value("fermata_orphans_total") == 0)
        let opened = metrics.value("fermata_streams_total")
        #expect(opened == metrics.value("fermata_outcomes_total") && Int(opened) == first + second + 1)
        #expect(await eventually { world.backend.openRequests == 0 })
        print("soak: \(first + second) streams, \(count) at once; resident", terminator: " ")
        print(before.residentBytes >> 20, between.residentBytes >> 20, after.residentBytes >> 20, "MiB")
      }
    }

    @Test func `memory that many connections took is given back when they have left`() async throws {
      try await Transport.http2.carry {
        let script = Script([.head(), .event(nil, "1"), .pause(.seconds(3)), .event(nil, "[DONE]"), .end])
        try await World.with(World.Setup(settings: ["workers": "1"], script: { _ in script })) { world in
          _ = await world.fetch()
          let before = try world.gateway.usage().residentBytes
          await withTaskGroup(of: Void.self) { group in
            for _ in 0..<1000 {
              group.addTask { #expect(await world.fetch().payloads.last == "[DONE]") }
            }
          }
          let full = try world.gateway.usage().residentBytes
          #expect(full - before > 8 << 20, "\(before) became \(full)")
          var after = full
          _ = await eventually(within: .seconds(60)) {
            after = (try? world.gateway.usage().residentBytes) ?? after
            return after - before < (full - before) / 2
          }
          #expect(after - before < (full - before) / 2, "\(before) became \(full), then \(after)")
        }
      }
    }
  }
}
