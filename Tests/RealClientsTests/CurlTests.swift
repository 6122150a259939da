import Harness
import Processes
import RunningGateway
import Testing
import Time

extension RealClients {
  @Suite(.enabled(if: Tool.arePresent(Tool.curl))) struct Curl {
    /// The body, and what curl says with it: each answer's mode and new connections, and its own exit.
    private func fetch(
      _ world: World, _ arguments: [String]
    ) async throws -> (body: [UInt8], report: String, exit: ChildProcess.Exit?) {
      let curl = try #require(Tool.curl, "curl is missing")
      let directory = try ScratchDirectory()
      let run = try await Tool.run(
        [
          curl, "-sN", "--max-time", "30", "-o", directory["body"], "-w", "%header{x-stream-mode} %{num_connects}\\n",
        ] + arguments + ["http://\(world.gateway.address)/stream"])
      return (Array((directory.text("body") ?? "").utf8), run.output, run.exit)
    }

    private func bytes(of events: [(String, String)]) -> [UInt8] { events.flatMap { Script.event($0.0, $0.1) } }

    @Test func `curl gets a legacy body byte for byte`() async throws {
      try await World.with("legacy", Sample.stream) { world in
        let result = try await fetch(world, ["-H", "Accept: text/event-stream"])
        #expect(result.exit == .code(0) && result.report == "legacy 1")
        let sent = Sample.stream.steps.flatMap { step -> [UInt8] in
          if case .body(let bytes) = step { return bytes }
          return []
        }
        #expect(result.body == sent)
        #expect(await world.outcomes() == ["completed"])
      }
    }

    @Test func `curl gets through shield the same events, the completion last`() async throws {
      try await World.with("shield", Sample.stream) { world in
        let result = try await fetch(world, ["-H", "Accept: text/event-stream"])
        #expect(result.exit == .code(0) && result.report == "shield 1")
        let expected = bytes(of: [
          ("token", "{\"n\":1}"), ("token", "{\"n\":2}"), ("token", "zwei\nlines, ünd more"), ("trailing", "1"),
          ("trailing", "2"), ("complete", "{\"type\":\"complete\"}"),
        ])
        #expect(result.body == expected)
      }
    }

    @Test func `curl gets stream_end in graceful, over a connection it uses again`() async throws {
      try await World.with("graceful", Sample.stream) { world in
        let second = "http://\(world.gateway.address)/stream"
        let result = try await fetch(world, ["-H", "Prefer: stream-end", second, "-o", "/dev/null"])
        #expect(result.exit == .code(0))
        #expect(result.report == "graceful 1\ngraceful 0")
        let text = String(decoding: result.body, as: UTF8.self)
        #expect(text.hasPrefix(":ok\n") && text.hasSuffix("\"message\":\"Stream ending\"}\n\n"))
        #expect(await world.outcomes(2) == ["completed", "completed"])
      }
    }

    @Test func `curl can tell a cut`() async throws {
      let script = Script([.head(), .event("token", "1"), .pause(.milliseconds(30)), .cut])
      try await World.with("legacy", script) { world in
        let result = try await fetch(world, [])
        // 18: the transfer ended before its end. 56: the connection was reset.
        #expect([.code(18), .code(56)].contains(result.exit))
        #expect(result.body == Script.event("token", "1"))
        #expect(await world.outcomes() == ["upstream_truncated"])
      }
    }
  }
}
