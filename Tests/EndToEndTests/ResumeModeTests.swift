import Harness
import JSON
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// Clients that come back: in which mode they go on, and from whose ids.
  @Suite struct ResumeModes {
    private static let script = RunWorld.ticking(30, every: .milliseconds(20))

    @Test(arguments: ["legacy", "shield"])
    func `a client that has ids goes on in graceful, whatever the flag says by now`(variant: String) async throws {
      let setup = RunWorld.setup("{ onDisconnect: \"continue\" }", script: { _ in Self.script })
      try await World.with(setup) { world in
        let first = await world.fetchNew(behaviour: .hangingUp(at: "data: 7\n\n"))
        let stream = try #require(first.streamID)
        let state = variant == "legacy" ? "DISABLED" : "ENABLED"
        #expect(await world.setFlags(FlagFile.document(variant, state: state, version: "2"), version: "2"))
        for path in ["/", "/fermata/streams/\(stream)"] {
          // What tells of the capability may be gone too: only a graceful client has such an id.
          for fields in [[Script.Field.acceptsEvents, .prefersStreamEnd], [.acceptsEvents]] {
            let second = await world.fetch(path, fields: fields + [.lastEventID(first.lastID ?? "")])
            #expect(second.mode == "graceful" && second.streamID == stream, "\(path)")
            #expect(first.payloads + second.payloads == RunWorld.numbers(1...30), "\(path)")
          }
        }
        let whole = await world.fetchNew("/fermata/streams/\(stream)")
        #expect(whole.mode == "graceful" && whole.payloads == RunWorld.numbers(1...30))
        let old = await world.fetch("/fermata/streams/\(stream)")
        #expect(old.mode == variant && old.payloads == RunWorld.numbers(1...30))
        let done = await world.fetchNew(fields: [.lastEventID("\(stream).31")])
        #expect(done.status == 204)
        #expect(world.backend.requests.count == 1)
      }
    }

    @Test(arguments: ["legacy", "shield"])
    func `what can't go on in another mode gets 404, never everything again`(variant: String) async throws {
      let script = Script([.head(), .body("id: b1\ndata: 1\n\nid: b2\ndata: 2\n\n"), .event(nil, "[DONE]"), .end])
      let setup = RunWorld.setup("{ onDisconnect: \"continue\" }", variant: variant, script: { _ in script })
      try await World.with(setup) { world in
        let fields: [Script.Field] = [.acceptsEvents, .signedIn, .clientStream("tab")]
        let first = await world.fetch(fields: fields)
        #expect(first.mode == variant && first.payloads == ["1", "2", "[DONE]"])
        let rest = await world.fetch(fields: fields + [.lastEventID("b1")])
        #expect(rest.payloads == ["2", "[DONE]"])
        let foreign = "AAAAAAAAAAAAAAAAAAAAAA.1"
        for id in ["b9", foreign, "\(first.streamID ?? "").9"] {
          let refused = await world.fetch(fields: fields + [.lastEventID(id)])
          // An id of this very run makes the client a graceful one, which is told.
          let isTold = refused.mode == "graceful" && refused.events.first?.type == "stream_reset"
          #expect(refused.status == 404 || isTold, "\(id) \(refused.text)")
        }
        let unknown = await world.fetch(
          "/fermata/streams/\(first.streamID ?? "")", fields: [.signedIn, .lastEventID("b9")])
        #expect(unknown.status == 404)
        #expect(world.backend.requests.count == 1)
        #expect(await world.gateway.metric("fermata_resumes_total", ["result": "refused"]) == 3)
      }
    }

    @Test func `where nothing is kept, a backend that can resume by its own ids does so as without the gateway`()
      async throws
    {
      let script: @Sendable (RecordedRequest) -> Script = { request in
        let isResumed = request.head.value("Last-Event-ID") == "checkpoint-7"
        return Script([
          .head(), .body(isResumed ? "data: c\n\n" : "id: checkpoint-7\ndata: a\n\ndata: b\n\n"),
          .event(nil, "[DONE]"), .end,
        ])
      }
      try await World.with(World.Setup(variant: "graceful", script: script)) { world in
        let first = await world.fetchNew()
        #expect(first.payloads == ["a", "b", "[DONE]"] && first.events.compactMap(\.id) == ["checkpoint-7"])
        #expect(first.streamEnd?["lastEventId"]?.string == "checkpoint-7")
        let second = await world.fetchNew(fields: [.lastEventID("checkpoint-7")])
        #expect(second.payloads == ["c", "[DONE]"] && second.events.compactMap(\.id).isEmpty)
        #expect(second.streamEnd?["lastEventId"]?.string == "checkpoint-7")
        // An id of the gateway's own means nothing to the backend.
        _ = await world.fetchNew(fields: [.lastEventID("\(first.streamID ?? "").1")])
        _ = await world.fetchNew("/?a=1&last_event_id=\(first.streamID ?? "").1")
        _ = await world.fetchNew("/?last_event_id=checkpoint-7")
        let told = world.backend.requests.map { $0.head.value("Last-Event-ID") }
        #expect(told == [nil, "checkpoint-7", nil, nil, nil])
        #expect(world.backend.requests.suffix(2).map(\.target) == ["/?a=1", "/?last_event_id=checkpoint-7"])
      }
    }

    @Test(arguments: ["graceful", "legacy"])
    func `a run on another loop goes on behind an id of the backend's, however much comes before it`(
      variant: String
    ) async throws {
      // So much that a loop gets it from the other in several parts.
      let padding = ":" + String(repeating: "x", count: 4000)
      let events = (1...400).map { number -> Script.Step in
        .body("\(padding)\nid: b\(number)\ndata: \(number)\n\n")
      }
      let script = Script(
        [.head()] + events.prefix(390) + [.pause(.milliseconds(300))] + events.suffix(10)
          + [.event(nil, "[DONE]"), .end])
      let setup = RunWorld.setup(
        "{ onDisconnect: \"continue\" }", variant: variant, workers: 4, script: { _ in script })
      try await World.with(setup) { world in
        // Not all clients come back to the loop that has their run.
        for round in 1...16 {
          let fields: [Script.Field] = [.acceptsEvents, .prefersStreamEnd, .signedIn, .clientStream("tab-\(round)")]
          let first = await world.fetch(fields: fields, behaviour: .hangingUp(at: "data: 390\n\n"))
          let second = await world.fetch(fields: fields + [.lastEventID("b390")])
          // A slow machine may read on to what comes after the pause.
          #expect(first.payloads.contains("390") && second.streamID == first.streamID)
          #expect(second.payloads == (391...400).map { "\($0)" } + ["[DONE]"], "\(round)")
        }
        #expect(world.backend.requests.count == 16)
      }
    }

    @Test func `a client that has it all is told the id that it went on from`() async throws {
      let script = Script([.head(), .body("id: b1\ndata: 1\n\n"), .pause(.milliseconds(600)), .end])
      let setup = RunWorld.setup("{ onDisconnect: \"continue\" }", script: { _ in script })
      try await World.with(setup) { world in
        let fields: [Script.Field] = [.signedIn, .clientStream("tab")]
        let first = await world.fetchNew(fields: fields, behaviour: .hangingUp(at: "data: 1\n\n"))
        let second = await world.fetchNew(fields: fields + [.lastEventID("b1")])
        #expect(second.streamID == first.streamID && second.events.map(\.type) == ["stream_end"])
        #expect(second.streamEnd?["lastEventId"]?.string == "b1" && second.streamEnd?["events"]?.integer == 1)
      }
    }
  }

  /// The announcement that a prompt was taken.
  @Suite struct Announcements {
    private static let slow = Script([
      .pause(.milliseconds(1500)), .head(), .event(nil, "1"), .event(nil, "[DONE]"), .end,
    ])
    private static let json = Script.plain(type: "application/json", Array("{\"a\":1}".utf8))

    private static func setup(_ redis: RedisProcess? = nil, _ script: Script) -> World.Setup {
      let url = redis.map { "{ redis: { url: \"redis://127.0.0.1:\($0.port)\" } }" } ?? "{}"
      return RunWorld.setup(
        "{ announce: true\(redis == nil ? "" : ", store: \"redis\"") }", common: url, script: { _ in script })
    }

    @Test(arguments: RedisProcess.isAvailable ? [false, true] : [false])
    func `a prompt is announced before the backend has answered, with a body too`(isShared: Bool) async throws {
      let redis = isShared ? try await RedisProcess() : nil
      defer { redis?.kill() }
      try await World.with(Self.setup(redis, Self.slow)) { world in
        let plain: [Script.Field] = [.prefersStreamEnd, .init("Accept", "application/json")]
        let requests = [
          ClientRequest(fields: [.acceptsEvents, .prefersStreamEnd]),
          ClientRequest("POST", fields: [.acceptsEvents, .prefersStreamEnd], body: Array("{}".utf8)),
          ClientRequest("POST", fields: plain, body: Array("{\"stream\":true}".utf8)),
        ]
        for request in requests {
          let begun = world.clock
          let stream = world.clients.open(request, from: world.gateway.address)
          #expect(await stream.receives("prompt_ready"))
          let took = (world.clock - begun).milliseconds
          #expect(took < 1000 + MachineDelay.since(begun).milliseconds, "\(request.method) \(took) ms")
          let result = await stream.result()
          #expect(result.events.map(\.type) == ["control", "message", "message", "stream_end"])
          let ready = try JSONValue(parsing: result.events[0].data)
          #expect(ready["source"]?.string == "gateway" && ready["name"]?.string == "prompt_ready")
          #expect(result.outcome == "completed" && result.streamEnd?["events"]?.integer == 2)
        }
      }
    }

    @Test func `a request that may get another answer than a stream waits for it`() async throws {
      try await World.with(Self.setup(nil, Self.json)) { world in
        for accept in ["application/json, text/event-stream", "*/*", "application/json"] {
          let result = await world.fetch(fields: [.prefersStreamEnd, .init("Accept", accept)])
          #expect(result.status == 200 && result.text == "{\"a\":1}", "\(accept)")
        }
        let announced = await world.fetchNew()
        #expect(announced.events.map(\.type) == ["control", "error", "stream_end"])
        #expect(announced.outcome == "upstream_error")
      }
    }
  }
}
