import Harness
import JSON
import Processes
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// What many readers see of one run, cut as often as may be, on one loop and on several.
  @Suite struct RunReaders {
    private static let tail = "abcdefgh"

    /// So many events, each with its number and some bytes in which it can be cut.
    private static func numbered(_ count: Int, every interval: Nanoseconds) -> Script {
      var steps: [Script.Step] = [.head()]
      for number in 1...count { steps += [.event(nil, "\(number)-\(tail)"), .pause(interval)] }
      return Script(steps + [.event(nil, "[DONE]"), .end])
    }

    private static func expected(_ count: Int) -> [String] { (1...count).map { "\($0)-\(tail)" } + ["[DONE]"] }

    @Test(arguments: [1, 4])
    func `a reader that is cut a thousand times gets every event once, in order`(workers: Int) async throws {
      let count = 1000
      let script = Self.numbered(count, every: .milliseconds(2))
      let setup = RunWorld.setup("{ onDisconnect: \"grace=20\" }", workers: workers, script: { _ in script })
      try await World.with(setup) { world in
        var payloads: [String] = []
        var lastID: String?
        var stream: String?
        for number in 1...count {
          // At an event's end, or inside the next.
          let mark = number % 2 == 0 ? "data: \(number)-\(Self.tail)\n\n" : "data: \(number + 1)-abc"
          let fields = lastID.map { [Script.Field.lastEventID($0)] } ?? []
          let result = await world.fetchNew(
            fields: fields, behaviour: number == count ? ClientBehaviour() : .hangingUp(at: mark))
          #expect(result.status == 200 && stream == nil || result.streamID == stream, "\(number)")
          stream = result.streamID
          payloads += result.payloads
          lastID = result.lastID ?? lastID
        }
        let whole = Self.expected(count)
        let isWhole = payloads == whole
        #expect(isWhole, "\(payloads.count) events, first wrong at \(zip(payloads, whole).prefix { $0 == $1 }.count)")
        let done = await world.fetchNew(fields: [.lastEventID(lastID ?? "")])
        #expect(done.status == 204 && world.backend.requests.count == 1)
      }
    }

    @Test(arguments: [false, true])
    func `of a client's readers on different loops the last is not taken for an older one`(isStored: Bool) async throws
    {
      let count = 200
      let redis = isStored ? try await RedisProcess() : nil
      defer { redis?.kill() }
      let runs = redis.map { "runs: { redis: { url: \"\($0.url)\" } }," } ?? ""
      var setup = World.Setup(
        variant: "graceful",
        configuration: """
          { upstreams: { main: { url: "UPSTREAM" } }, \(runs)
            routes: [{ name: "all", upstreams: ["main"],
              runs: { onDisconnect: "continue" \(isStored ? ", store: \"redis\"" : "") } }] }
          """, script: { _ in Self.numbered(count, every: .zero) })
      setup.settings["workers"] = "4"
      try await World.with(setup) { world in
        for round in 1...200 {
          let result = await world.fetchNew("/x", fields: [.signedIn, .clientStream("tab")])
          #expect(result.payloads == Self.expected(count), "\(round): \(result.text.suffix(400))")
          guard result.payloads == Self.expected(count) else { return }
        }
        #expect(world.backend.requests.count == 1)
      }
    }

    @Test func `many readers on all loops read one run, and one backend is asked`() async throws {
      let script = Self.numbered(100, every: .milliseconds(5))
      let setup = RunWorld.setup("{ onDisconnect: \"continue\" }", workers: 4, script: { _ in script })
      try await World.with(setup) { world in
        let first = world.open(fields: [.acceptsEvents, .prefersStreamEnd])
        _ = await eventually { !world.gateway.log("stream_opened").isEmpty }
        let stream = try #require(world.gateway.log("stream_opened").first?["streamId"]?.string)
        #expect(await first.receives("data: 40-"))
        let results = await withTaskGroup(of: ClientResult.self) { group in
          for index in 0..<40 {
            group.addTask {
              await world.fetchNew("/fermata/streams/\(stream)", fields: [.lastEventID("\(stream).\(index + 1)")])
            }
          }
          var results: [ClientResult] = []
          for await result in group { results.append(result) }
          return results
        }
        let whole = Self.expected(100)
        for result in results {
          let isTail = result.payloads == Array(whole.suffix(result.payloads.count))
          #expect(result.outcome == "completed" && isTail)
        }
        #expect(results.map(\.payloads.count).sorted() == Array(61...100))
        #expect(await first.result().payloads == whole)
        #expect(world.backend.requests.count == 1)
      }
    }

    @Test func `a long run reaches readers of other loops whole, in pieces`() async throws {
      let setup = RunWorld.setup("{ onDisconnect: \"continue\" }", workers: 4)
      try await World.with(setup) { world in
        let first = await world.fetchNew("/?events=4000&size=250&burst=1&complete=complete")
        let stream = try #require(first.streamID)
        #expect(first.outcome == "completed" && first.payloads.count == 4001)
        let results = await withTaskGroup(of: ClientResult.self) { group in
          for index in 0..<8 {
            let last = (index + 1) * 400
            group.addTask {
              await world.fetchNew("/fermata/streams/\(stream)", fields: [.lastEventID("\(stream).\(last)")])
            }
          }
          var results: [ClientResult] = []
          for await result in group { results.append(result) }
          return results
        }
        for result in results {
          let isTail = result.payloads == Array(first.payloads.suffix(result.payloads.count))
          #expect(result.outcome == "completed" && isTail)
        }
        #expect(results.map(\.payloads.count).sorted() == stride(from: 801, through: 3601, by: 400).map { $0 })
      }
    }

    @Test func `DELETE ends a run for all its readers, on whatever loop it comes in`() async throws {
      let script = Self.numbered(500, every: .milliseconds(20))
      let setup = RunWorld.setup("{ onDisconnect: \"continue\" }", workers: 4, script: { _ in script })
      try await World.with(setup) { world in
        for _ in 1...8 {
          let before = world.gateway.log("stream_opened").count
          let first = world.open(fields: [.acceptsEvents, .prefersStreamEnd])
          _ = await eventually { world.gateway.log("stream_opened").count > before }
          let stream = try #require(world.gateway.log("stream_opened").last?["streamId"]?.string)
          let second = world.openNew("/api/agents/stream/\(stream)")
          _ = await eventually { world.gateway.log("stream_opened").count > before + 1 }
          let state = try JSONValue(parsing: await world.fetch("/api/agents/run/\(stream)").text)
          #expect(state["state"]?.string == "running" && state["readers"]?.integer == 2)
          #expect(state["attempts"]?.integer == 1 && state["outcome"] == .null)
          let asked = world.clock
          let stop = await world.send(ClientRequest("DELETE", "/api/agents/run/\(stream)"))
          #expect(stop.status == 204)
          #expect(await first.result().outcome == "cancelled")
          #expect(await second.result().outcome == "cancelled")
          #expect(world.clock - asked < .milliseconds(250) + MachineDelay.since(asked))
          #expect(await eventually { world.backend.openRequests == 0 })
          let again = await world.send(ClientRequest("DELETE", "/api/agents/run/\(stream)"))
          #expect(again.status == 204)
          let after = try JSONValue(parsing: await world.fetch("/api/agents/run/\(stream)").text)
          #expect(after["state"]?.string == "ended" && after["outcome"]?.string == "cancelled")
        }
        #expect(await world.send(ClientRequest("DELETE", "/api/agents/run/nothing")).status == 404)
      }
    }

    @Test func `a run with a name in its path is opened once and then attached to, by its owner alone`() async throws {
      let script = Self.numbered(30, every: .milliseconds(20))
      let setup = RunWorld.setup(
        "{ name: \"runId\", onDisconnect: \"continue\" }", workers: 3, path: "/api/agents/stream/:runId",
        script: { _ in script })
      try await World.with(setup) { world in
        let mine: [Script.Field] = [.acceptsEvents, .prefersStreamEnd, .signedIn]
        let first = world.open("/api/agents/stream/42", fields: mine)
        _ = await eventually { world.backend.requests.count == 1 }
        try await Task.sleep(for: .milliseconds(100))
        let second = await world.fetch("/api/agents/stream/42", fields: mine)
        #expect(second.payloads == Self.expected(30) && second.outcome == "completed")
        #expect(await first.result().streamID == second.streamID)
        #expect(world.backend.requests.count == 1)
        let look = await world.fetch("/api/agents/run/42", fields: mine)
        #expect(look.status == 200 && look.text.contains("\"ended\""))
        #expect(await world.fetch("/api/agents/run/42", fields: [.authorization("x")]).status == 404)
        _ = await world.fetchNew("/api/agents/stream/42", fields: [.authorization("x")])
        #expect(world.backend.requests.count == 2)
      }
    }

    @Test func `a reader that is too slow for the window is told what it missed`() async throws {
      let big = String(repeating: "x", count: 10_000)
      let script = Script([
        .head(), .repeated(count: 2000, interval: .zero, [.event(nil, big)]), .event(nil, "[DONE]"), .end,
      ])
      let setup = RunWorld.setup("{ limit: \"1GB\", window: \"1MB\" }", script: { _ in script })
      try await World.with(setup) { world in
        var behaviour = ClientBehaviour()
        behaviour.readInterval = .milliseconds(25)
        let result = await world.fetchNew(behaviour: behaviour)
        #expect(result.outcome == "completed", "\(result.end) \(result.events.count) \(world.gateway.outcomes)")
        let resets = result.events.filter { $0.type == "stream_reset" }
        #expect(!resets.isEmpty)
        #expect(resets.allSatisfy { $0.data.contains("\"evicted\"") })
        #expect(result.payloads.last == "[DONE]" && result.payloads.count < 2001)
      }
    }

    @Test func `a prompt is announced at once, and payloads are stamped`() async throws {
      let script = Script([
        .head(), .pause(.milliseconds(300)), .event("control", "{\"type\":\"prompt_ready\"}"),
        .event(nil, "{\"a\":1}"), .event(nil, "text"), .event(nil, "[DONE]"), .end,
      ])
      try await World.with(RunWorld.setup("{ announce: true, stamp: true }", script: { _ in script })) { world in
        let result = await world.fetchNew(fields: [Script.Field("X-Client-Message-Id", "m-1")])
        #expect(result.events.map(\.type) == ["control", "message", "message", "message", "stream_end"])
        let ready = try JSONValue(parsing: result.events[0].data)
        #expect(ready["type"]?.string == "prompt_ready" && ready["client_message_id"]?.string == "m-1")
        let stamped = try JSONValue(parsing: result.events[1].data)
        #expect(stamped["streamId"]?.string == result.streamID && stamped["a"]?.integer == 1)
        #expect(result.events[2].data == "text")
        #expect(result.streamEnd?["events"]?.integer == 3)
        // What the gateway says of its own is not among the events that are counted.
        let tail = try Program.run(["tail", "http://\(world.gateway.address)/", "--json"])
        #expect(tail.exit == .code(0) && tail.output.contains(#""conclusion":"completed""#), "\(tail)")
        #expect(tail.output.contains("prompt_ready"))
      }
    }
  }
}
