import EventSamples
import Harness
import JSON
import RunningGateway
import Synchronization
import Testing
import Time

extension EndToEnd {
  /// Clients that go away: whatever a backend was doing for them ends at once, wherever it stood.
  @Suite struct Aborts {
    /// `a` and `b` may be asked as often as it takes; nothing here puts them out.
    private static func configuration(_ more: String = "") -> String {
      """
      {
        logLevel: "debug",
        defaults: {
          gate: "firstToken", budget: "60s", commitAfter: "0s", health: { failures: 0 },
          timeouts: { head: "30s", firstEvent: "30s", firstToken: "30s" },
        },
        upstreams: { a: { url: "UPSTREAM/a" }, b: { url: "UPSTREAM/b" } },
        stream: { dialect: "openai" },
        routes: [{ name: "chat", upstreams: ["a", "b"], \(more) }],
      }
      """
    }

    /// Where a client finds the backend when it leaves.
    private enum Place: Int, CaseIterable {
      /// The request's head is not complete.
      case halfHead
      /// The request's body is not complete, and a backend waits for it.
      case halfBody
      /// The first backend says nothing.
      case first
      /// The first one has failed, the second says nothing but its preamble.
      case second
      case stream

      func request(_ number: Int) -> ClientRequest {
        let wish: [Script.Field] = number % 2 == 0 ? [.acceptsEvents, .prefersStreamEnd] : [.acceptsEvents]
        let fields = wish + [Script.Field("X-Number", "\(number)")]
        switch self {
        case .halfHead: return .raw("POST /halfHead HTTP/1.1\r\nHost: x\r\nContent-Le")
        case .halfBody:
          return ClientRequest(
            "POST", "/halfBody", fields: fields + [.init("Content-Length", "100")], body: Array("{}".utf8))
        case .first, .second, .stream: return ClientRequest("POST", "/\(self)", fields: fields, body: Array("{}".utf8))
        }
      }
    }

    private static let script: @Sendable (RecordedRequest) -> Script = { request in
      let tokens = Script.Step.repeated(count: 10_000, interval: .milliseconds(5), [Waterfall.token("x")])
      switch request.path {
      case "/a/first", "/a/halfBody": return Script([.stall])
      case "/a/second": return .plain(status: 500, Array("no".utf8))
      case "/b/second": return Script([.head(), Waterfall.preamble, .stall])
      default: return Script([.head(), Waterfall.preamble, tokens, .end])
      }
    }

    /// Which clients' requests the backend has seen, at the place where they are to leave.
    private final class Arrivals: Sendable {
      private let numbers = Mutex<Set<Int>>([])

      func note(_ request: RecordedRequest) {
        guard request.path != "/a/second", let number = request.head.value("X-Number").flatMap({ Int($0) }) else {
          return
        }
        numbers.withLock { _ = $0.insert(number) }
      }

      func has(_ number: Int) -> Bool { numbers.withLock { $0.contains(number) } }
    }

    private static func setup(
      _ more: String = "", variant: String = "graceful", arrivals: Arrivals? = nil
    ) -> World.Setup {
      World.Setup(variant: variant, settings: ["workers": "1"], configuration: configuration(more)) { request in
        arrivals?.note(request)
        return script(request)
      }
    }

    /// One client that leaves within 60 ms: of its first step, or of its request's arrival at the backend. On a busy machine
    /// the first kind has hardly begun by then, and only the second finds the backend where it should.
    private static func leave(_ number: Int, _ world: World, _ arrivals: Arrivals) async {
      var random = SeededGenerator(seed: UInt64(number))
      let place = Place.allCases[number % Place.allCases.count]
      var behaviour = ClientBehaviour()
      behaviour.resets = Bool.random(using: &random)
      let stream = world.clients.open(place.request(number), from: world.gateway.address, behaviour: behaviour)
      if number / Place.allCases.count % 2 == 0, place.rawValue >= Place.first.rawValue {
        #expect(await eventually(within: .seconds(20)) { arrivals.has(number) }, "\(place) \(number)")
      }
      try? await Task.sleep(for: .microseconds(Int.random(in: 0...60_000, using: &random)))
      stream.hangUp()
    }

    @Test func `a thousand clients that leave at random moments leave nothing behind`() async throws {
      let arrivals = Arrivals()
      try await World.with(Self.setup(arrivals: arrivals)) { world in
        await withTaskGroup(of: Void.self) { group in
          for number in 0..<1000 {
            if number >= 40 { await group.next() }
            group.addTask { await Self.leave(number, world, arrivals) }
          }
        }
        #expect(await eventually(within: .seconds(10)) { world.backend.openRequests == 0 })
        #expect(await eventually { await world.gateway.metric("fermata_upstream_busy") == 0 })
        #expect(await eventually { await world.gateway.metric("ai_stream_clients_gauge") == 0 })
        let metrics = try await world.gateway.metrics()
        #expect(metrics.value("ai_stream_connections_active") == 0 && metrics.value("fermata_orphans_total") == 0)
        #expect(metrics.value("fermata_upstream_attempts_total", ["result": "client_gone"]) > 200)
        // Those who left are no fault of anybody: what is warned of is the backend that answers 500.
        let loud = world.gateway.log.filter { ["warning", "error"].contains($0["level"]?.string) }
        #expect(loud.allSatisfy { $0["event"]?.string == "attempt_failed" && $0["reason"]?.string == "status" })
        #expect(world.gateway.log("request_abandoned").allSatisfy { $0["level"]?.string == "debug" })
        #expect(!world.gateway.log("request_abandoned").isEmpty)
        for place in [Place.first, .second, .stream] {
          let name = place == .second ? "b" : "a"
          let asked = world.backend.requests.filter { $0.path == "/\(name)/\(place)" }
          #expect(asked.count > 50 && asked.allSatisfy { $0.peerClosedAt != nil }, "\(place): \(asked.count)")
        }
        // And the gateway serves as before.
        let stream = world.clients.open(Place.stream.request(0), from: world.gateway.address)
        #expect(await stream.receives("x"))
        stream.hangUp()
      }
    }

    @Test(arguments: ["first", "second", "stream"], [false, true])
    func `the backend's connection is closed within 50 ms of the client's`(
      place: String, resets: Bool
    ) async throws {
      try await World.with(Self.setup()) { world in
        var delays: [Double] = []
        for _ in 0..<15 {
          var behaviour = ClientBehaviour()
          behaviour.resets = resets
          let stream = world.openNew("/\(place)", behaviour: behaviour)
          let name = place == "second" ? "/b/" : "/a/"
          let isThere = await eventually {
            place == "stream"
              ? await stream.soFar().text.contains("x")
              : world.backend.requests.contains { $0.path == name + place && $0.peerClosedAt == nil }
          }
          #expect(isThere)
          stream.hangUp()
          let left = await stream.result().endedAt
          #expect(await eventually { world.backend.requests.last?.peerClosedAt != nil })
          guard let closed = world.backend.requests.last?.peerClosedAt else { continue }
          delays.append((closed - left).milliseconds)
        }
        // One of them may meet a busy machine; most of them do not.
        let sorted = delays.sorted()
        #expect(sorted.count == 15 && sorted[sorted.count / 2] < 50, "\(sorted)")
        #expect((sorted.last ?? .infinity) < 2000, "\(sorted)")
        print("abort: at \(place)", resets ? "by reset" : "by close", "after", sorted[sorted.count / 2], "ms")
      }
    }

    @Test(arguments: ["legacy", "graceful"])
    func `a client that only ends its sending side gets its stream from the second backend`(
      variant: String
    ) async throws {
      let setup = World.Setup(
        variant: variant, settings: ["workers": "1"], configuration: Self.configuration(#"timeouts: { head: "300ms" }"#)
      ) { request in request.path.hasPrefix("/a") ? Script([.stall]) : Waterfall.good("b") }
      try await World.with(setup) { world in
        var behaviour = ClientBehaviour()
        behaviour.halfCloses = true
        let result = await world.fetchNew("/x", behaviour: behaviour)
        #expect(result.status == 200 && result.end == .clean && result.mode == variant)
        #expect(result.payloads.count == 4 && result.payloads.last == "[DONE]")
        #expect(world.backend.requests.map(\.path) == ["/a/x", "/b/x"])
      }
    }

    @Test func `where half-closing means leaving, it does so in the waterfall too`() async throws {
      try await World.with(Self.setup(#"stream: { onHalfClose: "cancel" }"#)) { world in
        var behaviour = ClientBehaviour()
        behaviour.halfCloses = true
        let stream = world.openNew("/first", behaviour: behaviour)
        #expect(await eventually { world.backend.requests.first?.peerClosedAt != nil })
        #expect(await stream.result().end != .clean)
        #expect(world.backend.requests.count == 1)
      }
    }
  }
}
