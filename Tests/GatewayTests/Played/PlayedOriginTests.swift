import Gateway
import Loop
import Testing
import Time

/// Pages of other origins: what their browsers are told, and by whom.
@Suite struct PlayedOriginTests {
  private let gateway: PlayedGateway
  private static let own = [("Origin", "https://app.example")]
  private static let other = [("Origin", "https://other.example")]

  init() throws {
    gateway = try PlayedGateway(
      """
      {
        upstreams: { b: { url: "http://backend" } },
        routes: [
          {
            name: "page", path: "/page", methods: ["GET", "POST"], upstreams: "b",
            cors: { origins: ["https://app.example"], credentials: true },
          },
          { name: "plain", path: "/plain", upstreams: "b" },
          {
            name: "kept", path: "/kept", upstreams: "b", runs: { onDisconnect: "continue" },
            cors: { origins: ["https://app.example"] },
          },
        ],
      }
      """)
  }

  private func ask(_ path: String, _ fields: [(String, String)], answer: String = "") throws -> PlayedClient {
    let client = try gateway.request("GET", path, fields)
    try #require(gateway.backends.last).send("HTTP/1.1 200 OK\r\n\(answer)Content-Length: 0\r\n\r\n")
    gateway.turns()
    return client
  }

  @Test func `a page can read a refusal of the gateway's own, and only an allowed one`() throws {
    gateway.backends.refuses = true
    let client = try gateway.request("GET", "/page", Self.own)
    #expect([502, 504].contains(client.status))
    #expect(client.fields["access-control-allow-origin"] == "https://app.example")
    #expect(client.fields["access-control-allow-credentials"] == "true")
    #expect(client.fields["access-control-expose-headers"]?.contains("Retry-After") == true)
    let other = try gateway.request("GET", "/page", Self.other)
    #expect(other.status == client.status && other.fields["access-control-allow-origin"] == nil)
    #expect(other.fields["vary"] == "Origin", "no cache may give one the other's answer")
  }

  @Test func `where the route has a word on it, a backend has none`() throws {
    let said = "Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Credentials: true\r\n"
    let refused = try ask("/page", Self.other, answer: said)
    #expect(refused.fields["access-control-allow-origin"] == nil)
    #expect(refused.fields["access-control-allow-credentials"] == nil)
    let allowed = try ask("/page", Self.own, answer: said)
    #expect(allowed.fields["access-control-allow-origin"] == "https://app.example")
    let plain = try ask("/plain", Self.other, answer: said)
    #expect(plain.fields["access-control-allow-origin"] == "*", "where it has none, the backend's passes")
  }

  @Test func `a page that may not ask is told nothing of what may be asked`() throws {
    for (origin, isAllowed) in [(Self.own, true), (Self.other, false)] {
      let asked = [("Access-Control-Request-Method", "POST"), ("Access-Control-Request-Headers", "x-own")]
      let client = try gateway.request("OPTIONS", "/page", origin + asked)
      #expect(client.status == 204)
      #expect((client.fields["access-control-allow-methods"] != nil) == isAllowed)
      #expect((client.fields["access-control-allow-headers"] == "x-own") == isAllowed)
      #expect(client.fields["vary"]?.contains("Origin") == true)
    }
    #expect(gateway.backends.dials == 0)
  }

  @Test func `OPTIONS that is no preflight goes to a backend that takes it`() throws {
    let client = try gateway.request("OPTIONS", "/plain", Self.own)
    try #require(gateway.backends.last).send("HTTP/1.1 204 No Content\r\nAllow: GET\r\n\r\n")
    gateway.turns()
    #expect(client.status == 204 && client.fields["allow"] == "GET")
  }

  @Test func `a page that may read a stream may read it again, stop it, and see how it stands`() throws {
    let first = try gateway.request("GET", "/kept", Self.own)
    let backend = try #require(gateway.backends.last)
    backend.openStream()
    backend.event("one")
    gateway.turns()
    #expect(first.fields["access-control-expose-headers"]?.contains("X-Stream-Id") == true)
    for (method, path) in [
      ("GET", "/fermata/streams/\(first.stream)"), ("GET", "/api/agents/run/\(first.stream)"),
      ("DELETE", "/api/agents/run/\(first.stream)"),
    ] {
      let asked = [("Access-Control-Request-Method", method)]
      let preflight = try gateway.request("OPTIONS", path, Self.own + asked, as: "")
      #expect(preflight.fields["access-control-allow-origin"] == "https://app.example", "\(method) \(path)")
      let client = try gateway.request(method, path, Self.own)
      #expect(client.fields["access-control-allow-origin"] == "https://app.example", "\(method) \(path)")
    }
    #expect(first.end("outcome") == "cancelled")
  }

  @Test func `a page of another origin can't tell a stream that there is from one that there is not`() throws {
    let first = try gateway.request("GET", "/kept", Self.own)
    try #require(gateway.backends.last).openStream()
    gateway.turns()
    let answers = try [first.stream, String(first.stream.reversed())].map { stream in
      try gateway.request("GET", "/fermata/streams/\(stream)", Self.other, as: "mallory")
    }
    #expect(answers.allSatisfy { $0.status == 404 && $0.fields["access-control-allow-origin"] == nil })
    #expect(answers[0].body == answers[1].body)
  }
}
