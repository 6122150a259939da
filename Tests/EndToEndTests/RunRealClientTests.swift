import Harness
import JSON
import Processes
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// Runs, as programs that others wrote read them.
  @Suite struct RunRealClients {
    private static let chat = Script(
      [.head()]
        + (1...10).flatMap { number -> [Script.Step] in
          [.event(nil, "{\"choices\":[{\"delta\":{\"content\":\"word\(number) \"}}]}"), .pause(.milliseconds(150))]
        } + [.event(nil, "[DONE]"), .end])

    @Test(.enabled(if: Tools.havePython))
    func `OpenAI's SDK that asks again while the first is running: one call of the backend`() async throws {
      for variant in ["legacy", "graceful"] {
        let setup = RunWorld.setup("{ onDisconnect: \"continue\" }", variant: variant, workers: 3) { _ in Self.chat }
        try await World.with(setup) { world in
          let url = "http://\(world.gateway.address)"
          let options = (variant == "graceful" ? ["prefer"] : []) + ["key=order-1"]
          @Sendable func ask() async throws -> String {
            let answer = try Tools.python("openai_sdk.py", [url, variant] + options)
            return answer["text"]?.string ?? "\(answer)"
          }
          async let first = ask()
          async let second = ask()
          let third = try await (first, second)
          let whole = (1...10).map { "word\($0) " }.joined()
          #expect(third.0 == whole && third.1 == whole)
          #expect(try await ask() == whole, "the finished one is read again")
          #expect(world.backend.requests.count == 1)
        }
      }
    }

    @Test(.enabled(if: Tools.haveBrowser))
    func `Chromium's EventSource is cut, comes back by itself, loses nothing, and stops at the end`() async throws {
      let events = RunWorld.ticking(40, every: .milliseconds(40))
      let setup = World.Setup(
        variant: "graceful",
        configuration: """
          { upstreams: { main: { url: "UPSTREAM" } }, stream: { retry: "100ms" },
            routes: [
              { name: "stream", path: "/stream", upstreams: ["main"], runs: { onDisconnect: "grace" } },
              { name: "pages", upstreams: ["main"] },
            ] }
          """,
        script: { $0.path == "/stream" ? events : .plain(type: "text/html", Array(Self.page.utf8)) })
      try await World.with(setup) { world in
        let relay = try ChildProcess(
          [Tools.pythonPath, Tools.root + "/Tests/RealClients/cutting_relay.py", "\(world.gateway.address)", "700"])
        defer { relay.stop() }
        let address = try #require(relay.readLine(timeout: .seconds(60)))
        let run = try Tools.run(
          [Tools.pythonPath, Tools.root + "/Tests/RealClients/browser.py", "http://\(address)/page"],
          timeout: .seconds(120))
        let expected = (1...40).map { "\($0)" }.joined(separator: " ") + " [DONE]"
        // A cut between the last event and stream_end leaves nothing to come back for: 204 it is.
        let endings = [" stream_end closed", " closed"].map { expected + $0 }
        #expect(endings.contains(run.lines.first ?? ""), "\(run)")
        #expect(world.backend.requests.count { $0.path == "/stream" } == 1)
        #expect(world.gateway.log("stream_opened").count > 3, "it was cut several times")
      }
    }

    /// Never closes: a stream's end makes an EventSource ask again, and 204 makes it stop.
    private static let page = """
      <!doctype html><title>events</title><script>
      const seen = [], source = new EventSource("/stream?stream_end=1");
      source.onmessage = event => seen.push(event.data);
      source.addEventListener("stream_end", () => seen.push("stream_end"));
      source.onerror = () => { if (source.readyState === 2) window.result = seen.concat("closed").join(" "); };
      setTimeout(() => window.result ||= seen.concat("still open").join(" "), 25000);
      </script>
      """
  }
}
