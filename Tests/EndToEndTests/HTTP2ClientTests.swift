import Harness
import JSON
import Loop
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// Clients that people use, over HTTP/2 and TLS, in every mode: every event, and every cut, as they see it.
  @Suite struct HTTP2Clients {
    private static func withWorld(_ body: (World) async throws -> Void) async throws {
      try await Transport.secureHTTP2.carry { try await RealClients.withWorld(body) }
    }

    /// What a client saw of a whole stream and of one that is cut, in each mode.
    private static func check(
      _ world: World, version: String?, _ read: (_ path: String, _ options: [String]) throws -> JSONValue
    ) throws {
      let stream = "/?events=3&interval=20"
      for mode in RealClients.modes {
        let options = mode == "graceful" ? ["prefer"] : []
        let whole = try read(stream + "&complete=done&trailing=1&who=\(mode)", options)
        let types = whole["events"]?.array?.compactMap { $0.array?.first?.string } ?? []
        #expect(types == RealClients.types(in: mode), "\(whole)")
        #expect(whole["error"]?.isNull == true && whole["mode"]?.string == mode, "\(whole)")
        #expect(whole["version"]?.string == version)
        let cut = try read(stream + "&cut=3&who=\(mode)", options)
        let events = cut["events"]?.array ?? []
        let tokens = events.count { $0.array?.first?.string == "token" }
        #expect(tokens == 3, "\(mode): \(cut)")
        let outcome = events.last?.array?.last?.string ?? ""
        let isSeen = mode == "graceful" ? outcome.contains("upstream_truncated") : cut["error"]?.string != nil
        #expect(isSeen, "\(mode): \(cut)")
      }
    }

    @Test(.enabled(if: Tools.havePython))
    func `httpx has every event in every mode, and sees a cut`() async throws {
      try await Self.withWorld { world in
        let roots = try HTTPS.certificates.get().roots
        try Self.check(world, version: "HTTP/2") { path, options in
          // httpx-sse gives events as type, id and data.
          try Tools.python(
            "httpx_sse_client.py",
            ["https://localhost:\(world.gateway.address.port)\(path)"] + options + ["http2", roots])
        }
      }
    }

    @Test(.enabled(if: Tools.haveNode), arguments: ["http2", "fetch"])
    func `Node.js has every event in every mode, and sees a cut`(way: String) async throws {
      try await Self.withWorld { world in
        let roots = try HTTPS.certificates.get().roots
        try Self.check(world, version: way == "http2" ? "h2" : nil) { path, options in
          try Tools.node(
            "node_http2.mjs", [way, "https://localhost:\(world.gateway.address.port)\(path)", roots] + options)
        }
      }
    }

    @Test(.enabled(if: Tools.haveBrowser))
    func `Chromium reads twelve streams in a page, sees cuts whole, resumes, and stops at 204`() async throws {
      let setup = World.Setup(
        variant: "graceful",
        configuration: """
          { identity: { query: "who" }, upstreams: { main: { url: "UPSTREAM" } },
            routes: [{ name: "kept", path: "/kept/*", upstreams: ["main"], runs: { onDisconnect: "continue" } },
                     { name: "all", upstreams: ["main"] }] }
          """
      ) { request in
        request.path == "/page" ? .plain(type: "text/html", Array(Self.page.utf8)) : ScriptedBackend.byQuery(request)
      }
      try await Transport.secureHTTP2.carry {
        try await World.with(setup) { world in
          let run = try Tools.run(
            [
              Tools.pythonPath, Tools.root + "/Tests/RealClients/browser.py",
              "https://localhost:\(world.gateway.address.port)/page",
            ], timeout: .seconds(90))
          let expected = "h2; twelve; fetch 3 TypeError, 3 TypeError, 3 TypeError; source 3 error; rest 2; closed 204"
          #expect(run.lines.first == expected, "\(run)")
        }
      }
    }

    /// Twelve streams at once are more than a browser opens over HTTP/1.1: there the first part would never end.
    private static let page = """
      <!doctype html><title>events</title><script>
      const opened = path => new EventSource(path);
      function twelve() {
        const sources = [...Array(12).keys()].map(k => opened(`/stream?events=1000&interval=50&k=${k}`));
        return Promise.all(sources.map(source => new Promise((done, fail) => {
          let seen = 0;
          source.addEventListener("token", () => { if (++seen === 3) done(); });
          source.onerror = () => fail(new Error("a stream of twelve"));
        }))).finally(() => sources.forEach(source => source.close()));
      }
      async function text(response) {
        const decoder = new TextDecoder(), reader = response.body.getReader();
        let text = "", end = "end";
        try {
          for (let part; !(part = await reader.read()).done;) text += decoder.decode(part.value);
        } catch (error) { end = error.name; }
        return (text.match(/^event: token$/gm) || []).length + " " + end;
      }
      const cut = () => fetch("/cut?events=3&cut=3").then(text);
      const sourceCut = () => new Promise(done => {
        const source = opened("/cut?events=3&cut=3");
        let seen = 0;
        source.addEventListener("token", () => seen++);
        source.onerror = () => { source.close(); done(seen + " error"); };
      });
      // Does not close at the end, so the browser comes back, and is told that there is no more.
      const untilClosed = () => new Promise(done => {
        let id = "";
        const source = opened("/kept/a?events=3&interval=10&complete=done&stream_end=1");
        source.addEventListener("token", event => { if (!id) id = event.lastEventId; });
        source.onerror = () => { if (source.readyState === EventSource.CLOSED) done(id); };
      });
      async function work() {
        const result = [];
        result.push(performance.getEntriesByType("navigation")[0].nextHopProtocol);
        await twelve();
        result.push("twelve");
        result.push("fetch " + [await cut(), await cut(), await cut()].join(", "));
        result.push("source " + await sourceCut());
        const id = await untilClosed();
        const headers = { "Last-Event-ID": id };
        const rest = await fetch("/kept/a?events=3&interval=10&complete=done&stream_end=1", { headers });
        result.push("rest " + (await text(rest)).split(" ")[0], "closed 204");
        return result.join("; ");
      }
      work().then(text => window.result = text, error => window.result = String(error));
      </script>
      """
  }
}
