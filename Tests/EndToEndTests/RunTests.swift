import Harness
import JSON
import RunningGateway
import Testing
import Time

/// Runs with a log: what they are to clients that leave, come back, ask twice, or come in numbers.
enum RunWorld {
  /// One route whose runs are kept.
  static func setup(
    _ runs: String = "{ onDisconnect: \"grace\" }", variant: String = "graceful", workers: Int = 1,
    path: String = "/*", common: String = "{}",
    script: @escaping @Sendable (RecordedRequest) -> Script = ScriptedBackend.byQuery
  ) -> World.Setup {
    World.Setup(
      variant: variant, settings: ["workers": "\(workers)"],
      configuration: """
        { upstreams: { main: { url: "UPSTREAM" } }, runs: \(common),
          routes: [{ name: "all", path: "\(path)", upstreams: ["main"], runs: \(runs) }] }
        """, script: script)
  }

  /// Events with a pause behind each.
  static func ticking(_ count: Int, every interval: Nanoseconds) -> Script {
    var steps: [Script.Step] = [.head()]
    for number in 1...count { steps += [.event(nil, "\(number)"), .pause(interval)] }
    return Script(steps + [.event(nil, "[DONE]"), .end])
  }

  static func numbers(_ range: ClosedRange<Int>) -> [String] { range.map { "\($0)" } + ["[DONE]"] }
}

extension Script.Field {
  static func lastEventID(_ id: String) -> Script.Field { Script.Field("Last-Event-ID", id) }
  static func onDisconnect(_ policy: String) -> Script.Field { Script.Field("X-On-Disconnect", policy) }
  static func idempotencyKey(_ key: String) -> Script.Field { Script.Field("Idempotency-Key", key) }
  static func clientStream(_ name: String) -> Script.Field { Script.Field("X-Client-Stream-Id", name) }
  /// The credentials of a client whose names for runs count.
  static let signedIn = authorization("Bearer me")
  static func authorization(_ value: String) -> Script.Field { Script.Field("Authorization", value) }
}

extension ClientResult {
  /// The id of the last event that has one.
  var lastID: String? { events.last { $0.id != nil }?.id }
  var streamID: String? { head.value("X-Stream-Id") }
}

extension EndToEnd {
  @Suite struct Runs {
    @Test func `a run is read like any stream, and says that it can be resumed`() async throws {
      try await World.with(RunWorld.setup()) { world in
        let result = await world.fetchNew("/?events=3&complete=complete&trailing=2")
        #expect(result.end == .clean && result.mode == "graceful" && result.status == 200)
        #expect(result.text.hasPrefix(":ok\n"))
        #expect(
          result.events.map(\.type) == ["token", "token", "token", "complete", "trailing", "trailing", "stream_end"])
        let end = try #require(result.streamEnd)
        #expect(end["outcome"]?.string == "completed" && end["events"]?.integer == 6)
        #expect(end["resumable"]?.bool == true && end["lastEventId"]?.string == "\(result.streamID ?? "").6")
        #expect(await world.outcomes() == ["completed"])
      }
    }

    @Test func `a client that was cut goes on behind its last event, and misses nothing`() async throws {
      let script = RunWorld.ticking(20, every: .milliseconds(20))
      try await World.with(RunWorld.setup(script: { _ in script })) { world in
        let first = await world.fetchNew(behaviour: .hangingUp(at: "data: 5\n\n"))
        let id = try #require(first.lastID)
        #expect(id == "\(first.streamID ?? "").5")
        try await Task.sleep(for: .milliseconds(100))
        let second = await world.fetchNew(fields: [.lastEventID(id)])
        #expect(first.payloads + second.payloads == RunWorld.numbers(1...20))
        #expect(second.streamID == first.streamID && second.outcome == "completed")
        #expect(second.streamEnd?["lastEventId"]?.string == "\(first.streamID ?? "").21")
        #expect(world.backend.requests.count == 1)
      }
    }

    @Test func `a run that was read to its end answers 204, from its middle the rest`() async throws {
      try await World.with(RunWorld.setup()) { world in
        let whole = await world.fetchNew("/?events=5&done=1")
        let stream = try #require(whole.streamID)
        let done = await world.fetchNew("/?events=5&done=1", fields: [.lastEventID(whole.lastID ?? "")])
        #expect(done.status == 204 && done.head.value("X-Stream-Outcome") == "completed")
        #expect(done.streamID == stream && done.body.isEmpty)
        let rest = await world.fetchNew("/?events=5&done=1&last_event_id=\(stream).3")
        #expect(rest.payloads == Array(whole.payloads.dropFirst(3)) && rest.outcome == "completed")
        let named = await world.fetchNew("/fermata/streams/\(stream)", fields: [.lastEventID("\(stream).4")])
        #expect(named.payloads == Array(whole.payloads.dropFirst(4)))
        let all = await world.fetchNew("/fermata/streams/\(stream)")
        #expect(all.payloads == whole.payloads)
        #expect(world.backend.requests.count == 1)
      }
    }

    @Test func `an id that is not known is told, and a new run begins; where asking twice harms, 404`() async throws {
      try await World.with(RunWorld.setup()) { world in
        let unknown = "AAAAAAAAAAAAAAAAAAAAAA.7"
        let result = await world.fetchNew("/?events=2", fields: [.lastEventID(unknown)])
        #expect(result.events.map(\.type) == ["stream_reset", "token", "token", "stream_end"])
        let reset = try JSONValue(parsing: result.events[0].data)
        #expect(reset["reason"]?.string == "unknown" && reset["oldest"] == .null)
        #expect(reset["streamId"]?.string == result.streamID)
        let post = await world.send(
          ClientRequest("POST", "/?events=2", fields: [.acceptsEvents, .prefersStreamEnd, .lastEventID(unknown)]))
        #expect(post.status == 404)
        let named = await world.fetchNew("/fermata/streams/AAAAAAAAAAAAAAAAAAAAAA")
        #expect(named.status == 404)
      }
    }

    @Test func `another's run does not exist`() async throws {
      try await World.with(RunWorld.setup()) { world in
        let mine = await world.fetchNew("/?events=3", fields: [.authorization("Bearer me")])
        let stream = try #require(mine.streamID)
        let other = await world.fetchNew("/fermata/streams/\(stream)", fields: [.authorization("Bearer you")])
        let unknown = await world.fetchNew("/fermata/streams/AAAAAAAAAAAAAAAAAAAAAA")
        #expect(other.status == 404 && other.body == unknown.body)
        let again = await world.fetchNew("/fermata/streams/\(stream)", fields: [.authorization("Bearer me")])
        #expect(again.payloads == mine.payloads)
      }
    }

    @Test func `a request with the same idempotency key reads the same run, from its beginning`() async throws {
      let script = RunWorld.ticking(10, every: .milliseconds(30))
      try await World.with(RunWorld.setup(script: { _ in script })) { world in
        @Sendable func ask(_ body: String) async -> ClientResult {
          await world.send(
            ClientRequest(
              "POST", "/v1/chat", fields: [.acceptsEvents, .prefersStreamEnd, .signedIn, .idempotencyKey("k1")],
              body: Array(body.utf8)))
        }
        async let one = ask("{}")
        async let two = ask("{}")
        let results = await [one, two]
        let after = await ask("{}")
        for result in results + [after] {
          #expect(result.payloads == RunWorld.numbers(1...10) && result.outcome == "completed")
          #expect(result.streamID == after.streamID)
        }
        #expect(world.backend.requests.count == 1)
        #expect(String(decoding: world.backend.requests[0].body, as: UTF8.self) == "{}")
        let other = await ask("{ }")
        #expect(other.status == 422 && world.backend.requests.count == 1)
      }
    }

    @Test func `when the last reader leaves: at once, later, or never`() async throws {
      let script = RunWorld.ticking(30, every: .milliseconds(50))
      try await World.with(RunWorld.setup(script: { _ in script })) { world in
        for (policy, outcome) in [("cancel", "cancelled"), ("grace=1", "cancelled"), ("continue", "completed")] {
          let leaver = await world.fetchNew(
            fields: [.onDisconnect(policy)], behaviour: .hangingUp(at: "data: 3\n\n"))
          let left = world.clock
          let stream = try #require(leaver.streamID)
          let isOver = await eventually(within: .seconds(5)) {
            world.gateway.log("run_ended").contains { $0["streamId"]?.string == stream }
          }
          #expect(isOver)
          let line = world.gateway.log("run_ended").first { $0["streamId"]?.string == stream }
          #expect(line?["outcome"]?.string == outcome, "\(policy)")
          let took = world.clock - left
          let late = MachineDelay.since(left)
          switch policy {
          case "cancel": #expect(took < .milliseconds(600) + late)
          case "grace=1": #expect(took > .milliseconds(700) && took < .milliseconds(1800) + late)
          default: #expect(took > .milliseconds(1000))
          }
        }
      }
    }

    @Test func `what a reader wishes counts on whichever loop it reads`() async throws {
      let script = RunWorld.ticking(40, every: .milliseconds(50))
      let setup = RunWorld.setup("{ onDisconnect: \"cancel\", ttl: \"1s\" }", workers: 4, script: { _ in script })
      try await World.with(setup) { world in
        // So many that not all meet on one loop.
        for _ in 0..<6 {
          let first = world.openNew()
          #expect(await first.receives("data: 3\n"))
          let stream = await first.soFar().head.value("X-Stream-Id") ?? ""
          let fields: [Script.Field] = [.acceptsEvents, .prefersStreamEnd, .onDisconnect("continue")]
          let other = world.open("/fermata/streams/\(stream)", fields: fields)
          #expect(await other.receives("data: 4\n"))
          first.hangUp()
          other.hangUp()
        }
        let areOver = await eventually(within: .seconds(10)) { world.gateway.log("run_ended").count == 6 }
        #expect(areOver)
        for line in world.gateway.log("run_ended") { #expect(line["outcome"]?.string == "completed") }
        // Copies on other loops have gone with their readers.
        let isFree = await eventually(within: .seconds(5)) { await world.gateway.metric("fermata_run_log_bytes") == 0 }
        #expect(isFree)
      }
    }

    @Test func `what is no stream passes through, and failures are told as on any route`() async throws {
      try await World.with(
        RunWorld.setup(script: { request in
          request.path == "/cut" ? .garbage("") : .plain(type: "application/json", Array("{\"a\":1}".utf8))
        })
      ) { world in
        let plain = await world.fetchNew("/plain")
        #expect(plain.status == 200 && plain.text == "{\"a\":1}" && plain.head.value("X-Stream-Id") == nil)
        let keyed = await world.send(
          ClientRequest("POST", "/plain", fields: [.signedIn, .idempotencyKey("p")], body: Array("x".utf8)))
        #expect(keyed.status == 200 && keyed.text == "{\"a\":1}")
        let cut = await world.fetchNew("/cut")
        #expect(cut.status == 502)
      }
    }

    @Test func `a client's second stream of the same name ends its first`() async throws {
      let script = RunWorld.ticking(40, every: .milliseconds(50))
      try await World.with(RunWorld.setup(script: { _ in script })) { world in
        let fields: [Script.Field] = [.acceptsEvents, .prefersStreamEnd, .signedIn, .clientStream("tab")]
        let first = world.open(fields: fields)
        _ = await eventually { world.backend.openRequests == 1 }
        try await Task.sleep(for: .milliseconds(200))
        let second = await world.fetch(fields: fields)
        let ended = await first.result()
        #expect(ended.outcome == "replaced_by_new_stream" && ended.end == .clean)
        #expect(second.outcome == "completed" && second.payloads == RunWorld.numbers(1...40))
        #expect(second.streamID == ended.streamID && world.backend.requests.count == 1)
      }
    }

    @Test func `a client that has resumed and is sent away is told the count of the whole run`() async throws {
      let script = RunWorld.ticking(60, every: .milliseconds(50))
      try await World.with(RunWorld.setup(script: { _ in script })) { world in
        let fields: [Script.Field] = [.acceptsEvents, .prefersStreamEnd, .signedIn, .clientStream("tab")]
        let cut = await world.fetch(fields: fields, behaviour: .hangingUp(at: "data: 5\n\n"))
        let resumed = world.open(fields: fields + [.lastEventID(cut.lastID ?? "")])
        #expect(await resumed.receives("data: 9\n\n"))
        let last = world.open(fields: fields)
        let ended = await resumed.result()
        #expect(ended.outcome == "replaced_by_new_stream" && ended.payloads.first == "6")
        let count = cut.payloads.count + ended.payloads.count
        #expect(ended.streamEnd?["events"]?.integer == count && count >= 9)
        #expect(ended.streamEnd?["lastEventId"]?.string == "\(cut.streamID ?? "").\(count)")
        last.hangUp()
      }
    }

    @Test func `a run that is too large ends with that outcome`() async throws {
      let big = String(repeating: "x", count: 1000)
      let script = Script([.head(), .repeated(count: 50, interval: .milliseconds(1), [.event(nil, big)]), .end])
      try await World.with(RunWorld.setup("{ limit: 20000 }", script: { _ in script })) { world in
        let result = await world.fetchNew()
        #expect(result.outcome == "run_too_large" && result.payloads.count == 19)
        #expect(result.streamEnd?["events"]?.integer == 19, "it counts what came")
        #expect(result.events.suffix(2).map(\.type) == ["error", "stream_end"])
      }
    }

    @Test func `legacy reads the backend's bytes from a log, and its end`() async throws {
      let body = "data: 1\n\n\n:c\n\nevent: x\r\ndata: 2\r\n\r\ndata: [DONE]\n\n"
      let script = Script([.head(), .trickle(Array(body.utf8), piece: 3, interval: .milliseconds(2)), .end])
      let cut = Script([.head(), .body("data: 1\n\ndata: ha"), .cut])
      try await World.with(
        RunWorld.setup(variant: "legacy", script: { $0.path == "/cut" ? cut : script })
      ) { world in
        let result = await world.fetch(fields: [.acceptsEvents, .signedIn, .idempotencyKey("a")])
        #expect(result.text == body && result.end == .clean && result.mode == "legacy")
        let again = await world.fetch(fields: [.acceptsEvents, .signedIn, .idempotencyKey("a")])
        #expect(again.text == body && again.end == .clean)
        let partial = await world.fetch("/cut", fields: [.acceptsEvents, .signedIn, .idempotencyKey("b")])
        #expect(partial.text == "data: 1\n\ndata: ha" && partial.end == .truncated)
      }
    }
  }
}
