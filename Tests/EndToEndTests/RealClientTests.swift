import Harness
import JSON
import Processes
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// Clients that people use, in every mode: what counts is what they see.
  ///
  /// They need `.ci/test` to have made its Python environment, curl and Chromium. Without them these tests are skipped
  /// loudly; on a build server (`CI=true`) they fail.
  @Suite struct RealClients {
    static let openAI = (1...3).map { "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"word\($0) \"}}]}" }
    static let anthropic: [(String, String)] = [
      (
        "message_start",
        "{\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\","
          + "\"content\":[],\"stop_reason\":null,\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}}"
      ),
      (
        "content_block_start",
        "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}"
      ),
      (
        "content_block_delta",
        "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"hello\"}}"
      ),
      ("content_block_stop", "{\"type\":\"content_block_stop\",\"index\":0}"),
      ("message_stop", "{\"type\":\"message_stop\"}"),
    ]

    /// The variant is the client's identity, so that one gateway serves all modes: `?who=graceful`.
    static let setup = World.Setup(
      settings: ["identity.query": "who", "stream.keepalive": "80ms"]
    ) { request in
      switch request.path {
      case "/v1/chat/completions":
        var steps = openAI.flatMap { [.event(nil, $0), .pause(.milliseconds(120))] as [Script.Step] }
        steps += request.query.contains("cut=1") ? [.cut] : [.event(nil, "[DONE]"), .end]
        return Script([.head()] + steps)
      case "/v1/messages":
        let isCut = request.query.contains("cut=1")
        let steps = anthropic.prefix(isCut ? 3 : 5).map { Script.Step.event($0.0, $0.1) }
        return Script([.head()] + steps + [.pause(.milliseconds(200)), isCut ? .cut : .end])
      case "/page": return .plain(type: "text/html", Array(page.utf8))
      default: return ScriptedBackend.byQuery(request)
      }
    }

    static func withWorld(_ body: (World) async throws -> Void) async throws {
      try await World.with(setup) { world in
        let document = FlagFile.document("legacy", targeting: "{ \"var\": \"targetingKey\" }", version: "2")
        #expect(await world.setFlags(document, version: "2"))
        try await body(world)
      }
    }

    static let modes = ["legacy", "shield", "graceful"]

    @Test(.enabled(if: Tools.havePython))
    func `OpenAI's SDK has the whole answer in every mode, and sees a cut`() async throws {
      try await Self.withWorld { world in
        let url = "http://\(world.gateway.address)"
        for mode in Self.modes {
          let options = mode == "graceful" ? ["prefer"] : []
          let whole = try Tools.python("openai_sdk.py", [url, mode] + options)
          #expect(whole["text"]?.string == "word1 word2 word3 " && whole["error"]?.isNull == true, "\(whole)")
          #expect(whole["mode"]?.string == mode)
          let cut = try Tools.python("openai_sdk.py", [url, mode, "cut"] + options)
          #expect(cut["text"]?.string == "word1 word2 word3 " && cut["error"]?.string != nil, "\(cut)")
        }
        // The SDK stops at its dialect's end and leaves: that is no abort.
        #expect(await world.outcomes(6).count { $0 == "completed" } == 3, "\(world.gateway.outcomes)")
      }
    }

    @Test(.enabled(if: Tools.havePython))
    func `Anthropic's SDK has the whole answer in every mode, and sees a cut`() async throws {
      try await Self.withWorld { world in
        let url = "http://\(world.gateway.address)"
        for mode in Self.modes {
          let options = mode == "graceful" ? ["prefer"] : []
          let whole = try Tools.python("anthropic_sdk.py", [url, mode] + options)
          #expect(whole["text"]?.string == "hello" && whole["error"]?.isNull == true, "\(whole)")
          // An opted-in client of this SDK is handed stream_end like any event that it does not know.
          let last = mode == "graceful" ? "stream_end" : "message_stop"
          #expect(whole["types"]?.array?.last?.string == last && whole["mode"]?.string == mode, "\(whole)")
          let cut = try Tools.python("anthropic_sdk.py", [url, mode, "cut"] + options)
          #expect(cut["error"]?.string != nil, "\(cut)")
        }
      }
    }

    @Test(.enabled(if: Tools.havePython))
    func `httpx-sse has every event in every mode, and sees a cut`() async throws {
      try await Self.withWorld { world in
        let url = "http://\(world.gateway.address)/?events=3&interval=100"
        for mode in Self.modes {
          let options = mode == "graceful" ? ["prefer"] : []
          let whole = try Tools.python("httpx_sse_client.py", [url + "&complete=done&trailing=1&who=\(mode)"] + options)
          let types = whole["events"]?.array?.compactMap { $0.array?.first?.string } ?? []
          #expect(types == Self.types(in: mode), "\(whole)")
          #expect(whole["error"]?.isNull == true && whole["mode"]?.string == mode)
          let cut = try Tools.python("httpx_sse_client.py", [url + "&cut=2&who=\(mode)"] + options)
          let outcome = cut["events"]?.array?.last?.array?.last?.string ?? ""
          #expect(cut["error"]?.string != nil || outcome.contains("upstream_truncated"), "\(cut)")
        }
      }
    }

    /// The types of the events that a client of that mode gets.
    static func types(in mode: String) -> [String] {
      let tokens = ["token", "token", "token"]
      switch mode {
      case "shield": return tokens + ["trailing", "done"]
      case "graceful": return tokens + ["done", "trailing", "stream_end"]
      default: return tokens + ["done", "trailing"]
      }
    }

    @Test(.enabled(if: Tools.haveCurl))
    func `curl has every byte in every mode, and fails at a cut`() async throws {
      try await Self.withWorld { world in
        let url = "http://\(world.gateway.address)/?events=2&who="
        for mode in Self.modes {
          let options = mode == "graceful" ? ["-H", "Prefer: stream-end"] : []
          let whole = try Tools.run(["curl", "-sSN", "--max-time", "20"] + options + [url + mode + "&done=1"])
          #expect(whole.exit == .code(0))
          let payloads = whole.lines.filter { $0.hasPrefix("data:") }
          #expect(payloads.prefix(3) == ["data: {\"n\":1}", "data: {\"n\":2}", "data: [DONE]"], "\(payloads)")
          #expect(payloads.count == (mode == "graceful" ? 4 : 3))
          let cut = try Tools.run(["curl", "-sSN", "--max-time", "20"] + options + [url + mode + "&cut=2"])
          let isTold = cut.lines.contains { $0.contains("\"outcome\":\"upstream_truncated\"") }
          #expect(mode == "graceful" ? cut.exit == .code(0) && isTold : cut.exit != .code(0), "\(mode): \(cut)")
        }
      }
    }

    @Test(.enabled(if: Tools.haveBrowser))
    func `Chromium's EventSource has every event in every mode, and a new one stops by itself`() async throws {
      try await Self.withWorld { world in
        let base = "http://\(world.gateway.address)/page?"
        let pages = ["old=1&who=legacy", "old=1&who=shield", "who=graceful"].map { base + $0 }
        let run = try Tools.run(
          [Tools.pythonPath, Tools.root + "/Tests/RealClients/browser.py"] + pages, timeout: .seconds(120))
        #expect(run.exit == .code(0) && run.lines.count == 3, "\(run)")
        guard run.lines.count == 3 else { return }
        #expect(run.lines[0] == "token token token done")
        #expect(run.lines[1] == "token token token trailing done")
        #expect(run.lines[2] == "token token token done trailing stream_end")
        let streams = world.backend.requests.filter { $0.path == "/stream" }
        #expect(streams.count == 3, "none of them asked again")
      }
    }

    /// An old page closes at the completion event, a new one at `stream_end`. Either waits a little longer than a
    /// browser does before it reconnects.
    static let page = """
      <!doctype html><title>events</title><script>
      const query = new URLSearchParams(location.search), old = query.has("old"), seen = [];
      const source = new EventSource(
        `/stream?events=3&interval=50&complete=done&trailing=1&who=${query.get("who")}` + (old ? "" : "&stream_end=1"));
      const stop = () => { source.close(); setTimeout(() => window.result = seen.join(" "), old ? 300 : 4000); };
      for (const type of ["token", "done", "trailing", "stream_end"]) {
        source.addEventListener(type, () => { seen.push(type); if (type === (old ? "done" : "stream_end")) stop(); });
      }
      source.onerror = () => seen.push("error");
      </script>
      """
  }
}

/// The tools of other people that these tests need.
enum Tools {
  struct Run {
    let lines: [String]
    let exit: ChildProcess.Exit?
  }

  static let root = String(#filePath.dropLast("/Tests/EndToEndTests/RealClientTests.swift".count))
  static let pythonPath = root + "/.build/venv/bin/python"

  static let havePython = isPresent("Python's clients", [pythonPath, "-c", "import openai, anthropic, httpx_sse, h2"])
  static let haveNode = isPresent("Node.js", ["node", "--version"])
  static let haveCurl = isPresent("curl", ["curl", "--version"])
  static let haveBrowser =
    havePython && isPresent("Chromium", ["/usr/bin/chromium", "--version"])
    && isPresent("Chromium's driver", ["/usr/bin/chromedriver", "--version"])

  /// Whether the tests that need it run: always on a build server, where its absence is a failure.
  private static func isPresent(_ name: String, _ command: [String]) -> Bool {
    if let run = try? run(command), run.exit == .code(0) { return true }
    print("*** \(name) is absent: the tests with it do NOT run. `.ci/test` installs it. ***")
    return Host.environment["CI"] == "true"
  }

  static func run(_ command: [String], timeout: Nanoseconds = .seconds(60)) throws -> Run {
    let child = try ChildProcess(command)
    child.closeInput()
    var lines: [String] = []
    while let line = child.readLine(timeout: timeout) { lines.append(line) }
    return Run(lines: lines, exit: child.wait(timeout: timeout))
  }

  /// Runs a script of `Tests/RealClients` and returns the object that it prints.
  static func python(_ script: String, _ arguments: [String]) throws -> JSONValue {
    try object(of: pythonPath, script, arguments)
  }

  static func node(_ script: String, _ arguments: [String]) throws -> JSONValue {
    try object(of: "node", script, arguments)
  }

  private static func object(of program: String, _ script: String, _ arguments: [String]) throws -> JSONValue {
    let run = try run([program, root + "/Tests/RealClients/" + script] + arguments)
    guard let line = run.lines.last else { throw SupportError("\(script) printed nothing: \(run)") }
    return try JSONValue(parsing: line)
  }
}
