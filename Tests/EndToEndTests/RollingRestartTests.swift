import Harness
import JSON
import Loop
import Processes
import RunningGateway
import TLS
import Testing
import Time

extension EndToEnd {
  /// A new process takes over while clients of five kinds read over HTTP/2 and TLS: no stream notices.
  @Suite struct RollingRestarts {
    private static let streams = 100
    private static let events = 60
    private static let path = "/script?events=\(events)&interval=250&complete=complete&stream_end=1"

    /// A kind of client at work on its hundred streams.
    private struct Readers {
      let name: String
      let tool: ChildProcess
      /// How many of the streams were whole, from what the tool has printed.
      let whole: ([String]) throws -> Int
    }

    /// Of `[tokens, last event]`.
    private static func isWhole(_ stream: JSONValue) -> Bool {
      stream.array?.first?.integer == events
        && stream.array?.last?.string?.contains(#""outcome":"completed""#) == true
    }

    private static func whole(_ lines: [String]) throws -> Int {
      try JSONValue(parsing: lines.joined())["streams"]?.array?.count { isWhole($0) } ?? 0
    }

    private static func script(_ name: String, _ program: String, _ url: String) throws -> Readers {
      let roots = try HTTPS.certificates.get().roots
      let file = Tools.root + "/Tests/RealClients/\(name)"
      let tool = try ChildProcess([program, file, url + path, "\(streams)", roots])
      return Readers(name: name, tool: tool, whole: whole)
    }

    private static func chromium(_ url: String) throws -> Readers {
      let tool = try ChildProcess([Tools.pythonPath, Tools.root + "/Tests/RealClients/browser.py", url + "/page"])
      return Readers(name: "Chromium", tool: tool) { Int($0.first ?? "") ?? 0 }
    }

    private static func curl(_ url: String, in folder: ScratchDirectory) throws -> Readers {
      let options = ["--cacert", try HTTPS.certificates.get().roots, "--parallel", "--parallel-max", "\(streams)"]
      let tool = try ChildProcess(
        ["curl", "-sSN", "--http2", "-o", folder["#1"]] + options + [url + path + "&k=[1-\(streams)]"])
      return Readers(name: "curl", tool: tool) { _ in
        (1...streams).count { index in
          let lines = (folder.text("\(index)") ?? "").split(separator: "\n")
          return lines.count { $0 == "event: token" } == events
            && lines.last?.contains(#""outcome":"completed""#) == true
        }
      }
    }

    private static let page = """
      <!doctype html><title>events</title><script>
      const read = index => new Promise(done => {
        let tokens = 0;
        const source = new EventSource(`\(path)&k=${index}`);
        const end = isWhole => { source.close(); done(isWhole ? 1 : 0); };
        source.addEventListener("token", () => tokens++);
        source.addEventListener("stream_end", event =>
          end(tokens === \(events) && JSON.parse(event.data).outcome === "completed"));
        source.onerror = () => end(false);
      });
      Promise.all([...Array(\(streams)).keys()].map(read)).then(all => {
        window.result = String(all.reduce((sum, one) => sum + one, 0));
      });
      </script>
      """

    private static func choose(_ request: RecordedRequest) -> Script {
      request.path == "/page" ? .plain(type: "text/html", Array(page.utf8)) : ScriptedBackend.byQuery(request)
    }

    @Test(.enabled(if: Tools.haveBrowser && Tools.haveNode && Tools.haveCurl))
    func `five hundred streams of five kinds of clients are whole, and the old process ends`() async throws {
      let (clients, backend) = (try ClientLoop.start(), try ScriptedBackend.start(choose: Self.choose))
      defer {
        clients.stop()
        backend.stop()
      }
      let (flags, identity) = (try FlagFile("graceful"), try HTTPS.localhost.get())
      let common = [
        "--share", "--upstream", backend.url, "--tls-cert", identity.certificate, "--tls-key", identity.key, "--flags",
        flags.path,
      ]
      func start(listen: String) async throws -> GatewayProcess {
        try await GatewayProcess.start(
          common, environment: ["FERMATA_DRAIN": "60s"], listen: listen, clients: clients)
      }
      let old = try await start(listen: "127.0.0.1:0")
      let url = "https://localhost:\(old.address.port)"
      let folder = try ScratchDirectory()
      let own = try await Transport.secureHTTP2.carry {
        (0..<Self.streams).map { clients.open(ClientRequest("GET", Self.path + "&k=\($0)"), from: old.address) }
      }
      let others = [
        try Self.chromium(url), try Self.script("many_streams.py", Tools.pythonPath, url),
        try Self.script("many_streams.mjs", "node", url), try Self.curl(url, in: folder),
      ]
      let areOpen = await eventually(within: .seconds(20)) {
        await old.metric("ai_stream_connections_active") == Double((others.count + 1) * Self.streams)
      }
      #expect(areOpen)
      let next = try await start(listen: "\(old.address)")
      old.signal(15)
      for stream in own {
        let result = await stream.result()
        #expect(result.payloads.count == Self.events + 1 && result.outcome == "completed" && result.end == .clean)
      }
      for readers in others {
        var lines: [String] = []
        while let line = readers.tool.readLine(timeout: .seconds(60)) { lines.append(line) }
        #expect(readers.tool.wait(timeout: .seconds(10)) == .code(0), "\(readers.name)")
        #expect(try readers.whole(lines) == Self.streams, "\(readers.name): \(lines.joined().prefix(2000))")
      }
      #expect(await old.exit(within: .seconds(10)) == .code(0))
      #expect(old.outcomes.count { $0 == "completed" } == (others.count + 1) * Self.streams, "\(Set(old.outcomes))")
      // Nobody had to come to the new one, and it serves.
      let fresh = try await Transport.secureHTTP2.carry {
        clients.open(ClientRequest("GET", "/script?events=3&stream_end=1"), from: next.address)
      }
      #expect(await fresh.result().end == .clean)
      next.signal(15)
      #expect(await next.exit(within: .seconds(10)) == .code(0))
    }
  }
}
