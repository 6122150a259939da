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

  private func refuse(_ gateway: PlayedGateway, _ status: Int, _ fields: String = "") throws {
    try #require(gateway.backends.last).send("HTTP/1.1 \(status) No\r\n\(fields)Content-Length: 0\r\n\r\n")
    gateway.turns()
  }

  private func stream(_ gateway: PlayedGateway, _ client: PlayedClient) throws {
    let backend = try #require(gateway.backends.last)
    backend.openStream()
    backend.event("one")
    backend.event("[DONE]")
    backend.endStream()
    gateway.turns()
    #expect(client.data == ["one", "[DONE]"])
    #expect(client.end("outcome") == "completed")
  }

  @Test(arguments: [500, 503, 429])
  func `the next backend is asked when one refuses`(status: Int) throws {
    let gateway = try gateway()
    let client = try gateway.request("GET", "/pair")
    try refuse(gateway, status)
    #expect(client.status == 0)
    #expect(gateway.backends.dials == 2)
    try stream(gateway, client)
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
    try stream(gateway, client)
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

  @Test func `legacy clients wait for the backend's own head`() throws {
    let gateway = try gateway("commitAfter: \"1s\",", variant: .legacy)
    let client = try gateway.request("GET", "/pair", prefersEnd: false)
    gateway.pass(.seconds(3), of: client)
    #expect(client.status == 0)
  }

  @Test func `a kept connection that its backend has closed costs the client nothing`() throws {
    let gateway = try gateway()
    let first = try gateway.request("GET", "/chat")
    try stream(gateway, first)
    let kept = try #require(gateway.backends.last)
    let second = try gateway.request("GET", "/chat")
    #expect(gateway.backends.dials == 1)
    kept.finish()
    gateway.turns()
    #expect(gateway.backends.dials == 2)
    try stream(gateway, second)
  }

  @Test func `a kept connection is closed when its time is up`() throws {
    let gateway = try gateway()
    try stream(gateway, try gateway.request("GET", "/chat"))
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
