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

    @Test(arguments: [false, true])
    func `an error that the backend tells in its stream is the reason of the end, by its type`(
      isKept: Bool
    ) async throws {
      let payload = "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"of Ada\"}}"
      let script = Script([.head(), .event(nil, "1"), .event("error", payload), .end])
      let plain = World.Setup(variant: "graceful") { _ in script }
      try await World.with(isKept ? RunWorld.setup("{}", script: { _ in script }) : plain) { world in
        let result = await world.fetchNew()
        let reason = "the backend told of an error in its stream: overloaded_error"
        #expect(result.outcome == "upstream_error" && result.streamEnd?["reason"]?.string == reason)
        #expect(await world.outcomes() == ["upstream_error"])
        let line = try #require(world.gateway.log("request_done").first)
        #expect(line["reason"]?.string == reason && !line.text().contains("Ada"))
      }
    }

    @Test(arguments: ["legacy", "graceful"])
    func `of a stream with one event the first is not behind the last`(variant: String) async throws {
      let script = Script([.head(), .event(nil, "1"), .end])
      try await World.with(World.Setup(variant: variant) { _ in script }) { world in
        for _ in 0..<15 {
          let streams = (0..<20).map { _ in world.openNew() }
          for stream in streams { #expect(await stream.result().payloads == ["1"]) }
        }
        #expect(await world.outcomes(300).count == 300)
        for line in world.gateway.log("request_done") {
          let times = try ["headMs", "firstEventMs", "lastEventMs", "milliseconds"].map { name in
            try #require(line[name]?.integer, "\(name)")
          }
          #expect(times == times.sorted(), "\(line.text())")
        }
        let metrics = try await world.gateway.metrics()
        let sums = ["head", "first_event", "last_event"].map { phase in
          metrics.value("fermata_upstream_phase_seconds_sum", ["phase": phase])
        }
        #expect(sums == sums.sorted() && (sums.first ?? 0) > 0, "\(sums)")
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

    /// The fewest descriptors with two workers and a listener.
    private static let fewest = 96

    @Test(arguments: ["serve", "check", "check --quiet"])
    func `a process that could open too few descriptors for anybody says how many it needs`(verb: String) throws {
      let upstream = "--workers 2 --upstream http://127.0.0.1:9"
      func run(_ limit: Int) throws -> (lines: [String], isGood: Bool) {
        let line = "ulimit -n \(limit); exec \"$0\" \(verb) \(upstream) 2>&1"
        return try Packaging.output(["sh", "-c", line, Program.path])
      }
      for limit in [12, 40, Self.fewest - 1] {
        let (lines, isGood) = try run(limit)
        let text = "the process may open \(limit) descriptors, and needs \(Self.fewest) to serve anybody with 2 workers"
        #expect(!isGood && lines.count == 1 && lines.first?.contains(text) == true, "\(limit): \(lines)")
      }
      if verb != "serve" { #expect(try run(Self.fewest).isGood) }
    }

    /// Clients take what they can get: open streams first, then connections that are refused or wait.
    @Test(arguments: [fewest, 128, 160], [0, 5000])
    func `operators are answered when clients have used up the descriptors`(
      descriptors: Int, configured: Int
    ) async throws {
      let script = Script([.head(), .event(nil, "1"), .pause(.seconds(60)), .end])
      var setup = World.Setup(settings: ["workers": "2", "limits.connections": "\(configured)"]) { _ in script }
      setup.descriptors = descriptors
      try await World.with(setup) { world in
        var held: [RawConnection] = []
        for _ in 0..<150 {
          let connection = try RawConnection(to: world.gateway.address)
          connection.send("GET / HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n")
          held.append(connection)
        }
        #expect(await eventually { world.gateway.log("request_done").contains { $0["code"]?.string == "overload" } })
        for _ in 0..<20 {
          let asked = try (0..<4).map { _ in try RawConnection(to: world.gateway.admin) }
          for (connection, path) in zip(asked, ["/healthz", "/readyz", "/metrics", "/streams"]) {
            connection.send("GET \(path) HTTP/1.1\r\nHost: localhost\r\n\r\n")
            #expect(connection.response(seconds: 3)?.status == 200, "\(path)")
          }
        }
        let metrics = try await world.gateway.metrics()
        #expect(metrics.value("ai_stream_connections_active") >= 8)
        #expect(metrics.value("process_open_fds") < metrics.value("process_max_fds"))
        for connection in held { connection.reset() }
        #expect(await eventually { await world.gateway.metric("ai_stream_connections_active") == 0 })
      }
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
