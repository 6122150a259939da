import Harness
import JSON
import Loop
import Processes
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// `fermata top`.
  @Suite struct Top {
    @Test func `it prints what is so now, for people and for programs`() async throws {
      try await World.with("graceful", ScriptQuery("events=2&stall=2").script) { world in
        let streams = (0..<3).map { _ in world.openNew("/") }
        for stream in streams { #expect(await stream.receives("data")) }
        try await Task.sleep(for: .milliseconds(1200))
        let admin = "http://\(world.gateway.admin)"
        let text = try Program.run(["top", "--admin", admin, "--once", "--sort", "age"])
        #expect(text.exit == .code(0), "\(text)")
        let lines = text.output.split(separator: "\n")
        #expect(lines.first?.hasPrefix("fermata 0.1.0  ready") == true)
        #expect(lines.contains { $0 == "Nothing is wrong." })
        #expect(lines.contains { $0.hasPrefix("open 3 ") })
        #expect(lines.filter { $0.contains("graceful") }.count == 3)
        #expect(!text.output.contains("\u{1B}"))
        let json = try Program.run(["top", "--admin", admin, "--once", "--json"])
        let document = try JSONValue(parsing: json.output)
        #expect(document["streams"]?["open"]?.integer == 3 && document["state"]?["version"]?.string == "0.1.0")
        for stream in streams { stream.hangUp() }
      }
    }

    @Test func `in a terminal its keys sort and quit, and the terminal is as before`() async throws {
      try await World.with { world in
        let program = "\(Program.path) top --admin http://\(world.gateway.admin)"
        let keys = "sleep 2.5; printf b; sleep 2.5; printf q; sleep 1"
        let child = try ChildProcess(["sh", "-c", "(\(keys)) | script -qec '\(program); stty -a' /dev/null"])
        var text = ""
        while let line = child.readLine(timeout: .seconds(15)) { text += line + "\n" }
        #expect(text.contains("\u{1B}[?1049h") && text.contains("\u{1B}[?1049l"))
        #expect(text.contains("sorted by silence") && text.contains("sorted by bytes"))
        let after = text.split(separator: "\u{1B}[?1049l").last ?? ""
        #expect(after.contains(" icanon") && after.contains(" echo "))
      }
    }

    @Test func `a gateway that is away, or asks for a token, is told`() async throws {
      let away = try Program.run(["top", "--admin", "127.0.0.1:9", "--once"])
      #expect(away.exit == .code(1) && away.errors.contains("does not answer"))
      #expect(try Program.run(["top", "--sort", "nonsense"]).exit == .code(2))
      try await World.with(World.Setup(settings: ["admin.token": "0123456789abcdef-secret"])) { world in
        let none = try Program.run(["top", "--admin", "\(world.gateway.admin)", "--once"])
        #expect(none.exit == .code(1) && none.errors.contains("--token"))
        let right = try Program.run([
          "top", "--admin", "\(world.gateway.admin)", "--once", "--token", "0123456789abcdef-secret",
        ])
        #expect(right.exit == .code(0))
        world.gateway.signal(15)
        #expect(await world.gateway.exit(within: .seconds(5)) == .code(0))
      }
    }
  }
}
