import Harness
import JSON
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// A truncated answer must never look complete.
  @Suite struct Truth {
    static let framings: [Script.Framing] = [.chunked, .length(100_000)]
    static let cuts: [Script.End] = [.unterminated, .midChunk, .cut]

    static func cut(_ framing: Script.Framing, _ end: Script.End) -> Script {
      Script([
        .head(Script.Head(framing: framing)), .event("token", "1"), .event("token", "2"), .event("token", "3"),
        .pause(.milliseconds(20)), .finish(end),
      ])
    }

    @Test(arguments: framings, cuts)
    func `an upstream cut mid-answer is cut in legacy`(framing: Script.Framing, end: Script.End) async throws {
      try await World.with("legacy", Self.cut(framing, end)) { world in
        let result = await world.fetch()
        #expect(result.status == 200 && result.mode == "legacy")
        #expect(result.end == .truncated || result.end == .reset, "\(result.end)")
        #expect(result.payloads == ["1", "2", "3"])
        #expect(await world.outcomes() == ["upstream_truncated"])
        #expect(await world.gateway.metric("fermata_shadow_truncations_total") == 1)
      }
    }

    @Test(arguments: framings, cuts)
    func `an upstream cut mid-answer is truncated in graceful`(
      framing: Script.Framing, end: Script.End
    ) async throws {
      try await World.with("graceful", Self.cut(framing, end)) { world in
        let result = await world.fetchNew()
        #expect(result.end == .clean && result.mode == "graceful")
        #expect(result.payloads == ["1", "2", "3"])
        #expect(result.outcome == "upstream_truncated")
        #expect(result.streamEnd?["events"]?.integer == 3)
        let error = result.events.first { $0.type == "error" }
        #expect(error?.data.contains("upstream_truncated") == true)
        let count = await world.gateway.metric(
          "fermata_outcomes_total", ["mode": "graceful", "outcome": "upstream_truncated"])
        #expect(count == 1)
      }
    }

    @Test(arguments: cuts)
    func `an upstream cut mid-answer is cut in shield, with what was held back`(end: Script.End) async throws {
      let script = Script([
        .head(), .event("token", "1"), .event("complete", "2"), .event("trailing", "3"), .pause(.milliseconds(20)),
        .finish(end),
      ])
      try await World.with("shield", script) { world in
        let result = await world.fetch()
        #expect(result.end == .truncated || result.end == .reset)
        #expect(result.payloads == ["1", "3", "2"] && result.mode == "shield")
      }
    }

    @Test func `silence ends with idle_timeout in graceful and with a cut in legacy`() async throws {
      let script = Script([.head(), .event(nil, "1"), .stall])
      let settings = ["stream.idle": "300ms"]
      try await World.with("graceful", settings: settings, script) { world in
        let result = await world.fetchNew()
        #expect(result.outcome == "idle_timeout" && result.payloads == ["1"] && result.end == .clean)
        #expect(await eventually { world.backend.openRequests == 0 })
        let old = await world.fetch()
        #expect(old.mode == "legacy" && old.end != .clean && old.payloads == ["1"])
      }
    }

    @Test(arguments: ["legacy", "graceful"])
    func `one broken JSON event passes untouched`(variant: String) async throws {
      let payloads = ["{\"choices\":[{\"delta\":", "}{", "\\", "{\"a\":1}", "\u{7F}é\u{1F600}"]
      try await World.with(variant, .events(payloads)) { world in
        let result = await world.fetchNew()
        #expect(result.end == .clean && result.payloads == payloads)
      }
    }

    @Test func `a clean end without the dialect's terminal is incomplete, never completed`() async throws {
      let delta = "{\"choices\":[{\"delta\":{\"content\":\"x\"},\"finish_reason\":null}]}"
      try await World.with("graceful", .events([delta, delta])) { world in
        let result = await world.fetchNew()
        #expect(result.outcome == "incomplete" && result.end == .clean && result.payloads == [delta, delta])
      }
    }

    @Test(arguments: [
      ("data: [DONE]\n\n", "completed"),
      ("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n", "completed"),
      ("event: response.completed\ndata: {\"type\":\"response.completed\"}\n\n", "completed"),
      ("event: response.failed\ndata: {\"type\":\"response.failed\"}\n\n", "upstream_error"),
      ("event: complete\ndata: {}\n\n", "completed"), ("data: {\"type\":\"done\"}\n\n", "completed"),
      ("data: {\"error\":{\"message\":\"overloaded\"}}\n\n", "upstream_error"),
      ("event: error\ndata: {\"type\":\"error\"}\n\n", "upstream_error"),
    ])
    func `the outcome is what the dialect's last word says`(last: String, outcome: String) async throws {
      let script = Script([.head(), .event(nil, "{\"a\":1}"), .body(last), .end])
      try await World.with("graceful", script) { world in
        #expect(await world.fetchNew().outcome == outcome)
      }
    }

    @Test(arguments: ["data: x", "data: x\n", "data: x\n\n", "data: x\r", "data: x\r\n"])
    func `the last event survives a missing blank line`(ending: String) async throws {
      let script = Script([.head(), .event(nil, "1"), .body(ending), .end])
      try await World.with("graceful", script) { world in
        let new = await world.fetchNew()
        #expect(new.payloads == ["1", "x"] && new.streamEnd?["events"]?.integer == 2)
        let old = await world.fetch()
        #expect(old.text == "data: 1\n\n" + ending, "legacy is not touched")
        let counted = await world.gateway.metric("fermata_unterminated_final_event_total")
        #expect(counted == (ending == "data: x\n\n" ? 0 : 2))
      }
    }

    @Test func `stream_end is never swallowed by a half event, wherever it is cut`() async throws {
      let event = "id: 7\nevent: token\ndata: {\"a\":\"b\"}\n\n"
      let setup = World.Setup(variant: "graceful") { request in
        let offset = Int(request.query) ?? 0
        let part = Array(event.utf8.prefix(offset))
        return Script([.head(), .event(nil, "1"), .body(part), .pause(.milliseconds(5)), .finish(.unterminated)])
      }
      try await World.with(setup) { world in
        for offset in 0...event.utf8.count {
          let isWhole = offset == event.utf8.count
          let new = await world.fetchNew("/?\(offset)")
          #expect(new.outcome == "upstream_truncated" && new.end == .clean, "cut at \(offset)")
          #expect(new.payloads == (isWhole ? ["1", "{\"a\":\"b\"}"] : ["1"]), "cut at \(offset)")
          #expect(new.streamEnd?["partialEvent"]?.bool == (offset > 0 && !isWhole), "cut at \(offset)")
          let old = await world.fetch("/?\(offset)")
          #expect(old.end != .clean && old.text == "data: 1\n\n" + event.prefix(offset), "cut at \(offset)")
        }
      }
    }

    @Test func `an error behind a preamble is told, with everything before it`() async throws {
      let script = Script([
        .head(), .event("response.created", "{\"type\":\"response.created\"}"),
        .event("error", "{\"type\":\"error\",\"code\":\"overloaded\"}"), .end,
      ])
      try await World.with("graceful", script) { world in
        let new = await world.fetchNew()
        #expect(new.outcome == "upstream_error" && new.payloads.count == 2)
        #expect(new.events.count { $0.type == "error" } == 1, "what the backend said is not said twice")
        let old = await world.fetch()
        #expect(old.payloads.count == 2 && old.end == .clean)
      }
    }

    @Test(arguments: ["garbage\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/9.9 200 OK\r\n\r\n", ""])
    func `a malformed answer becomes 502 before the head is sent`(answer: String) async throws {
      try await World.with("graceful", .garbage(answer)) { world in
        let result = await world.fetchNew()
        #expect(result.status == 502 && result.end == .clean)
      }
    }

    @Test(arguments: ["zz\r\ndata: 2\n\n\r\n", "5 5\r\nabcde\r\n", "-1\r\n", "5\r\ndata: 2\n\n\r\n"])
    func `broken chunks of the backend are a visible cut`(chunk: String) async throws {
      let script = Script([.head(), .event(nil, "1"), .pause(.milliseconds(10)), .raw(chunk), .stall])
      try await World.with("graceful", script) { world in
        let new = await world.fetchNew()
        #expect(new.outcome == "upstream_truncated" && new.payloads == ["1"])
        let old = await world.fetch()
        #expect(old.end != .clean && old.payloads.first == "1")
      }
    }

    @Test func `a cut is visible to an HTTP/1.0 client too`() async throws {
      try await World.with("legacy", Self.cut(.chunked, .cut)) { world in
        let connection = try RawConnection(to: world.gateway.address)
        connection.send("GET / HTTP/1.0\r\nAccept: text/event-stream\r\n\r\n")
        let bytes = connection.rest()
        #expect(String(decoding: bytes, as: UTF8.self).contains("data: 3\n\n"))
        #expect(connection.end == .reset, "a close would look like the end")
      }
    }

    @Test func `plain answers that are cut stay cut`() async throws {
      let script = Script([
        .head(Script.Head(framing: .length(1000), fields: [.init("Content-Type", "application/json")])),
        .body("{\"half\":"), .pause(.milliseconds(10)), .finish(.unterminated),
      ])
      try await World.with("legacy", script) { world in
        let result = await world.fetch()
        #expect(result.end == .truncated || result.end == .reset)
        #expect(result.text == "{\"half\":")
      }
    }
  }
}
