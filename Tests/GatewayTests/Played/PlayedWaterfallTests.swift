import Gateway
import Loop
import Streams
import Testing
import Time

/// Requests that several backends are asked for, one after the other.
@Suite struct PlayedWaterfallTests {
  private func gateway(_ pair: String = "", variant: Mode = .graceful, more: String = "") throws -> PlayedGateway {
    try PlayedGateway(PlayedGateway.direct(more: more, pair: pair), variant: variant)
  }

  /// A request that expects a stream: other answers may take their time.
  private static let wantsStream = [("Accept", "text/event-stream")]

  private func refuse(_ gateway: PlayedGateway, _ status: Int, _ fields: String = "") throws {
    try #require(gateway.backends.asked).send("HTTP/1.1 \(status) No\r\n\(fields)Content-Length: 0\r\n\r\n")
    gateway.turns()
  }

  @Test(arguments: [500, 503, 429])
  func `the next backend is asked when one refuses`(status: Int) throws {
    let gateway = try gateway()
    let client = try gateway.request("GET", "/pair")
    try refuse(gateway, status)
    #expect(client.status == 0)
    #expect(gateway.backends.dials == 2)
    try gateway.serveWhole(from: gateway.backends.asked, to: client)
  }

  @Test func `a refusal that is the client's own fault is passed on`() throws {
    let gateway = try gateway()
    let client = try gateway.request("GET", "/pair")
    try refuse(gateway, 404)
    #expect(client.status == 404)
    #expect(gateway.backends.dials == 1)
  }

  @Test func `backends that can't be reached are told, each with its reason`() throws {
    let gateway = try gateway()
    gateway.backends.refuses = true
    let client = try gateway.request("GET", "/pair", turns: 20)
    #expect(client.status == 503 && client.code == "upstreams_exhausted")
    #expect(gateway.backends.dials == 2)
    #expect(client.body.contains("\"upstream\":\"b\"") && client.body.contains("\"upstream\":\"c\""))
    #expect(client.fields["retry-after"] != nil)
  }

  @Test func `a backend that breaks before it answers makes room for the next, if the request may be repeated`() throws
  {
    for (method, dials) in [("GET", 2), ("POST", 1)] {
      let gateway = try gateway()
      let client = try gateway.request(method, "/pair")
      try #require(gateway.backends.last).fail()
      gateway.turns()
      #expect(gateway.backends.dials == dials, "\(method)")
      #expect((client.code == "not_repeated") == (dials == 1))
    }
  }

  @Test func `a backend that does not answer in time makes room for the next`() throws {
    let gateway = try gateway("timeouts: { connect: \"1s\", head: \"2s\" },")
    let client = try gateway.request("GET", "/pair", Self.wantsStream)
    gateway.pass(.milliseconds(1900), of: client)
    #expect(gateway.backends.dials == 1)
    gateway.pass(.milliseconds(400), of: client)
    #expect(gateway.backends.dials == 2)
    #expect(gateway.backends.connections[0].isClosed)
    try gateway.serveWhole(from: gateway.backends.asked, to: client)
  }

  @Test func `the budget ends the asking`() throws {
    let gateway = try gateway("budget: \"3s\", timeouts: { head: \"2s\" },")
    let client = try gateway.request("GET", "/pair", Self.wantsStream)
    gateway.pass(.seconds(4), of: client)
    #expect(client.status == 503 || client.status == 504)
    #expect(gateway.backends.connections.allSatisfy { $0.isClosed })
  }

  @Test func `with a gate at the first event a stream without one is not yet good`() throws {
    let gateway = try gateway("gate: \"firstEvent\",")
    let client = try gateway.request("GET", "/pair")
    let first = try #require(gateway.backends.last)
    first.openStream()
    gateway.turns()
    #expect(client.status == 0)
    first.endStream()
    gateway.turns()
    #expect(gateway.backends.dials == 2)
    try gateway.serveWhole(from: gateway.backends.asked, to: client)
  }

  @Test func `a good stream's first bytes are not lost behind the gate`() throws {
    let gateway = try gateway("gate: \"firstEvent\",")
    let client = try gateway.request("GET", "/pair")
    let backend = try #require(gateway.backends.last)
    backend.openStream()
    backend.sendChunk(": hello\n\nda")
    backend.sendChunk("ta: one\n\n")
    gateway.turns()
    backend.event("two")
    gateway.turns()
    #expect(client.data == ["one", "two"])
  }

  @Test func `a stream opens early when asking takes long, and says in its end that nobody answered`() throws {
    let gateway = try gateway("commitAfter: \"1s\", budget: \"4s\", timeouts: { head: \"10s\" },")
    let client = try gateway.request("GET", "/pair", Self.wantsStream)
    gateway.pass(.milliseconds(1200), of: client)
    #expect(client.status == 200 && client.fields["x-stream-mode"] == "graceful")
    #expect(!client.isOver)
    gateway.pass(.seconds(4), of: client)
    #expect(client.end("outcome") == "upstream_error")
  }

  @Test func `a stream that opened early goes on with the backend that answers`() throws {
    let gateway = try gateway("commitAfter: \"1s\",")
    let client = try gateway.request("GET", "/pair", Self.wantsStream)
    gateway.pass(.milliseconds(1200), of: client)
    #expect(client.status == 200)
    try refuse(gateway, 500)
    #expect(gateway.backends.dials == 2)
    try gateway.serveWhole(from: gateway.backends.asked, to: client)
  }

  @Test func `legacy clients wait for the backend's own head`() throws {
    let gateway = try gateway("commitAfter: \"1s\",", variant: .legacy)
    let client = try gateway.request("GET", "/pair", prefersEnd: false)
    gateway.pass(.seconds(3), of: client)
    #expect(client.status == 0)
  }

  @Test func `a backend that fails again and again is left out`() throws {
    let gateway = try gateway(more: "defaults: { health: { failures: 2, ejection: \"10s\" } },")
    for _ in 1...2 {
      let client = try gateway.request("GET", "/pair")
      try refuse(gateway, 500)
      try gateway.serveWhole(from: gateway.backends.asked, to: client)
    }
    #expect(gateway.backends.hosts == ["backend", "spare", "backend"], "the spare's connection is kept")
    let served = try gateway.request("GET", "/pair")
    try gateway.serveWhole(from: gateway.backends.asked, to: served)
    #expect(gateway.backends.dials == 3, "the spare is asked first")
    gateway.pass(.seconds(11), tick: .seconds(1))
    _ = try gateway.request("GET", "/pair")
    #expect(gateway.backends.hosts.suffix(1) == ["backend"] && gateway.backends.dials == 4)
  }

  @Test func `a kept connection that its backend has closed costs the client nothing`() throws {
    let gateway = try gateway()
    let first = try gateway.request("GET", "/chat")
    try gateway.serveWhole(from: gateway.backends.asked, to: first)
    let kept = try #require(gateway.backends.last)
    let second = try gateway.request("GET", "/chat")
    #expect(gateway.backends.dials == 1)
    kept.finish()
    gateway.turns()
    #expect(gateway.backends.dials == 2)
    try gateway.serveWhole(from: gateway.backends.asked, to: second)
  }

  @Test func `a kept connection is closed when its time is up`() throws {
    let gateway = try gateway()
    let served = try gateway.request("GET", "/chat")
    try gateway.serveWhole(from: gateway.backends.asked, to: served)
    let kept = try #require(gateway.backends.last)
    #expect(!kept.isClosed)
    gateway.pass(.seconds(62), tick: .seconds(1))
    #expect(kept.isClosed)
  }

  @Test func `an answer that is malformed is told as the backend's fault`() throws {
    let gateway = try gateway()
    let client = try gateway.request("GET", "/chat")
    try #require(gateway.backends.last).send("nonsense\r\n\r\n")
    gateway.turns()
    #expect(client.status == 502 && client.code == "bad_upstream")
  }

  @Test func `a body that its backend stops sending is cut for the client too`() throws {
    let gateway = try gateway(more: "limits: { bodyTimeout: \"3s\" },")
    let client = try gateway.request("GET", "/chat")
    try #require(gateway.backends.last).send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello")
    gateway.turns()
    gateway.pass(.seconds(4), of: client)
    #expect(client.body == "hello")
    #expect(client.ending == .cut)
  }
}
