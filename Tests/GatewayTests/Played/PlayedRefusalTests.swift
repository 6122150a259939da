import Gateway
import Loop
import Streams
import Testing
import Time

/// Requests that the gateway answers itself, because it may not, or can't, ask a backend.
@Suite struct PlayedRefusalTests {
  private func gateway(_ more: String = "", pair: String = "") throws -> PlayedGateway {
    try PlayedGateway(PlayedGateway.direct(more: more, pair: pair))
  }

  private static func get(_ path: String, _ fields: String = "", version: String = "1.1") -> String {
    "GET \(path) HTTP/\(version)\r\nHost: gateway\r\n\(fields)\r\n"
  }

  private static func post(_ path: String, length: Int, _ body: String) -> String {
    "POST \(path) HTTP/1.1\r\nHost: gateway\r\nContent-Length: \(length)\r\n\r\n\(body)"
  }

  // MARK: - What may not be asked for

  @Test func `TRACE is refused, because a backend's answer would show what the gateway adds`() throws {
    let gateway = try PlayedGateway(
      #"{ upstreams: { b: { url: "http://backend" } }, routes: [{ name: "all", path: "/all", upstreams: "b" }] }"#)
    let client = try gateway.request("TRACE", "/all")
    #expect(client.status == 405 && client.code == "trace_refused")
    #expect(gateway.backends.dials == 0)
  }

  @Test func `another protocol is refused, and the connection of no use after that`() throws {
    let gateway = try gateway()
    let client = gateway.connect(sending: Self.get("/chat", "Connection: Upgrade\r\nUpgrade: irc/6.9\r\n"))
    #expect(client.received.hasPrefix("HTTP/1.1 501 ") && client.received.contains("upgrade_refused"))
    #expect(client.hasFinishedWriting && gateway.backends.dials == 0)
  }

  @Test func `an HTTP/1.0 client's wish for another protocol is no wish`() throws {
    let gateway = try gateway()
    _ = gateway.connect(sending: Self.get("/chat", "Connection: Upgrade\r\nUpgrade: irc/6.9\r\n", version: "1.0"))
    let backend = try #require(gateway.backends.last)
    #expect(!backend.received.lowercased().contains("upgrade"))
  }

  @Test(
    arguments: [
      (get("/" + String(repeating: "x", count: 300)), 414),
      (get("/chat", "X-Large: " + String(repeating: "x", count: 1100) + "\r\n"), 431),
      (get("/chat", String(repeating: "X-Many: x\r\n", count: 9)), 431),
      ("GET /chat HTTP/1.1\r\n\r\n", 400),
      ("GET /chat HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
      ("POST /chat HTTP/1.1\r\nHost: g\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
      ("GET /chat HTTP/3.0\r\nHost: g\r\n\r\n", 505),
    ])
  func `a head that is larger than it may be, or ambiguous, reaches no backend`(head: String, status: Int) throws {
    let gateway = try gateway(#"limits: { requestLine: "256B", head: "1KiB", fields: 8 },"#)
    let client = gateway.connect(sending: head)
    #expect(client.received.hasPrefix("HTTP/1.1 \(status) "), "\(client.received)")
    #expect(client.hasFinishedWriting && gateway.backends.dials == 0)
  }

  @Test func `a refusal is counted, and has the id that the log has`() throws {
    let gateway = try gateway()
    let client = try gateway.request("GET", "/nothing")
    #expect(client.fields["x-request-id"]?.isEmpty == false)
    #expect(gateway.numbers[#"fermata_refusals_total{reason="no_route"}"#] == 1)
  }

  @Test(arguments: [(1024, true), (1025, false)])
  func `a body that is too large for what makes two requests one is refused`(count: Int, isServed: Bool) throws {
    let gateway = try PlayedGateway(PlayedGateway.usual(runs: #"{ bodyLimit: "1KiB" }"#))
    let fields = "Authorization: Bearer alice\r\nIdempotency-Key: k1\r\n"
    let text = String(repeating: "x", count: count)
    let client = gateway.connect(
      sending: "POST /chat HTTP/1.1\r\nHost: gateway\r\n\(fields)Content-Length: \(count)\r\n\r\n\(text)")
    #expect(gateway.backends.dials == (isServed ? 1 : 0))
    #expect(client.received.contains("body_too_large") == !isServed)
  }

  // MARK: - Too many

  @Test func `a request for which there is no connection is told to come again, and served when there is one`() throws {
    let gateway = try PlayedGateway(PlayedGateway.direct(), limits: PlayedGateway.limits(upstreams: 2))
    let (first, second) = (try gateway.request("GET", "/chat"), try gateway.request("GET", "/chat"))
    let third = try gateway.request("GET", "/chat")
    #expect(third.status == 503 && third.code == "overload" && third.fields["retry-after"] == "1")
    #expect(gateway.backends.dials == 2)
    let backend = gateway.backends.connections[0]
    try gateway.serveWhole(from: backend, to: first)
    _ = backend.takeReceived()
    let fourth = try gateway.request("GET", "/chat")
    #expect(backend.received.hasPrefix("GET /chat "), "the kept connection has room")
    try gateway.serveWhole(from: backend, to: fourth)
    #expect(second.status == 0 && gateway.backends.dials == 2)
  }

  @Test func `a connection that is kept makes room for one to another backend`() throws {
    let gateway = try PlayedGateway(
      """
      {
        upstreams: { b: { url: "http://backend" }, c: { url: "http://spare" } },
        routes: [{ name: "one", path: "/one", upstreams: "b" }, { name: "two", path: "/two", upstreams: "c" }],
      }
      """, limits: PlayedGateway.limits(upstreams: 1))
    let first = try gateway.request("GET", "/one")
    let kept = try #require(gateway.backends.last)
    try gateway.serveWhole(from: kept, to: first)
    #expect(!kept.isClosed)
    let second = try gateway.request("GET", "/two")
    #expect(kept.isClosed && gateway.backends.hosts == ["backend", "spare"])
    try gateway.serveWhole(from: gateway.backends.last, to: second)
  }

  @Test func `a client for which there is no room is told so, unless another waits for nothing`() throws {
    let gateway = try PlayedGateway(PlayedGateway.direct(), limits: PlayedGateway.limits(clients: 2))
    let busy = [gateway.connect(sending: Self.get("/chat")), gateway.connect(sending: Self.get("/chat"))]
    let refused = gateway.connect(sending: Self.get("/chat"))
    #expect(refused.received.hasPrefix("HTTP/1.1 503 ") && refused.received.contains("overload"))
    #expect(gateway.backends.dials == 2)
    gateway.backends.connections[0].send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    gateway.turns()
    #expect(busy[0].received.hasPrefix("HTTP/1.1 200 ") && !busy[0].isClosed)
    let served = gateway.connect(sending: Self.get("/chat"))
    #expect(busy[0].isClosed && !busy[1].isClosed)
    #expect(served.received.isEmpty && !served.isClosed)
  }

  @Test func `bodies that wait for a backend share their memory, and give it back`() throws {
    let gateway = try gateway(#"limits: { bodies: "64KiB" },"#)
    gateway.backends.isSilent = true
    let half = String(repeating: "x", count: 40 << 10)
    let first = gateway.connect(sending: Self.post("/chat", length: half.utf8.count, half))
    #expect(first.received.isEmpty)
    let second = gateway.connect(sending: Self.post("/chat", length: half.utf8.count, half))
    #expect(second.received.hasPrefix("HTTP/1.1 503 ") && second.received.contains("overload"))
    first.fail()
    gateway.turns()
    let third = gateway.connect(sending: Self.post("/chat", length: half.utf8.count, half))
    #expect(third.received.isEmpty)
    #expect(gateway.process.bodiesInUse >= 40 << 10)
    third.fail()
    gateway.turns()
    #expect(gateway.process.bodiesInUse == 0)
  }

  // MARK: - Time

  @Test func `a body that does not come is told so when its time is up, and its backend let go`() throws {
    let gateway = try gateway(#"limits: { bodyTimeout: "3s" },"#)
    let client = gateway.connect(sending: Self.post("/chat", length: 10, "abc"))
    let backend = try #require(gateway.backends.last)
    gateway.pass(.milliseconds(2800))
    #expect(client.received.isEmpty)
    gateway.pass(.milliseconds(1300))
    #expect(client.received.hasPrefix("HTTP/1.1 408 ") && client.received.contains("body_timeout"))
    #expect(backend.isClosed)
  }

  @Test func `a body that comes slowly is no silence`() throws {
    let gateway = try gateway(#"limits: { bodyTimeout: "3s" },"#)
    let client = gateway.connect(sending: Self.post("/chat", length: 4, "a"))
    for _ in 1...3 {
      gateway.pass(.seconds(2))
      client.send("b")
      gateway.turns()
    }
    let backend = try #require(gateway.backends.last)
    #expect(client.received.isEmpty && backend.received.hasSuffix("abbb"))
  }

  @Test func `a request that is not answered as the drain ends is told to come again`() throws {
    let gateway = try gateway()
    let client = gateway.connect(sending: Self.get("/chat"))
    let backend = try #require(gateway.backends.last)
    gateway.drain()
    gateway.endStreams()
    gateway.pass(.milliseconds(100))
    #expect(client.received.hasPrefix("HTTP/1.1 503 ") && client.received.contains("draining"))
    #expect(client.received.contains("Retry-After: 1\r\n") && backend.isClosed)
  }
}
