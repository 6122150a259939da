import Harness
import JSON
import Processes
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// What operators are told is what was so.
  @Suite struct OperatorBooks {
    @Test func `more streams than a list has are counted, and it says that it is cut`() async throws {
      let script = Script([.head(), .event(nil, "1"), .pause(.seconds(60)), .end])
      try await World.with(World.Setup(settings: ["workers": "1"], script: { _ in script })) { world in
        let streams = (0..<1003).map { _ in world.open() }
        for stream in streams { #expect(await stream.receives("data: 1")) }
        let document = try await world.gateway.json("/streams")
        #expect(document["count"]?.integer == 1003 && document["isCut"] == true)
        #expect(document["streams"]?.array?.count == 1000)
        for stream in streams { stream.hangUp() }
        #expect(await eventually { (try? await world.gateway.json("/streams"))?["count"]?.integer == 0 })
      }
    }

    @Test func `a cut of the gateway's own is no reset of the client's`() async throws {
      let script = Script([.head(), .event(nil, "1"), .pause(.seconds(60)), .end])
      try await World.with("legacy", settings: ["stream.total": "600ms"], script) { world in
        _ = await world.fetch()
        #expect(await world.outcomes() == ["cancelled"])
        let client = try RawConnection(to: world.gateway.address)
        client.send("GET / HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n")
        #expect(client.receives("data: 1"))
        client.reset()
        #expect(await world.outcomes(2) == ["cancelled", "client_gone"])
        for result in ["cut", "reset"] {
          let labels = ["mode": "legacy", "result": result]
          #expect(await eventually { await world.gateway.metric("fermata_close_total", labels) == 1 }, "\(result)")
        }
      }
    }

    @Test func `an error that the backend tells in its stream is the reason of the end`() async throws {
      let script = Script([.head(), .event(nil, "1"), .event("error", "{\"type\":\"overloaded\"}"), .end])
      try await World.with("graceful", script) { world in
        let result = await world.fetchNew()
        let reason = "the backend told of an error in its stream"
        #expect(result.outcome == "upstream_error" && result.streamEnd?["reason"]?.string == reason)
        #expect(await world.outcomes() == ["upstream_error"])
        #expect(world.gateway.log("request_done").first?["reason"]?.string == reason)
      }
    }

    @Test func `the log says why a stream got its mode`() async throws {
      try await World.with("graceful", settings: [:], ScriptQuery("events=1&complete=done").script) { world in
        _ = await world.fetchNew()
        #expect(await world.outcomes() == ["completed"])
        for event in ["stream_opened", "request_done"] {
          let line = try #require(world.gateway.log(event).first)
          #expect(line["flagReason"]?.string == "static" && line["mode"]?.string == "graceful", "\(line.text())")
          #expect(line["capability"]?.string == "prefer")
        }
      }
    }

    @Test func `too few descriptors are told before the start and at it`() throws {
      let (lines, isGood) = try Packaging.output([
        "sh", "-c", "ulimit -n 300; exec \"$0\" check --upstream http://127.0.0.1:9 2>&1 >/dev/null", Program.path,
      ])
      #expect(isGood && lines.contains { $0.contains("the process may open 300 descriptors only") }, "\(lines)")
    }

    @Test(arguments: [
      (["srve"], "did you mean \"serve\"?"), (["serve", "--upstrem", "x"], "did you mean --upstream?"),
      (["check", "--config", "/x.json5"], "/x.json5: no such file"),
    ])
    func `a word that is nearly right is told`(words: [String], text: String) throws {
      let run = try Program.run(words)
      #expect(run.errors.contains(text) && run.exit != .code(0), "\(run)")
      #expect(run.errors.matches(of: /x\.json5/).count < 2, "a file is named once")
    }
  }
}
