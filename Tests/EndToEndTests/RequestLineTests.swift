import Glibc
import Harness
import JSON
import RunningGateway
import Synchronization
import Testing
import Time

extension EndToEnd {
  /// The line that each request leaves, and the ids by which both sides find it.
  @Suite struct RequestLine {
    private static let routes = """
      {
        upstreams: { main: { url: "UPSTREAM" }, down: { url: "http://127.0.0.1:1" } },
        routes: [
          { name: "two", path: "/two", upstreams: ["down", "main"] },
          { name: "gone", path: "/gone", upstreams: "down" },
          { name: "chat", path: "/", upstreams: "main" },
        ],
      }
      """

    private static func line(_ world: World, _ id: String?) async throws -> JSONValue {
      let id = try #require(id)
      func found() -> [JSONValue] { world.gateway.log("request_done").filter { $0["requestId"]?.string == id } }
      #expect(await eventually { found().count == 1 }, "one line for \(id)")
      return try #require(found().first)
    }

    private static func plain(_ status: Int) -> Script {
      Script([
        .head(Script.Head(status: status, framing: .length(nil), fields: [Script.Field("X-Request-Id", "b-1")])),
        .body("x"), .end,
      ])
    }

    @Test func `every answer has an id, and one line says what became of it`() async throws {
      let script: @Sendable (RecordedRequest) -> Script = { request in
        switch request.target {
        case "/?plain": Self.plain(500)
        case "/?slow": Script([.pause(.seconds(2)), .head(), .end])
        default: ScriptQuery("events=2&complete=done").script
        }
      }
      try await World.with(World.Setup(variant: "graceful", configuration: Self.routes, script: script)) { world in
        let failed = await world.fetch("/?plain")
        let bad = try await Self.line(world, failed.head.value("X-Request-Id"))
        #expect(
          bad["status"]?.integer == 500 && bad["origin"]?.string == "upstream" && bad["level"]?.string == "warning")
        #expect(bad["upstream"]?.string == "main" && bad["route"]?.string == "chat" && bad["path"]?.string == "/")
        #expect(bad["closer"]?.string == "backend" && bad["backendRequestId"]?.string == "b-1")
        #expect(failed.head.value("X-Upstream-Request-Id") == "b-1")

        let refused = await world.fetch("/gone")
        let away = try await Self.line(world, refused.head.value("X-Request-Id"))
        #expect(away["status"]?.integer == 502 && away["origin"]?.string == "gateway")
        #expect(away["code"]?.string == "upstream_unreachable")
        #expect(away["attempts"]?.array?.first?["upstream"]?.string == "down")
        let told = try JSONValue(parsing: refused.text)["requestId"]
        #expect(told == away["requestId"])

        let unknown = await world.fetch("/nowhere")
        let lost = try await Self.line(world, unknown.head.value("X-Request-Id"))
        #expect(lost["status"]?.integer == 404 && lost["code"]?.string == "no_route" && lost["upstream"] == nil)

        let connection = try RawConnection(to: world.gateway.address)
        connection.send("GET / HTTP/9\r\n\r\n")
        let response = try #require(connection.response())
        let broken = try await Self.line(world, response.head.value("X-Request-Id"))
        #expect(broken["status"]?.integer == response.status && broken["client"]?.string == "127.0.0.0/24")

        let leaver = try RawConnection(to: world.gateway.address)
        leaver.send("GET /?slow HTTP/1.1\r\nHost: h\r\n\r\n")
        #expect(await eventually { await world.gateway.metric("fermata_streams_waiting") == 1 })
        let waiting = try await world.gateway.json("/streams")["waiting"]?.array?.first
        #expect(waiting?["upstream"]?.string == "main" && waiting?["path"]?.string == "/")
        leaver.reset()
        let gone = try await Self.line(world, waiting?["requestId"]?.string)
        #expect(gone["status"]?.integer == 499 && gone["closer"]?.string == "client")
        #expect(bad["bytes"]?.integer == 1 && gone["bytes"] == nil)

        let stream = await world.fetchNew("/two")
        let done = try await Self.line(world, stream.head.value("X-Request-Id"))
        #expect(done["status"]?.integer == 200 && done["outcome"]?.string == "completed")
        #expect(done["upstream"]?.string == "main" && done["tier"]?.integer == 1)
        #expect(done["attempts"]?.array?.count == 1 && done["mode"]?.string == "graceful")
        #expect(done["streamId"]?.string == stream.head.value("X-Stream-Id"))
        let failure = try #require(world.gateway.log("attempt_failed").first)
        #expect(failure["requestId"] == away["requestId"])
        let text = world.gateway.log("request_done").map { $0.text() }.joined()
        #expect(!text.contains("plain") && !text.contains("slow"), "no query is in a line")
      }
    }

    @Test func `the backend gets both ids, and a stranger's is replaced`() async throws {
      let seen = Seen()
      let script: @Sendable (RecordedRequest) -> Script = { request in
        let ids = ["X-Request-Id", "X-Stream-Id"].map { request.head.value($0) ?? "none" }
        seen.lines.withLock { $0.append(ids.joined(separator: " ")) }
        return ScriptQuery("events=1&complete=done").script
      }
      try await World.with(World.Setup(variant: "graceful", configuration: Self.routes, script: script)) { world in
        let fields = [.acceptsEvents, Script.Field("X-Request-Id", "mine"), Script.Field("Prefer", "stream-end")]
        let answer = await world.fetch("/", fields: fields)
        let id = try #require(answer.head.value("X-Request-Id"))
        #expect(id != "mine" && answer.head.value("X-Stream-Id") == id)
        #expect(seen.lines.withLock { $0 } == ["\(id) \(id)"])
        // Nobody asked for an event stream, and one came.
        let unasked = await world.fetch("/", fields: [])
        let other = try #require(unasked.head.value("X-Stream-Id"))
        #expect(seen.lines.withLock { $0.last } == "\(other) \(other)")
      }
      for (said, expected) in [
        (#"removeHeaders: ["X-Stream-Id"]"#, "ID none"), (#"removeHeaders: ["X-Request-Id"]"#, "none ID"),
        (#"headers: { "X-Stream-Id": "own" }"#, "ID own"),
      ] {
        let other = Self.routes.replacing("url: \"UPSTREAM\"", with: "url: \"UPSTREAM\", \(said)")
        #expect(other != Self.routes)
        try await World.with(World.Setup(variant: "graceful", configuration: other, script: script)) { world in
          let id = try #require(await world.fetch("/").head.value("X-Request-Id"))
          #expect(seen.lines.withLock { $0.last } == expected.replacing("ID", with: id))
        }
      }
      let trusting = Self.routes.replacing(
        "upstreams: { main", with: "trustedProxies: [\"127.0.0.1\"], upstreams: { main")
      try await World.with(World.Setup(variant: "graceful", configuration: trusting, script: script)) { world in
        let forwarded = Script.Field("X-Forwarded-For", "203.0.113.7, 198.51.100.23")
        let answer = await world.fetch(
          "/", fields: [.acceptsEvents, Script.Field("X-Request-Id", "edge-1"), forwarded])
        #expect(answer.head.value("X-Request-Id") == "edge-1")
        let line = try await Self.line(world, "edge-1")
        #expect(line["client"]?.string == "198.51.100.0/24")
        #expect(seen.lines.withLock { $0.last }?.hasPrefix("edge-1 ") == true)
      }
    }

    @Test func `a limit and a client that stops are told apart`() async throws {
      let setup = World.Setup(
        variant: "graceful", settings: ["stream.total": "300ms"], configuration: Self.routes
      ) { _ in Script([.head(), .event(nil, "one"), .pause(.seconds(3)), .end]) }
      try await World.with(setup) { world in
        let stream = await world.fetchNew("/")
        let line = try await Self.line(world, stream.head.value("X-Request-Id"))
        #expect(line["outcome"]?.string == "cancelled" && line["limit"]?.string == "stream.total")
        #expect(line["closer"]?.string == "gateway" && line["level"]?.string == "warning")
      }
    }

    @Test func `what went wrong inside is told only where it may be`() async throws {
      let setup = World.Setup(settings: ["errors.detail": "brief"], configuration: Self.routes)
      try await World.with(setup) { world in
        let answer = await world.fetch("/gone")
        #expect(answer.status == 502)
        #expect(
          !answer.text.contains("127.0.0.1") && !answer.text.contains("down") && !answer.text.contains("attempts"))
        let told = try JSONValue(parsing: answer.text)["requestId"]?.string
        #expect(told == answer.head.value("X-Request-Id"))
      }
    }
  }
}

/// What a backend has seen.
private final class Seen: Sendable {
  let lines = Mutex<[String]>([])
}
