import Harness
import JSON
import Processes
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// Thousands of streams at once while one of two backends is bad, and when it is well again.
  ///
  /// `FERMATA_WATERFALL_STREAMS` (2000) says how many.
  @Suite struct ManyUpstreams {
    static let streams = Int(Host.environment["FERMATA_WATERFALL_STREAMS"] ?? "") ?? 2000

    private static let configuration = """
      {
        defaults: {
          gate: "firstToken", budget: "60s", commitAfter: "0s", health: { failures: 3, ejection: "1s", ejectionMax: "2s" },
          timeouts: { connect: "30s", head: "8s", firstEvent: "12s", firstToken: "12s" },
        },
        upstreams: { bad: { url: "UPSTREAM/bad" }, good: { url: "UPSTREAM/good" } },
        stream: { dialect: "openai", idle: "60s" },
        routes: [{ name: "chat", upstreams: [["bad", "good"]] }],
      }
      """

    /// Every way to fail in turn, by the number in the request's path.
    private static func fault(_ number: Int) -> Script {
      switch number % 5 {
      case 0: Script([.stall])
      case 1: Upstreams.busy
      case 2: Script([.finish(.cut)])
      case 3: Script([.head(), Waterfall.preamble, .pause(.milliseconds(50)), .event("error", "{}"), .stall])
      default: Script([.head(), Waterfall.preamble, .pause(.milliseconds(50)), .cut])
      }
    }

    /// The clients come in the first half of the time; the first streams last until the last ones are there.
    private static func script(_ request: RecordedRequest, count: Int, faults: Upstreams.Faults) -> Script {
      let words = request.path.split(separator: "/")
      if words.first == "bad", faults["bad"] != nil { return fault(Int(words.last ?? "") ?? 0) }
      let pause = Script.Step.pause(.milliseconds(500 + count / 4))
      let tokens = (1...4).flatMap { [Waterfall.token("\($0)"), pause] }
      return Script([.head(), Waterfall.preamble] + tokens + [.event(nil, "[DONE]"), .end])
    }

    private static func play(_ number: Int, _ world: World) async -> String? {
      var behaviour = ClientBehaviour()
      behaviour.timeout = .seconds(120)
      let target = "/\(number)"
      let isNew = number % 2 == 0
      let result =
        isNew
        ? await world.fetchNew(target, behaviour: behaviour) : await world.fetch(target, behaviour: behaviour)
      let contents = result.payloads.filter { $0.contains("content") }.count
      let isTold = !isNew || result.outcome == "completed"
      let isWhole = result.payloads.count == 6 && contents == 4 && result.payloads.last == "[DONE]"
      if result.status == 200, result.end == .clean, isWhole, isTold { return nil }
      return "\(number): \(result.status) \(result.end) \(result.outcome ?? "") \(result.payloads.count)"
    }

    private static func isAvailable(_ world: World) async -> Bool {
      await world.gateway.metric("fermata_upstream_state", ["upstream": "bad", "state": "available"]) == 2
    }

    @Test func `with one bad backend of two every client has its whole stream, and the bad one comes back`()
      async throws
    {
      let count = max(10, min(Self.streams, (Host.raiseDescriptorLimit() - 1000) / 2))
      let faults = Upstreams.Faults()
      faults["bad"] = Upstreams.busy
      let setup = World.Setup(variant: "graceful", configuration: Self.configuration) { request in
        Self.script(request, count: count, faults: faults)
      }
      try await World.with(setup) { world in
        let seesEjection = Task {
          await eventually {
            await world.gateway.metric("fermata_upstream_state", ["upstream": "bad", "state": "ejected"]) >= 1
          }
        }
        let wrong = await withTaskGroup(of: String?.self) { group in
          for number in 0..<count {
            group.addTask {
              // A millisecond each, so that they don't all come in the same moment.
              try? await Task.sleep(for: .milliseconds(number))
              if number == count * 3 / 4 { faults["bad"] = nil }
              return await Self.play(number, world)
            }
          }
          return await group.reduce(into: [String]()) { if let wrong = $1 { $0.append(wrong) } }
        }
        #expect(wrong.isEmpty, "\(wrong.count) of \(count): \(wrong.prefix(5))")
        #expect(await seesEjection.value)
        let bad = world.backend.requests.count { $0.path.hasPrefix("/bad") }
        // Being ejected spares nearly all of them the bad one.
        let failed = world.gateway.log("attempt_failed")
        #expect(!failed.isEmpty && failed.count < count / 4 && failed.allSatisfy { $0["upstream"]?.string == "bad" })
        #expect(await eventually { await Self.isAvailable(world) })
        let late = await withTaskGroup(of: String?.self) { group in
          for number in 0..<40 { group.addTask { await Self.play(number, world) } }
          return await group.reduce(into: 0) { if $1 == nil { $0 += 1 } }
        }
        #expect(late == 40)
        let metrics = try await world.gateway.metrics()
        let served = metrics.value("fermata_upstream_attempts_total", ["upstream": "bad", "result": "completed"])
        #expect(served > 0, "it serves again")
        #expect(await eventually { world.gateway.log("upstream_state").contains { $0["to"]?.string == "available" } })
        #expect(metrics.value("fermata_upstream_busy") == 0 && metrics.value("fermata_orphans_total") == 0)
        #expect(await eventually { world.backend.openRequests == 0 })
        print("waterfall: \(count) streams at once, \(failed.count) failed attempts,", terminator: " ")
        print("\(bad) requests to the bad backend, which served \(Int(served)) when it was well")
      }
    }
  }
}
