import Harness
import JSON
import Loop
import Processes
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// What web pages of other origins may do with runs.
  @Suite struct RunPages {
    private static let run = "/api/agents/run/AAAAAAAAAAAAAAAAAAAAAA"
    private static let script = RunWorld.ticking(100, every: .milliseconds(50))

    private static func setup(_ cors: String, common: String = "{}") -> World.Setup {
      World.Setup(
        variant: "graceful",
        configuration: """
          { upstreams: { main: { url: "UPSTREAM" } }, runs: \(common),
            routes: [
              { name: "open", path: "/open", upstreams: ["main"], runs: { onDisconnect: "continue" } },
              { name: "agents", path: "/agents", methods: ["GET", "POST"], upstreams: ["main"],
                cors: \(cors), runs: { onDisconnect: "continue" } },
              { name: "pages", upstreams: ["main"] } ] }
          """,
        script: { request in
          let isPlain = request.path == "/page" || request.method == "OPTIONS"
          return isPlain ? .plain(type: "text/html", Array(page.utf8)) : script
        })
    }

    /// The fields of the answer to a page of `origin` that asks whether it may.
    private static func preflight(
      _ method: String, _ path: String = run, from origin: String, in world: World
    ) async -> ClientResult {
      let fields: [Script.Field] = [
        .init("Origin", origin), .init("Access-Control-Request-Method", method),
        .init("Access-Control-Request-Headers", "authorization"),
      ]
      return await world.send(ClientRequest("OPTIONS", path, fields: fields))
    }

    @Test func `a page may look at runs and stop them where a route with runs lets it in`() async throws {
      let cors = "{ origins: [\"https://app.example\"], methods: [\"POST\"], credentials: true }"
      try await World.with(Self.setup(cors)) { world in
        for (method, path) in [("DELETE", Self.run), ("GET", Self.run), ("GET", "/fermata/streams/x")] {
          let answer = await Self.preflight(method, path, from: "https://app.example", in: world)
          #expect(answer.status == 204 && answer.head.value("Access-Control-Allow-Methods") == method)
          #expect(answer.head.value("Access-Control-Allow-Origin") == "https://app.example")
          #expect(answer.head.value("Access-Control-Allow-Headers") == "authorization")
          #expect(answer.head.value("Access-Control-Allow-Credentials") == "true")
          let other = await Self.preflight(method, path, from: "https://evil.example", in: world)
          #expect(other.status == 204 && other.head.value("Access-Control-Allow-Origin") == nil)
        }
        let page = Script.Field("Origin", "https://app.example")
        let unknown = await world.send(ClientRequest("DELETE", Self.run, fields: [page]))
        #expect(unknown.status == 404 && unknown.head.value("Access-Control-Allow-Origin") == "https://app.example")
        for (path, origin) in [("/agents", "https://app.example" as String?), ("/open", nil)] {
          let reader = world.openNew(path)
          #expect(await reader.receives("data: 1\n"))
          let stream = await reader.soFar().head.value("X-Stream-Id") ?? ""
          let state = await world.send(ClientRequest("GET", "/api/agents/run/\(stream)", fields: [page]))
          #expect(state.status == 200 && state.head.value("Access-Control-Allow-Origin") == origin)
          let stopped = await world.send(ClientRequest("DELETE", "/api/agents/run/\(stream)", fields: [page]))
          #expect(stopped.status == 204 && stopped.head.value("Access-Control-Allow-Origin") == origin)
          #expect(await reader.result().outcome == "cancelled")
        }
        #expect(!world.backend.requests.contains { $0.method == "OPTIONS" })
      }
    }

    @Test(arguments: [("{ origins: [\"https://ops.example\"] }", "https://ops.example" as String?), ("false", nil)])
    func `a policy of the runs' own goes over those of the routes`(own: String, origin: String?) async throws {
      let setup = Self.setup("{ origins: [\"https://app.example\"] }", common: "{ cors: \(own) }")
      try await World.with(setup) { world in
        let reader = world.openNew("/agents")
        #expect(await reader.receives("data: 1\n"))
        let stream = await reader.soFar().head.value("X-Stream-Id") ?? ""
        for name in ["https://ops.example", "https://app.example"] {
          let expected = origin == name ? name : nil
          let preflight = await Self.preflight("DELETE", from: name, in: world)
          #expect(preflight.head.value("Access-Control-Allow-Origin") == expected)
          let path = "/api/agents/run/\(stream)"
          let state = await world.send(ClientRequest("GET", path, fields: [.init("Origin", name)]))
          #expect(state.status == 200 && state.head.value("Access-Control-Allow-Origin") == expected)
        }
        _ = await world.send(ClientRequest("DELETE", "/api/agents/run/\(stream)"))
        #expect(await reader.result().outcome == "cancelled")
      }
    }

    @Test(.enabled(if: Tools.haveBrowser))
    func `Chromium opens a run from another origin, looks at it, goes on reading it, and stops it`() async throws {
      try await World.with(Self.setup("{ origins: [\"*\"] }")) { world in
        // Another name for the same machine is another origin.
        let port = world.gateway.address.port
        let run = try Tools.run(
          [
            Tools.pythonPath, Tools.root + "/Tests/RealClients/browser.py",
            "http://localhost:\(port)/page?gateway=http://127.0.0.1:\(port)",
          ],
          timeout: .seconds(60))
        #expect(run.lines.first == "running, 200, 204, cancelled", "\(run)")
      }
    }

    private static let page = """
      <!doctype html><title>run</title><script>
      const gateway = new URLSearchParams(location.search).get("gateway");
      const headers = { "Authorization": "Bearer me" };
      async function work() {
        const first = await fetch(gateway + "/agents?stream_end=1", { headers });
        const id = first.headers.get("X-Stream-Id"), run = gateway + "/api/agents/run/" + id;
        await first.body.getReader().read();
        const state = (await (await fetch(run, { headers })).json()).state;
        const resumed = await fetch(gateway + "/fermata/streams/" + id + "?stream_end=1",
          { headers: { ...headers, "Last-Event-ID": id + ".1" } });
        const stopped = await fetch(run, { method: "DELETE", headers });
        const text = await resumed.text();
        return [state, resumed.status, stopped.status, /"outcome":"([a-z]*)"/.exec(text)?.[1]].join(", ");
      }
      work().then(text => window.result = text, error => window.result = String(error));
      </script>
      """
  }
}
