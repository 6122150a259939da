import Glibc
import Harness
import JSON
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// The waterfall's rarer ways: streams opened early for old clients, dates in `Retry-After`, names without addresses.
  @Suite struct WaterfallEdges {
    private static let early =
      #"commitAfter: "200ms", commitInLegacy: true, timeouts: { head: "1500ms", firstEvent: "3s", firstToken: "3s" }"#

    @Test func `where the route says so an old client's stream is opened early too`() async throws {
      let configuration = Waterfall.configuration(#"["a", "b"]"#, Self.early)
      let setup = Waterfall.setup(["a": Script([.stall])], variant: "legacy", configuration: configuration)
      try await World.with(setup) { world in
        let result = await world.fetch("/x")
        #expect(result.status == 200 && result.mode == "legacy" && result.end == .clean)
        #expect(result.payloads.count == 4 && result.payloads.last == "[DONE]")
        let head = try #require(result.headAt)
        // The good response came 1.5 s after the request at the earliest.
        let late = MachineDelay.since(result.startedAt)
        #expect(head - result.startedAt < .milliseconds(1200) + late && (result.endedAt - head).milliseconds > 300)
        #expect(await world.outcomes() == ["completed"])
      }
    }

    @Test func `and what fails then is a cut that it can see`() async throws {
      let configuration = Waterfall.configuration(#"["a", "b"]"#, Self.early)
      let faults = ["a": Script([.stall]), "b": Upstreams.busy]
      try await World.with(Waterfall.setup(faults, variant: "legacy", configuration: configuration)) { world in
        let result = await world.fetch("/x")
        #expect(result.status == 200 && result.mode == "legacy" && result.payloads.isEmpty)
        #expect(result.end == .truncated || result.end == .reset, "\(result.end)")
        #expect(await world.outcomes() == ["upstream_error"])
        #expect(world.gateway.log("request_done").first?["level"]?.string == "warning")
      }
    }

    @Test func `a backend's own shorter limit holds when it is not the first that is asked`() async throws {
      let configuration = Waterfall.configuration(
        #"["a", "b", "c"]"#, #"budget: "30s", timeouts: { head: "9s", firstEvent: "9s", firstToken: "9s" }"#
      ).replacing(#"b: { url: "UPSTREAM/b" }"#, with: #"b: { url: "UPSTREAM/b", timeouts: { head: "300ms" } }"#)
      let late = Script([.pause(.milliseconds(500)), .head(.init(status: 503, framing: .length(nil))), .end])
      let faults = ["a": late, "b": Script([.stall])]
      try await World.with(Waterfall.setup(faults, configuration: configuration)) { world in
        let result = await world.fetchNew("/x")
        #expect(result.status == 200 && result.outcome == "completed")
        #expect(await eventually { world.gateway.log("attempt_failed").count == 2 })
        let failure = world.gateway.log("attempt_failed").last
        let time = failure?["milliseconds"]?.integer ?? 0
        #expect(failure?["upstream"]?.string == "b" && time >= 300 && time < 3000, "\(time)")
      }
    }

    /// The form of RFC 9110, 5.6.7.
    private static func date(secondsFromNow seconds: Int) -> String {
      var moment = time(nil) + seconds
      var parts = tm()
      gmtime_r(&moment, &parts)
      var text = [CChar](repeating: 0, count: 40)
      let count = strftime(&text, text.count, "%a, %d %b %Y %H:%M:%S GMT", &parts)
      return String(decoding: text.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private static func busy(until date: String) -> Script {
      let head = Script.Head(status: 503, framing: .length(nil), fields: [.init("Retry-After", date)])
      return Script([.head(head), .body("busy"), .end])
    }

    @Test func `a date in Retry-After is a time to wait, and one that has passed is none`() async throws {
      let faults = Upstreams.Faults()
      faults["a"] = Self.busy(until: Self.date(secondsFromNow: 20))
      faults["b"] = Self.busy(until: Self.date(secondsFromNow: -20))
      try await World.with(Upstreams.setup(faults, health: "failures: 0")) { world in
        let result = await world.fetchNew("/x")
        // The shorter time of both, and at least a second.
        #expect(result.status == 503 && result.head.value("Retry-After") == "1")
        let report = await Upstreams.report("a", world)
        #expect(report["state"]?.string == "cooling_down")
        let left = report["comesBackInMilliseconds"]?.integer ?? 0
        #expect(left > 5_000 && left <= 20_000, "\(left)")
        #expect(await Upstreams.state("b", world) == "available")
        faults["b"] = nil
        await Upstreams.succeed(world)
        #expect(Upstreams.asked("a", world) == 1)
      }
    }

    @Test func `a name without an address is a failed connection, and somebody else's turn`() async throws {
      // Too long a label: no name server need be asked.
      let name = String(repeating: "n", count: 64) + ".example"
      let configuration = """
        {
          upstreams: { nowhere: { url: "http://\(name)" }, good: { url: "UPSTREAM" } },
          routes: [
            { name: "two", path: "/two", upstreams: ["nowhere", "good"] },
            { name: "one", path: "/one", upstreams: ["nowhere"], gate: "firstEvent" },
          ],
        }
        """
      let setup = World.Setup(variant: "graceful", settings: ["workers": "1"], configuration: configuration) { _ in
        Script([.head(), .event("token", "1"), .event("complete", "{}"), .end])
      }
      try await World.with(setup) { world in
        let result = await world.fetchNew("/two")
        #expect(result.status == 200 && result.payloads == ["1", "{}"])
        let refused = await world.fetchNew("/one")
        #expect(refused.status == 503)
        let attempt = try JSONValue(parsing: refused.text)["attempts"]?.array?.first
        #expect(attempt?["phase"]?.string == "connect" && attempt?["reason"]?.string == "connect_failed")
        #expect(await eventually { world.gateway.failedAttempts.count == 2 })
        #expect(world.gateway.log("attempt_failed").first?["detail"]?.string?.contains(name) == true)
      }
    }
  }
}
