import Harness
import JSON
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// Several backends for one request: the client gets a good stream from the first that can give one, or is told
  /// clearly that there is none.
  @Suite struct Waterfall {
    /// Three backends, told apart by their paths; `closed` is a port at which nobody listens.
    static func configuration(_ upstreams: String = #"["a", "b", "c"]"#, _ more: String = "") -> String {
      """
      {
        defaults: { gate: "firstToken", budget: "4s", timeouts: { connect: "500ms", head: "300ms", firstEvent: "500ms", firstToken: "600ms" } },
        upstreams: {
          a: { url: "UPSTREAM/a", health: { failures: 3, ejection: "700ms" } }, b: { url: "UPSTREAM/b" }, c: { url: "UPSTREAM/c" },
          closed: { url: "http://127.0.0.1:1", health: { failures: 0 } },
        },
        stream: { dialect: "openai" },
        routes: [{ name: "chat", upstreams: \(upstreams), \(more) }],
      }
      """
    }

    static let preamble = Script.Step.event(nil, #"{"choices":[{"delta":{"role":"assistant"}}]}"#)

    static func token(_ text: String) -> Script.Step {
      .event(nil, #"{"choices":[{"delta":{"content":"\#(text)"}}]}"#)
    }

    static func good(_ name: String) -> Script {
      Script([.head(), preamble, .pause(.milliseconds(10)), token(name), token("end"), .event(nil, "[DONE]"), .end])
    }

    /// What the backend `name` does; all others are good.
    static func setup(
      _ faults: [String: Script], variant: String = "graceful", configuration: String = configuration()
    ) -> World.Setup {
      World.Setup(variant: variant, settings: ["workers": "1"], configuration: configuration) { request in
        let name = String(request.path.dropFirst().prefix { $0 != "/" })
        return faults[name] ?? good(name)
      }
    }

    /// How a backend can fail before its answer is good, and what the report calls it.
    struct Fault: CustomTestStringConvertible, Sendable {
      let reason: String
      let phase: String
      let script: Script
      var testDescription: String { "\(reason) at \(phase)" }
    }

    static func status(_ status: Int) -> Fault {
      Fault(reason: "status", phase: "head", script: .plain(status: status, Array("no".utf8)))
    }

    static let faults: [Fault] = [
      status(408), status(425), status(429), status(500), status(502), status(503), status(504),
      Fault(reason: "timed_out", phase: "head", script: Script([.stall])),
      Fault(reason: "cut", phase: "head", script: Script([.finish(.cut)])),
      Fault(reason: "cut", phase: "head", script: .garbage("")),
      Fault(reason: "malformed", phase: "head", script: .garbage("nonsense\r\n\r\n")),
      Fault(reason: "wrong_content_type", phase: "head", script: .plain(type: "text/html", Array("<p>".utf8))),
      Fault(
        reason: "empty_body", phase: "head",
        script: Script([.head(Script.Head(framing: .length(0))), .end])),
      Fault(reason: "empty_body", phase: "first_event", script: Script([.head(), .end])),
      Fault(reason: "timed_out", phase: "first_event", script: Script([.head(), .comment("soon"), .stall])),
      Fault(reason: "cut", phase: "first_event", script: Script([.head(), .comment("soon"), .cut])),
      Fault(
        reason: "error_event", phase: "first_event",
        script: Script([.head(), .event(nil, #"{"error":{"message":"overloaded"}}"#), .end])),
      Fault(
        reason: "error_event", phase: "first_event",
        script: Script([.head(), .body(#"{"error":{"message":"a body that is no event stream"}}"#), .end])),
      Fault(
        reason: "error_event", phase: "first_token",
        script: Script([
          .head(), preamble, .pause(.milliseconds(10)), .event("error", #"{"error":{"message":"no"}}"#), .stall,
        ])),
      Fault(reason: "timed_out", phase: "first_token", script: Script([.head(), preamble, .stall])),
      Fault(
        reason: "cut", phase: "first_token", script: Script([.head(), preamble, .pause(.milliseconds(10)), .cut])),
      Fault(
        reason: "malformed", phase: "first_token",
        script: Script([.head(), preamble, .pause(.milliseconds(10)), .raw("zz\r\n"), .stall])),
    ]

    @Test(arguments: faults, ["legacy", "graceful"])
    func `a fault before the first content is another backend's turn, and the client sees none of it`(
      fault: Fault, variant: String
    ) async throws {
      try await World.with(Self.setup(["a": fault.script], variant: variant)) { world in
        // The second request finds a kept connection where the first one left it.
        for _ in 0..<2 {
          let result = await world.fetchNew("/v1/chat/completions")
          #expect(result.status == 200 && result.end == .clean)
          #expect(result.payloads.map { $0.contains(#""a""#) } == [false, false, false, false])
          #expect(result.payloads.last == "[DONE]" && result.payloads.count == 4)
          if variant == "graceful" { #expect(result.outcome == "completed") }
        }
        let isTold = await eventually {
          let log = world.gateway.logText
          return log.contains("\"reason\":\"\(fault.reason)\"") && log.contains("\"phase\":\"\(fault.phase)\"")
        }
        #expect(isTold, "\(world.gateway.logText)")
        #expect(world.backend.requests.filter { $0.path.hasPrefix("/c") }.isEmpty)
      }
    }

    @Test(arguments: [400, 401, 403, 404, 409, 422, 451])
    func `what the client is to blame for passes as it is, and nobody else is asked`(status: Int) async throws {
      let answer = Script.plain(status: status, type: "application/json", Array(#"{"error":"yours"}"#.utf8))
      try await World.with(Self.setup(["a": answer])) { world in
        let result = await world.fetchNew("/x")
        #expect(result.status == status && result.text == #"{"error":"yours"}"#)
        #expect(world.backend.requests.count == 1)
      }
    }

    @Test func `when nobody is left the answer lists every attempt`() async throws {
      let faults = [
        "a": Script([.head(), Self.preamble, .event("error", #"{"error":{}}"#), .end]),
        "b": Script([
          .head(Script.Head(status: 503, framing: .length(nil), fields: [.init("Retry-After", "7")])), .body("busy"),
          .end,
        ]),
      ]
      let configuration = Self.configuration(#"["closed", "a", "b"]"#)
      try await World.with(Self.setup(faults, configuration: configuration)) { world in
        let result = await world.fetchNew("/x")
        #expect(result.status == 503 && result.end == .clean)
        #expect(result.head.value("Content-Type") == "application/problem+json")
        #expect(result.head.value("Retry-After") == "7")
        let problem = try JSONValue(parsing: result.text)
        let attempts = try #require(problem["attempts"]?.array)
        #expect(attempts.map { $0["upstream"]?.string } == ["closed", "a", "b"])
        #expect(attempts.map { $0["phase"]?.string } == ["connect", "first_token", "head"])
        #expect(attempts.map { $0["reason"]?.string } == ["connect_failed", "error_event", "status"])
        #expect(attempts.last?["status"]?.integer == 503)
        #expect(attempts.allSatisfy { $0["milliseconds"]?.integer != nil })
        #expect(problem["status"]?.integer == 503 && problem["code"]?.string == "upstreams_exhausted")
      }
    }

    @Test func `a request's body is sent again, and one that is too large to be kept is sent once`() async throws {
      let configuration = Self.configuration(#"["a", "b"]"#, #"replayLimit: "64KiB""#)
      let faults = ["a": Script.plain(status: 500, Array("no".utf8))]
      try await World.with(Self.setup(faults, configuration: configuration)) { world in
        let small = Array(#"{"stream":true,"x":"\#(String(repeating: "y", count: 60_000))"}"#.utf8)
        #expect(await world.send(ClientRequest("POST", "/x", body: small)).status == 200)
        #expect(world.backend.requests.map(\.body) == [small, small])
        let large = [UInt8](repeating: 0x20, count: 70_000)
        #expect(await world.send(ClientRequest("POST", "/x", body: large)).status == 503)
        #expect(world.backend.requests.count == 3)
      }
    }

    @Test func `each attempt has its own time, and the last one what is left`() async throws {
      let slow = Script([.pause(.seconds(1)), .head(), Self.token("slow"), .event(nil, "[DONE]"), .end])
      try await World.with(Self.setup(["a": slow, "b": slow, "c": slow])) { world in
        let result = await world.fetchNew("/x")
        // 300 ms, 300 ms, and then as long as it takes.
        #expect(result.status == 200 && result.outcome == "completed")
        #expect(result.payloads.first?.contains("slow") == true)
        #expect(world.backend.requests.count == 3)
      }
    }

    @Test func `a stream that takes long to find is opened meanwhile and kept alive`() async throws {
      let configuration = Self.configuration(
        #"["a", "b"]"#, #"commitAfter: "200ms", timeouts: { head: "900ms" }, stream: { keepalive: "150ms" }"#)
      try await World.with(Self.setup(["a": Script([.stall])], configuration: configuration)) { world in
        let result = await world.fetchNew("/x")
        #expect(result.status == 200 && result.mode == "graceful" && result.outcome == "completed")
        #expect(result.payloads.count == 4)
        #expect(result.text.hasPrefix(":ok\n:\n"))
        // An old client is told nothing before there is something to tell.
        let old = await world.fetch("/x")
        #expect(old.mode == "legacy" && old.text.hasPrefix("data:"))
      }
    }

    @Test func `what fails after the opening is told in-band`() async throws {
      let configuration = Self.configuration(#"["a", "b"]"#, #"commitAfter: "100ms""#)
      let faults = ["a": Script([.stall]), "b": Script.plain(status: 401, Array("no".utf8))]
      try await World.with(Self.setup(faults, configuration: configuration)) { world in
        let result = await world.fetchNew("/x")
        #expect(result.status == 200 && result.end == .clean)
        #expect(result.outcome == "upstream_error" && result.payloads.isEmpty)
      }
    }

    @Test(arguments: ["legacy", "graceful"])
    func `after the opening nobody else is asked: a cut is told or shown`(variant: String) async throws {
      let cut = Script([.head(), Self.preamble, Self.token("1"), .pause(.milliseconds(20)), .cut])
      try await World.with(Self.setup(["a": cut], variant: variant)) { world in
        let result = await world.fetchNew("/x")
        #expect(result.payloads.count == 2 && world.backend.requests.count == 1)
        if variant == "graceful" {
          #expect(result.end == .clean && result.outcome == "upstream_truncated")
        } else {
          #expect(result.end == .truncated || result.end == .reset)
        }
      }
    }

    @Test func `an error body inside a stream that is open is an error`() async throws {
      let script = Script([.head(), Self.token("1"), .body(#"{"error":{"message":"quota"}}"#), .end])
      try await World.with(Self.setup(["a": script])) { world in
        #expect(await world.fetchNew("/x").outcome == "upstream_error")
      }
    }

    @Test func `a request that asks for no stream goes the same way`() async throws {
      let answer = Script.plain(type: "application/json", Array(#"{"choices":[]}"#.utf8))
      let faults = ["a": Script.plain(status: 500, Array("no".utf8)), "b": answer]
      try await World.with(Self.setup(faults)) { world in
        let result = await world.send(ClientRequest("POST", "/x", body: Array(#"{"stream":false}"#.utf8)))
        #expect(result.status == 200 && result.text == #"{"choices":[]}"#)
      }
    }

    @Test func `a backend that asks to be left alone is left alone`() async throws {
      let busy = Script([
        .head(Script.Head(status: 429, framing: .length(nil), fields: [.init("Retry-After", "1")])), .body("busy"),
        .end,
      ])
      try await World.with(Self.setup(["a": busy])) { world in
        for _ in 0..<3 { #expect(await world.fetchNew("/x").status == 200) }
        #expect(world.backend.requests.count { $0.path.hasPrefix("/a") } == 1)
        let states = await Self.states(world)
        #expect(states["a"] == "cooling_down" && states["b"] == "available")
        try await Task.sleep(for: .milliseconds(1100))
        #expect(await world.fetchNew("/x").status == 200)
        #expect(world.backend.requests.count { $0.path.hasPrefix("/a") } == 2)
      }
    }

    static func states(_ world: World) async -> [String: String] {
      let all = (try? await world.gateway.json("/upstreams"))?["upstreams"]?.array ?? []
      return Dictionary(
        all.compactMap { upstream in
          guard let name = upstream["name"]?.string else { return nil }
          // The worst that a worker says.
          let states = upstream["workers"]?.array?.compactMap { $0["state"]?.string } ?? []
          return (name, states.first { $0 != "available" } ?? "available")
        }, uniquingKeysWith: { first, _ in first })
    }

    @Test func `the first token in the metrics is the first that bears content`() async throws {
      let script = Script([
        .head(), Self.preamble, .pause(.milliseconds(300)), Self.token("late"), .event(nil, "[DONE]"), .end,
      ])
      try await World.with(Self.setup(["a": script])) { world in
        _ = await world.fetchNew("/x")
        #expect(await world.outcomes() == ["completed"])
        func sum(_ phase: String) async -> Double {
          1000 * (await world.gateway.metric("fermata_upstream_phase_seconds_sum", ["upstream": "a", "phase": phase]))
        }
        #expect(await sum("first_event") < 200)
        #expect(await sum("first_token") >= 290)
        #expect(await sum("last_event") >= 290)
      }
    }
  }
}
