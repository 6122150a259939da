import Harness
import JSON
import Processes
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// What the log says of requests beyond how they ended, and what it never says.
  @Suite struct RequestFields {
    private static func done(_ world: World, _ count: Int = 1) async -> [JSONValue] {
      #expect(await eventually { world.gateway.log("request_done").count >= count })
      return world.gateway.log("request_done")
    }

    @Test func `nothing that may be secret is in any line`() async throws {
      let configuration = """
        {
          upstreams: { main: { url: "UPSTREAM", headers: { "X-Api-Key": "secret-01" } }, down: { url: "http://127.0.0.1:1" } },
          log: { redact: ["token", "streamId"] }, runs: { streamPath: "/streams/:streamId" },
          routes: [
            { name: "share", path: "/share/:token/:part", upstreams: ["main"] },
            { name: "post", path: "/post/:token", methods: ["POST"], upstreams: ["down"] },
            { name: "kept", path: "/kept", upstreams: ["main"], runs: {} },
            { name: "rest", path: "/", upstreams: ["main"] },
          ],
        }
        """
      let script: @Sendable (RecordedRequest) -> Script = { _ in
        let fields = [
          Script.Field("Content-Type", "text/event-stream"), Script.Field("Set-Cookie", "secret-02"),
          Script.Field("X-Note", "secret-03"),
        ]
        return Script([.head(.init(fields: fields)), .event("secret-04", "secret-05"), .pause(.milliseconds(20)), .end])
      }
      let setup = World.Setup(
        variant: "graceful", settings: ["logLevel": "debug"], configuration: configuration, script: script)
      try await World.with(setup) { world in
        let fields = [
          Script.Field.acceptsEvents, .prefersStreamEnd, Script.Field("Authorization", "Bearer secret-06"),
          Script.Field("Cookie", "sid=secret-07"), Script.Field("X-Own", "secret-08"),
          Script.Field("Referer", "https://secret-09.example/"), Script.Field("User-Agent", "secret-10"),
          Script.Field("Idempotency-Key", "secret-11-secret-11"), Script.Field("tracestate", "a=secret-12"),
          Script.Field("baggage", "k=secret-13"),
        ]
        // As a header of an id that is not the gateway's own, and in a query.
        let foreign = fields + [Script.Field("Last-Event-ID", "secret-14")]
        for target in ["/?q=secret-15&stream_end=1", "/kept?secret-16", "/nowhere?secret-17"] {
          _ = await world.fetch(target, fields: foreign)
        }
        for target in ["/share/secret-18/part", "/share/secret-18/part/", "/post/secret-19", "/streams/secret-20"] {
          _ = await world.fetch(target, fields: fields)
        }
        let body = ClientRequest("POST", "/post/secret-19", fields: fields, body: Array("secret-21".utf8))
        #expect(await world.send(body).status == 502)
        let lines = await Self.done(world, 8)
        #expect(lines.count == 8 && !world.gateway.logText.contains("secret-"))
        let paths = Set(lines.compactMap { $0["path"]?.string })
        #expect(
          paths.isSuperset(of: [
            "/share/:token/part", "/share/:token/part/", "/post/:token", "/streams/:streamId", "/kept", "/nowhere",
          ]), "\(paths)")
        // Those of two loops may stand in another order.
        #expect(lines.contains { $0["bytesIn"]?.integer == 9 && $0["status"]?.integer == 502 })
      }
    }

    @Test func `a name that no path has is refused`() throws {
      let directory = try ScratchDirectory()
      directory.write(
        "fermata.json5",
        """
        { upstreams: { a: { url: "http://127.0.0.1:9" } }, log: { redact: ["tokn"] },
          routes: [{ name: "r", path: "/:token", upstreams: ["a"] }] }
        """)
      let run = try Program.run(["check", "--config", directory["fermata.json5"]])
      #expect(run.exit == .code(3) && run.errors.contains("log.redact: no path has a parameter \":tokn\""))
      #expect(run.errors.contains("did you mean \"token\"?"))
    }

    @Test func `a long stream says how it stands, again and again`() async throws {
      let setup = World.Setup(variant: "graceful", settings: ["log.progress": "200ms"]) { _ in
        Script([.head(), .event(nil, "1"), .event(nil, "2"), .pause(.milliseconds(1500)), .event(nil, "[DONE]"), .end])
      }
      try await World.with(setup) { world in
        let result = await world.fetchNew("/")
        let line = try #require(await Self.done(world).first)
        let progress = world.gateway.log("stream_progress")
        #expect(progress.count >= 3 && progress.count <= 8, "\(progress.count)")
        for said in progress {
          #expect(said["requestId"] == line["requestId"] && said["streamId"]?.string == result.streamID)
          #expect(said["events"]?.integer == 2 && said["upstream"] == line["upstream"] && said["queued"]?.integer == 0)
        }
        let ages = progress.compactMap { $0["milliseconds"]?.integer }
        #expect(ages == ages.sorted() && Set(ages).count == ages.count && (ages.first ?? 0) >= 200)
        let last = try #require(line["lastEventMs"]?.integer)
        #expect(last >= 1400 && last <= (line["milliseconds"]?.integer ?? 0))
        #expect(line["events"]?.integer == 3 && line["pausedMs"] == nil && line["closer"]?.string == "backend")
      }
      try await World.with(World.Setup(variant: "graceful", settings: ["log.progress": "0s"])) { world in
        _ = await world.fetchNew("/?events=5&interval=100&complete=done")
        #expect(await world.outcomes() == ["completed"])
        #expect(world.gateway.log("stream_progress").isEmpty)
      }
    }

    @Test func `a slow client shows in the time that it was waited for`() async throws {
      let settings = ["stream.highWater": "64KiB", "stream.lowWater": "16KiB"]
      let events = (0..<600).map { _ in Script.Step.event(nil, String(repeating: "x", count: 16_000)) }
      try await World.with("graceful", settings: settings, Script([.head()] + events + [.end])) { world in
        let slow = try RawConnection(to: world.gateway.address, receiveBuffer: 4096)
        slow.send("GET / HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\nPrefer: stream-end\r\n\r\n")
        #expect(
          await eventually {
            let streams = try? await world.gateway.json("/streams")["streams"]?.array
            return streams?.first?["isPaused"]?.bool == true
          })
        slow.reset()
        let line = try #require(await Self.done(world).first)
        #expect(line["outcome"]?.string == "client_gone" && line["closer"]?.string == "client")
        #expect((line["queuedMax"]?.integer ?? 0) > 64 << 10 && (line["pausedMs"]?.integer ?? -1) >= 0)
      }
    }

    @Test func `a run's reader says what it read, and from where`() async throws {
      let script = RunWorld.ticking(10, every: .milliseconds(5))
      try await World.with(RunWorld.setup("{ onDisconnect: \"continue\" }", script: { _ in script })) { world in
        let whole = await world.fetchNew("/")
        let stream = try #require(whole.streamID)
        let rest = await world.fetchNew(fields: [.lastEventID("\(stream).4")])
        #expect(rest.payloads.first == "5")
        let lines = await Self.done(world, 2)
        #expect(lines.map { $0["runId"]?.string } == [stream, stream])
        #expect(lines.map { $0["resumedFrom"]?.string } == [nil, "\(stream).4"])
        #expect(lines.allSatisfy { $0["route"]?.string == "all" && $0["outcome"]?.string == "completed" })
      }
    }

    @Test func `an answer that is no stream says who cut it, and by which limit`() async throws {
      let plain = Script.Head(framing: .length(100), fields: [Script.Field("Content-Type", "text/plain")])
      let script: @Sendable (RecordedRequest) -> Script = { request in
        request.target == "/cut"
          ? Script([.head(plain), .body("12345"), .finish(.cut)])
          : Script([.head(plain), .body("12345"), .pause(.seconds(4)), .end])
      }
      let setup = World.Setup(settings: ["limits.bodyTimeout": "400ms"], script: script)
      try await World.with(setup) { world in
        _ = await world.fetch("/cut", fields: [])
        let cut = try #require(await Self.done(world).last)
        #expect(cut["closer"]?.string == "backend" && cut["bytes"]?.integer == 5 && cut["limit"] == nil)
        #expect(cut["reason"]?.string?.hasPrefix("the backend ") == true, "\(cut.text())")
        _ = await world.fetch("/silent", fields: [])
        let silent = try #require(await Self.done(world, 2).last)
        #expect(silent["closer"]?.string == "gateway" && silent["limit"]?.string == "limits.bodyTimeout")
        #expect(silent["level"]?.string == "warning")
        let leaver = try RawConnection(to: world.gateway.address)
        leaver.send("GET /silent HTTP/1.1\r\nHost: h\r\n\r\n")
        #expect(leaver.receives("12345"))
        leaver.reset()
        let left = try #require(await Self.done(world, 3).last)
        #expect(left["closer"]?.string == "client" && left["status"]?.integer == 200)
      }
    }

    @Test func `of attempts that fail alike one is told in a second, and the others are counted`() async throws {
      let configuration = """
        {
          upstreams: { main: { url: "UPSTREAM" }, down: { url: "http://127.0.0.1:1" } }, workers: 1,
          defaults: { health: { failures: 0 } },
          routes: [{ name: "all", path: "/*", upstreams: ["down", "main"] }],
        }
        """
      try await World.with(World.Setup(settings: ["workers": "1"], configuration: configuration)) { world in
        let start = world.clock
        for _ in 0..<60 { #expect(await world.fetch("/?events=1").status == 200) }
        func told() -> Int {
          world.gateway.log("attempt_failed").reduce(0) {
            $0 + ($1["requestId"] == nil ? 0 : 1) + ($1["suppressed"]?.integer ?? 0)
          }
        }
        #expect(await eventually { told() == 60 }, "\(told())")
        let seconds = (world.clock - start).seconds
        #expect(Double(world.gateway.log("attempt_failed").count) <= seconds + 2)
        #expect(await Self.done(world, 60).allSatisfy { $0["attempts"]?.array?.count == 1 })
      }
    }
  }
}
