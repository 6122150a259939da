import Harness
import JSON
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// For clients that can't be changed and hang up at the first completion event.
  @Suite struct Shield {
    @Test(arguments: ["complete", "completion", "done"])
    func `an old client that hangs up at completion has everything`(name: String) async throws {
      let setup = World.Setup(variant: "shield")
      try await World.with(setup) { world in
        let behaviour = ClientBehaviour.hangingUp(at: "event: \(name)\ndata: {\"type\":\"\(name)\"}\n\n")
        let result = await world.fetch("/?events=3&complete=\(name)&trailing=2&interval=20", behaviour: behaviour)
        #expect(result.mode == "shield")
        #expect(result.events.map(\.type) == ["token", "token", "token", "trailing", "trailing", name])
        #expect(await world.outcomes() == ["completed"])
      }
    }

    @Test func `nothing is added, and the last event is the completion`() async throws {
      let script = Script([
        .head(), .event("token", "1"), .event("complete", "2"), .comment(" hello"), .event(nil, "3"),
        .event(nil, "[DONE]"), .end,
      ])
      try await World.with("shield", script) { world in
        let result = await world.fetch()
        #expect(result.end == .clean)
        #expect(result.payloads == ["1", "3", "2", "[DONE]"])
        #expect(!result.text.contains("stream_end") && !result.text.contains("id:"))
      }
    }

    @Test(arguments: ["shield", "graceful"])
    func `a CRLF that is cut in two arrives whole, and no comment gets in between`(variant: String) async throws {
      let script = Script([
        .head(), .body("event: done\r\ndata: 1\r\n\r"), .pause(.milliseconds(300)), .body("\ndata: 2\r\n\r"),
        .pause(.milliseconds(300)), .body("\n\r"), .pause(.milliseconds(100)), .body("\ndata: 3\r\n\r\n"), .end,
      ])
      let settings = ["stream.keepalive": "100ms", "stream.keepaliveInLegacy": "true", "stream.numberEvents": "false"]
      try await World.with(variant, settings: settings, script) { world in
        if variant == "shield" {
          let text = await world.fetch().text.split(separator: ":\n").joined()
          #expect(text == "data: 2\r\n\r\n\r\ndata: 3\r\n\r\nevent: done\r\ndata: 1\r\n\r\n")
        } else {
          let result = await world.fetchNew()
          let text = result.text.dropFirst(":ok\n".count).split(separator: ":\n").joined()
          #expect(text.hasPrefix("event: done\r\ndata: 1\r\n\r\ndata: 2\r\n\r\ndata: 3\r\n\r\nevent: stream_end"))
          #expect(result.streamEnd?["bytes"]?.integer == 46)
        }
      }
    }

    @Test func `the completion waits for the backend's end, not for a timer`() async throws {
      let script = Script([.head(), .event("complete", "1"), .pause(.milliseconds(300)), .event(nil, "2"), .end])
      try await World.with("shield", script) { world in
        let stream = world.open()
        #expect(await stream.receives("data: 2\n\n"))
        let result = await stream.result()
        #expect(result.payloads == ["2", "1"])
        let ended = world.backend.requests[0].endedAt ?? result.endedAt
        #expect(result.endedAt - ended < .milliseconds(100) + MachineDelay.since(ended))
      }
    }

    @Test func `a capable client gets graceful where old ones are shielded`() async throws {
      try await World.with(World.Setup(variant: "shield")) { world in
        let new = await world.fetchNew("/?events=2&complete=complete&trailing=1")
        #expect(new.mode == "graceful" && new.outcome == "completed")
        #expect(new.backendEvents.map(\.type) == ["token", "token", "complete", "trailing"])
      }
    }

    @Test func `beyond its limit the shield lets everything go in its original order`() async throws {
      let large = String(repeating: "x", count: 3000)
      let script = Script([
        .head(), .event("token", "1"), .event("complete", large), .event("trailing", "3"), .end,
      ])
      try await World.with("shield", settings: ["stream.shieldLimit": "1024"], script) { world in
        let result = await world.fetch()
        #expect(result.end == .clean && result.payloads == ["1", large, "3"])
      }
    }
  }
}
