import Harness
import JSON
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// Whole events, `stream_end`, a measured close.
  @Suite struct Graceful {
    @Test func `the last event arrives, then stream_end with the counts, then the end`() async throws {
      try await World.with(World.Setup(variant: "graceful")) { world in
        let result = await world.fetchNew("/?events=3&complete=complete&trailing=2")
        #expect(result.end == .clean && result.mode == "graceful" && result.status == 200)
        #expect(result.text.hasPrefix(":ok\n"))
        #expect(
          result.events.map(\.type) == [
            "token", "token", "token", "complete", "trailing", "trailing", "stream_end",
          ])
        let end = try #require(result.streamEnd)
        #expect(end["type"]?.string == "stream_end" && end["outcome"]?.string == "completed")
        #expect(end["events"]?.integer == 6 && end["resumable"]?.bool == false)
        #expect(end["partialEvent"]?.bool == false && end["reason"]?.string?.isEmpty == false)
        #expect(end["streamId"]?.string == result.head.value("X-Stream-Id"))
        #expect(end["lastEventId"]?.string == result.events.dropLast().last?.id)
        #expect(result.head.value("Content-Type") == "text/event-stream; charset=utf-8")
        #expect(result.head.value("Preference-Applied") == "stream-end")
      }
    }

    @Test func `the head and ok are sent before the backend's first event`() async throws {
      let script = Script([.head(), .pause(.milliseconds(400)), .event(nil, "1"), .end])
      try await World.with("graceful", script) { world in
        let result = await world.fetchNew()
        let first = try #require(result.firstByteAt)
        #expect(result.endedAt - first > .milliseconds(300))
        #expect(result.text.hasPrefix(":ok\n"))
      }
    }

    @Test func `events are numbered until the backend gives an id of its own, which is never doubled`() async throws {
      let script = Script([
        .head(), .event(nil, "1"), .event(nil, "2", id: "own"), .event(nil, "3"), .end,
      ])
      try await World.with("graceful", script) { world in
        let result = await world.fetchNew()
        let stream = try #require(result.head.value("X-Stream-Id"))
        #expect(result.backendEvents.map(\.id) == ["\(stream).1", "own", nil])
        #expect(result.streamEnd?["lastEventId"]?.string == "own")
        #expect(!result.text.contains("id: own\nid:") && !result.text.contains("\nid: \(stream).2\n"))
      }
    }

    @Test func `no SDK that decodes as OpenAI's does meets an empty event`() async throws {
      let script = Script([
        .head(), .body(":hello\n\n"), .event(nil, "{\"a\":1}"), .pause(.milliseconds(250)), .body("retry: 5\n\n"),
        .event(nil, "{\"a\":2}"), .body("id: 9\n\n"), .event(nil, "[DONE]"), .end,
      ])
      let settings = ["stream.keepalive": "50ms", "stream.retry": "2s"]
      try await World.with("graceful", settings: settings, script) { world in
        let result = await world.fetchNew()
        #expect(result.text.contains("\n:\n"), "keepalives came")
        #expect(!result.text.contains(":\n\n") && result.text.contains("retry: 2000\n"))
        #expect(result.outcome == "completed")
        // What the backend itself sends without data is its own; the gateway adds no such block.
        let blocks = EagerDecoder.blocks(in: result.text).filter { $0.data.isEmpty }
        #expect(blocks.count <= 2, "\(blocks)")
        #expect(blocks.allSatisfy { $0.id == "9" || $0.retry == "5" }, "\(blocks)")
      }
    }

    @Test func `stream_end is one line of JSON, and only for clients that asked`() async throws {
      try await World.with(World.Setup(variant: "graceful")) { world in
        let new = await world.fetchNew("/?events=1&done=1")
        let end = try #require(new.events.last)
        #expect(end.type == "stream_end" && !end.data.contains("\n") && end.id == nil)
        let payload = try JSONValue(parsing: end.data)
        #expect(payload.object != nil)
        let old = await world.fetch("/?events=1&done=1")
        #expect(old.mode == "legacy" && !old.text.contains("stream_end"))
      }
    }

    @Test func `the delay between the backend's end and stream_end is a turn of the loop`() async throws {
      try await World.with(World.Setup(variant: "graceful")) { world in
        var delays: [Nanoseconds] = []
        let begun = world.clock
        for _ in 0..<20 {
          let result = await world.fetchNew("/?events=3&complete=complete&interval=5")
          #expect(result.outcome == "completed")
          // The backend notes the end after it has written it.
          #expect(await eventually { world.backend.requests.last?.endedAt != nil })
          let end = try #require(world.backend.requests.last?.endedAt)
          delays.append(result.endedAt - end)
        }
        delays.sort()
        let late = Nanoseconds(MachineDelay.since(begun).value / 20)
        #expect(delays[10] < .milliseconds(20) + late, "half of them took longer: \(delays)")
      }
    }

    @Test func `after stream_end the connection serves the next request`() async throws {
      try await World.with(World.Setup(variant: "graceful")) { world in
        let connection = try RawConnection(to: world.gateway.address)
        for _ in 0..<3 {
          connection.send("GET /?events=1&done=1 HTTP/1.1\r\nHost: h\r\nPrefer: stream-end\r\n\r\n")
          let response = try #require(connection.response())
          #expect(response.text.contains("event: stream_end"))
        }
        connection.close()
        let closes = await eventually {
          await world.gateway.metric("fermata_close_total", ["mode": "graceful", "result": "confirmed"]) == 3
        }
        #expect(closes, "each close is confirmed by the next request or by the client's end")
      }
    }

    @Test func `a client with unread input still gets the tail`() async throws {
      let script = Script([.head(), .flood(600_000), .body("\n\n"), .event("complete", "last"), .end])
      try await World.with("graceful", settings: ["stream.eventLimit": "1000000"], script) { world in
        let connection = try RawConnection(to: world.gateway.address, receiveBuffer: 8192)
        // One byte too many stays unread in the gateway's socket when it closes.
        connection.send("GET / HTTP/1.1\r\nHost: h\r\nPrefer: stream-end\r\nConnection: close\r\n\r\nG")
        for _ in 0..<20 {
          _ = connection.take(4096)
          try await Task.sleep(for: .milliseconds(10))
        }
        let text = String(decoding: connection.rest(), as: UTF8.self)
        #expect(text.contains("data: last\n\n") && text.contains("event: stream_end"))
        #expect(text.hasSuffix("0\r\n\r\n") && connection.end == .finished)
      }
    }

    @Test func `a stream that ends says so last, whether it is finished or drained`() async throws {
      let settings = ["drain": "600ms", "stream.linger": "300ms"]
      try await World.with(World.Setup(variant: "graceful", settings: settings)) { world in
        let finished = await world.fetch("/?events=2&complete=complete&stream_end=1")
        #expect(finished.events.last?.type == "stream_end" && finished.end == .clean)
        let open = world.openNew("/?events=1&stall=1")
        #expect(await open.receives("data: {\"n\":1}"))
        let idle = try RawConnection(to: world.gateway.address)
        let kept = try RawConnection(to: world.gateway.address)
        kept.send("GET /?events=1&stall=1 HTTP/1.1\r\nHost: h\r\n\r\n")
        #expect(kept.receives("data:"))
        world.gateway.signal(15)
        let ended = await open.result()
        #expect(ended.outcome == "draining", "\(ended.end) \(ended.text)")
        #expect(idle.rest().isEmpty)
      }
    }
  }
}

/// Splits a body as OpenAI's SDKs do: a blank line dispatches as soon as an id or a retry was seen, data or not.
enum EagerDecoder {
  struct Block {
    var data = ""
    var id: String?
    var retry: String?
  }

  static func blocks(in text: String) -> [Block] {
    var blocks: [Block] = []
    var block = Block()
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
      if line.isEmpty {
        if !block.data.isEmpty || block.id != nil || block.retry != nil { blocks.append(block) }
        block = Block()
      } else if line.hasPrefix("data:") {
        block.data += line.dropFirst(5).drop { $0 == " " }
      } else if line.hasPrefix("id:") {
        block.id = String(line.dropFirst(3).drop { $0 == " " })
      } else if line.hasPrefix("retry:") {
        block.retry = String(line.dropFirst(6).drop { $0 == " " })
      }
    }
    return blocks
  }
}
