import Gateway
import Loop
import Streams
import Testing
import Time

/// How streams open: which mode a client gets, what its backend is asked, and what is no stream at all.
@Suite struct PlayedOpeningTests {
  private func gateway(_ variant: Mode = .graceful, more: String = "") throws -> PlayedGateway {
    try PlayedGateway(PlayedGateway.direct(more: more), variant: variant)
  }

  private func mode(
    _ gateway: PlayedGateway, _ path: String = "/chat", _ fields: [(String, String)] = [], prefersEnd: Bool = false
  ) throws -> PlayedClient {
    let client = try gateway.request("GET", path, fields, prefersEnd: prefersEnd)
    try #require(gateway.backends.last).openStream()
    gateway.turns()
    return client
  }

  private func mode(_ client: PlayedClient) -> String? { client.fields["x-stream-mode"] }

  // MARK: - Who gets which mode

  @Test(
    arguments: [
      (Mode.graceful, "", "graceful"), (.graceful, "stream-end=0", "legacy"), (.shield, "stream-end", "graceful"),
      (.shield, "stream-end=0", "shield"), (.legacy, "stream-end", "legacy"),
    ])
  func `what the flag gives depends on what the client understands`(variant: Mode, says: String, gets: String) throws {
    let gateway = try gateway(variant)
    let client = try mode(gateway, "/chat", says.isEmpty ? [] : [("Prefer", says)], prefersEnd: says.isEmpty)
    #expect(mode(client) == gets)
    #expect((client.fields["preference-applied"] == "stream-end") == (gets == "graceful"))
  }

  @Test func `an EventSource opts in by its URL, and its backend does not see it`() throws {
    let gateway = try gateway()
    let client = try mode(gateway, "/chat?a=1&stream_end=1&b=2")
    #expect(mode(client) == "graceful" && client.fields["preference-applied"] == nil)
    #expect(gateway.backends.last?.received.hasPrefix("GET /chat?a=1&b=2 HTTP/1.1\r\n") == true)
  }

  @Test func `of two ways to say it the header wins`() throws {
    let gateway = try gateway()
    let client = try mode(gateway, "/chat?stream_end=1", [("Prefer", "stream-end=0")])
    #expect(mode(client) == "legacy")
  }

  @Test func `an operator's own header, and the versions that are known, say it too`() throws {
    let more = """
      capability: {
        header: "X-Understands-End", versions: [{ header: "User-Agent", product: "acme", since: "2.0.0" }],
      },
      """
    for (name, value, gets) in [
      ("X-Understands-End", "1", "graceful"), ("X-Understands-End", "false", "legacy"),
      ("User-Agent", "acme/2.1.0", "graceful"), ("User-Agent", "acme/1.9.0", "legacy"),
      ("User-Agent", "other/3.0.0", "legacy"),
    ] {
      let client = try mode(try gateway(more: more), "/chat", [(name, value)])
      #expect(mode(client) == gets, "\(name): \(value)")
    }
  }

  @Test func `an open stream keeps its mode when the flag file changes, and the next has the new one`() throws {
    let gateway = try gateway()
    let (client, backend) = try gateway.open()
    try gateway.adopt(.legacy)
    let (later, _) = try gateway.open()
    backend.event("[DONE]")
    backend.endStream()
    gateway.turns()
    #expect(client.end("outcome") == "completed")
    #expect(mode(later) == "legacy")
  }

  @Test func `a kill is told in the end of streams that are open, until it is lifted`() throws {
    let gateway = try gateway()
    for (recall, isTold) in [(Recall.announced, true), (.none, false)] {
      let (client, backend) = try gateway.open()
      gateway.kill(recall)
      backend.event("[DONE]")
      backend.endStream()
      gateway.turns()
      #expect((client.end("closing") == "legacy-from-now-on") == isTold)
      gateway.kill(.none)
    }
  }

  // MARK: - What is no stream for the gateway

  @Test(
    arguments: [
      "200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip",
      "500 No\r\nContent-Type: text/event-stream", "200 OK\r\nContent-Type: text/event-streams",
      "200 OK\r\nContent-Type: application/json",
    ])
  func `other answers pass as they are`(head: String) throws {
    let gateway = try gateway()
    let client = try gateway.request("GET", "/chat")
    let body = "data: one\n\ndata: [DO"
    try #require(gateway.backends.last).send("HTTP/1.1 \(head)\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")
    gateway.turns()
    #expect(client.body == body && client.ending == .complete)
    #expect(mode(client) == nil && client.fields["x-stream-id"] == nil)
  }

  @Test func `a stream that is cached or buffered on the way is none, so caches and proxies are told`() throws {
    let client = try mode(try gateway(.legacy))
    #expect(client.fields["cache-control"] == "no-cache, no-transform" && client.fields["x-accel-buffering"] == "no")
    #expect(client.fields["content-length"] == nil)
  }

  // MARK: - What the backend is asked

  @Test(
    arguments: [
      ("GET", "text/event-stream", "identity"), ("POST", "*/*", "identity"), ("GET", "text/html", "br, gzip"),
    ])
  func `a backend is asked for bytes as they are where a stream may come`(
    method: String, accept: String, encoding: String
  ) throws {
    let gateway = try gateway()
    _ = try gateway.request(method, "/chat", [("Accept", accept), ("Accept-Encoding", "br, gzip")])
    let asked = try #require(gateway.backends.last).received
    #expect(asked.contains("Accept-Encoding: \(encoding)\r\n"), "\(asked)")
  }

  @Test func `what concerns one connection alone is not passed on, in either direction`() throws {
    let gateway = try gateway()
    let client = gateway.connect(
      sending: """
        GET /chat HTTP/1.1\r\nHost: gateway\r\nConnection: X-Own, keep-alive\r\nX-Own: 1\r\nKeep-Alive: 5\r\n\
        Proxy-Authorization: Basic x\r\nTE: trailers\r\nX-Other: 2\r\n\r\n
        """)
    let backend = try #require(gateway.backends.last)
    let asked = backend.received.lowercased()
    for name in ["x-own", "keep-alive", "proxy-authorization", "\r\nte:"] {
      #expect(!asked.contains(name), "\(name)")
    }
    #expect(asked.contains("x-other: 2\r\n") && asked.contains("\r\nvia: "))
    backend.send("HTTP/1.1 200 OK\r\nConnection: X-Mine\r\nX-Mine: 1\r\nX-Yours: 2\r\nContent-Length: 0\r\n\r\n")
    gateway.turns()
    #expect(!client.received.contains("X-Mine") && client.received.contains("X-Yours: 2\r\n"))
  }

  @Test func `what a client says of proxies before it is not believed`() throws {
    let gateway = try gateway()
    _ = try gateway.request(
      "GET", "/chat", [("X-Forwarded-For", "9.9.9.9"), ("X-Forwarded-Proto", "https"), ("X-Request-Id", "mine")])
    let asked = try #require(gateway.backends.last).received
    #expect(!asked.contains("9.9.9.9") && !asked.contains("https") && !asked.contains("mine"), "\(asked)")
    #expect(asked.contains("X-Forwarded-For: 127.0.0.1\r\n") && asked.contains("X-Forwarded-Proto: http\r\n"))
  }

  @Test func `a client behind an event of a stream that nobody keeps asks its backend`() throws {
    let gateway = try gateway(.legacy)
    let client = try mode(gateway, "/chat", [("Last-Event-ID", "e7")])
    #expect(gateway.backends.last?.received.contains("Last-Event-ID: e7\r\n") == true)
    #expect(client.status == 200 && client.fields["x-stream-resume"] == nil)
  }
}
