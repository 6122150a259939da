import Harness
import JSON
import RunningGateway
import Testing

extension RealClients {
  @Suite(.enabled(if: Tool.arePresent(Tool.python))) struct Numbers {
    @Test func `what stream_end counts is what httpx-sse got`() async throws {
      try await World.with("graceful", Sample.stream) { world in
        let url = "http://\(world.gateway.address)/stream"
        let report = try await Tool.report("httpx_sse_client.py", [url, "prefer"])
        #expect(report["error"]?.isNull == true, "\(report)")
        // Type, id, data.
        let events = (report["events"]?.array ?? []).map { $0.array?.compactMap(\.string) ?? [] }
        try #require(events.count == 7 && events.allSatisfy { $0.count == 3 }, "\(events)")
        let end = try JSONValue(parsing: events[6][2])
        #expect(end["outcome"]?.string == "completed" && end["events"]?.integer == 6)
        let stream = try #require(end["streamId"]?.string)
        #expect(events.prefix(6).map { $0[1] } == (1...6).map { "\(stream).\($0)" })
        #expect(end["lastEventId"]?.string == events[5][1])
        #expect(events[2][2] == "zwei\nlines, ünd more")
      }
    }
  }
}
