import Harness
import JSON
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// What a client is told that goes on, on another replica, from where it can't.
  @Suite(.enabled(if: RedisProcess.isAvailable)) struct ReplicaResets {
    private static let me = Script.Field.authorization("Bearer me")
    private static let you = Script.Field.authorization("Bearer you")
    private static let unknown = "AAAAAAAAAAAAAAAAAAAAAA"

    /// The first event's data, if it is a `stream_reset`.
    private func readReset(_ result: ClientResult) -> JSONValue? {
      guard let first = result.events.first, first.type == "stream_reset" else { return nil }
      return try? JSONValue(parsing: first.data)
    }

    /// Everything that is told, but what differs from stream to stream.
    private func told(_ result: ClientResult) -> [String] {
      let own = result.streamID ?? "none"
      let text = result.text.replacing(own, with: "ID").replacing(#/"timestamp":"[^"]*"/#, with: "")
      return ["\(result.status)", text] + result.head.fields.map(\.name).filter { $0 != "Date" }
    }

    @Test func `another's run and one that never was look the same everywhere`() async throws {
      try await Replicas.with(script: RunWorld.ticking(3, every: .milliseconds(5))) { replicas in
        let mine = await replicas.world.fetchNew(fields: [Self.me])
        let stream = try #require(mine.streamID)
        for gateway in replicas.both {
          for (method, path) in [
            ("GET", "/fermata/streams/"), ("GET", "/api/agents/run/"), ("DELETE", "/api/agents/run/"),
          ] {
            let theirs = await replicas.open(path + stream, of: gateway, method: method, fields: [Self.you]).result()
            let nobodys = await replicas.open(path + Self.unknown, of: gateway, method: method, fields: [Self.you])
              .result()
            #expect(theirs.status == 404 && told(theirs) == told(nobodys), "\(method) \(path)")
          }
          let results = await [stream, Self.unknown].asyncMap { stream in
            await replicas.open("/", of: gateway, fields: [Self.you, .lastEventID("\(stream).2")]).result()
          }
          for result in results {
            #expect(
              result.events.map(\.type) == ["stream_reset"] + Array(repeating: "message", count: 4) + ["stream_end"])
            let reset = try #require(readReset(result))
            #expect(reset["reason"]?.string == "unknown" && reset["oldest"] == .null)
            #expect(reset["streamId"]?.string == result.streamID && result.streamID != stream)
          }
          #expect(told(results[0]) == told(results[1]))
          let posts = await [stream, Self.unknown].asyncMap { stream in
            await replicas.open("/", of: gateway, method: "POST", fields: [Self.you, .lastEventID("\(stream).2")])
              .result()
          }
          #expect(posts[0].status == 404 && told(posts[0]) == told(posts[1]))
        }
        let wanted = try replicas.redis.cli("exists", "ai:run:\(stream):cancel")
        #expect(wanted == "0")
        #expect(replicas.world.backend.requests.count == 5)
      }
    }

    @Test func `an id of another run, or of an event that never was, begins this one anew`() async throws {
      try await Replicas.with(script: RunWorld.ticking(10, every: .milliseconds(50))) { replicas in
        let older = try #require(await replicas.world.fetchNew().streamID)
        let live = replicas.world.openNew()
        let stream = try await live.streamID()
        #expect(await live.receives("data: 3\n"))
        for (id, reason) in [("\(older).3", "epoch"), ("\(stream).99", "unknown"), ("no-id-at-all", "unknown")] {
          let result = await replicas.ask("/fermata/streams/\(stream)", fields: [.lastEventID(id)])
          let reset = try #require(readReset(result), "\(id): \(result.text.prefix(200))")
          #expect(reset["reason"]?.string == reason && reset["oldest"]?.string == "\(stream).1")
          #expect(result.payloads == RunWorld.numbers(1...10) && result.streamID == stream)
        }
        #expect(await live.result().outcome == "completed" && replicas.world.backend.requests.count == 2)
      }
    }

    @Test(arguments: [false, true])
    func `events that Redis has no more are told as evicted, with the oldest kept`(isOver: Bool) async throws {
      let script = RunWorld.ticking(20, every: isOver ? .milliseconds(40) : .milliseconds(80))
      try await Replicas.with(script: script) { replicas in
        let live = replicas.world.openNew()
        let stream = try await live.streamID()
        #expect(await live.receives("data: 12\n"))
        if isOver { _ = await live.result() }
        // An operator's, or what the memory of Redis was too small for.
        let isTrimmed = await eventually(within: .seconds(5)) {
          ((try? replicas.redis.cli("xtrim", "ai:run:\(stream):events", "minid", "9-0")) ?? "0") != "0"
        }
        #expect(isTrimmed)
        for last in [nil, 3, 7, 8, 12] {
          let fields = last.map { [Script.Field.lastEventID("\(stream).\($0)")] } ?? []
          let result = await replicas.ask("/fermata/streams/\(stream)", fields: fields)
          #expect(result.status == 200 && result.outcome == "completed")
          let isWhole = (last ?? 0) >= 8
          let reset = readReset(result)
          #expect((reset == nil) == isWhole, "\(last ?? -1)")
          if let reset {
            #expect(reset["reason"]?.string == "evicted" && reset["oldest"]?.string == "\(stream).9")
          }
          #expect(result.payloads == RunWorld.numbers((isWhole ? (last ?? 0) + 1 : 9)...20))
        }
        let owner = await replicas.world.fetchNew(fields: [.lastEventID("\(stream).3")])
        #expect(owner.payloads == RunWorld.numbers(4...20))
      }
    }
  }
}

extension Array {
  fileprivate func asyncMap<Value>(_ body: (Element) async -> Value) async -> [Value] {
    var values: [Value] = []
    for element in self { values.append(await body(element)) }
    return values
  }
}
