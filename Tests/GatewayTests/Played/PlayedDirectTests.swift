import Gateway
import Loop
import Streams
import Testing
import Time

/// Streams that go straight from their backend to their client, in each mode.
@Suite struct PlayedDirectTests {
  private func gateway(
    _ variant: Mode = .graceful, stream: String = "{}", more: String = ""
  ) throws -> PlayedGateway {
    try PlayedGateway(PlayedGateway.direct(stream: stream, more: more), variant: variant)
  }

  // MARK: - Ends

  @Test func `a legacy client gets the backend's bytes, and nothing else`() throws {
    let gateway = try gateway(.legacy)
    let (client, backend) = try gateway.open(prefersEnd: false)
    let text = ": hello\n\nid: 7\nevent: a\ndata: one\n\ndata: [DONE]\n\n"
    backend.sendChunk(text)
    backend.endStream()
    #expect(client.body == text)
    #expect(client.ending == .complete)
    #expect(client.fields["x-stream-mode"] == "legacy")
  }

  @Test func `a graceful client is told how its stream ended`() throws {
    let gateway = try gateway()
    let (client, backend) = try gateway.open()
    backend.event("one")
    backend.event("[DONE]")
    #expect(client.end("outcome") == nil)
    backend.endStream()
    #expect(client.data == ["one", "[DONE]"])
    #expect(client.end("outcome") == "completed")
    #expect(client.end("events") == "2")
  }

  @Test func `a shielded client does not see the terminal before the end`() throws {
    let gateway = try gateway(.shield)
    let (client, backend) = try gateway.open(prefersEnd: false)
    backend.event("one")
    backend.event("[DONE]")
    #expect(client.data == ["one"])
    backend.endStream()
    #expect(client.data == ["one", "[DONE]"])
    #expect(client.ending == .complete)
  }

  @Test(arguments: [(Mode.legacy, BodyEnd.cut), (.shield, .cut), (.graceful, .complete)])
  func `a cut is told in the way that the client understands`(mode: Mode, end: BodyEnd) throws {
    let gateway = try gateway(mode)
    let (client, backend) = try gateway.open(prefersEnd: mode == .graceful)
    backend.event("one")
    backend.fail()
    gateway.turns()
    #expect(client.data == ["one"])
    #expect(client.ending == end)
    #expect(client.end("outcome") == (mode == .graceful ? "upstream_truncated" : nil))
  }

  @Test func `an end without the terminal is no completion`() throws {
    let gateway = try gateway()
    let (client, backend) = try gateway.open()
    backend.event("one")
    backend.endStream()
    #expect(client.end("reason") == "the backend ended without its terminal")
  }

  @Test func `an event that is larger than it may be ends the stream`() throws {
    let gateway = try gateway(stream: "{ eventLimit: \"4KiB\" }")
    let (client, backend) = try gateway.open()
    backend.event("small")
    backend.event(String(repeating: "x", count: 8 << 10))
    #expect(client.end("outcome") == "event_too_large")
    #expect(client.data == ["small"])
    #expect(backend.isClosed)
  }

  @Test func `what a backend sends after its stream was ended changes nothing`() throws {
    let gateway = try gateway(stream: "{ idle: \"5s\" }")
    let (client, backend) = try gateway.open()
    backend.event("one")
    gateway.pass(.seconds(6), of: client)
    #expect(client.end("outcome") == "idle_timeout")
    let body = client.body
    backend.event("late")
    backend.endStream()
    gateway.turns()
    #expect(client.body == body)
  }

  // MARK: - Races of ends

  @Test(arguments: [Mode.legacy, .shield, .graceful])
  func `a client that leaves as its backend ends is let go once`(mode: Mode) throws {
    let gateway = try gateway(mode)
    let (client, backend) = try gateway.open(prefersEnd: mode == .graceful)
    backend.event("one")
    backend.event("[DONE]")
    client.leave()
    let body = client.body
    backend.endStream()
    backend.fail()
    gateway.turns()
    #expect(client.body == body)
    #expect(client.ending == nil)
  }

  @Test func `a client that leaves before there is an answer stops the attempt`() throws {
    let gateway = try gateway()
    let client = try gateway.request()
    let backend = try #require(gateway.backends.last)
    client.leave()
    gateway.turns()
    #expect(backend.isClosed)
  }

  @Test func `a client that leaves before its backend is reached stops the dial`() throws {
    let gateway = try gateway()
    let client = try gateway.request(turns: 0)
    client.leave()
    gateway.turns()
    #expect(gateway.backends.connections.isEmpty)
    #expect(client.status == 0)
  }

  // MARK: - Kills

  @Test func `a hard kill ends an open stream in the old way`() throws {
    let gateway = try gateway()
    let (client, backend) = try gateway.open()
    backend.event("one")
    gateway.kill(.hard)
    backend.event("[DONE]")
    backend.endStream()
    #expect(client.end("outcome") == nil)
    #expect(client.ending == .complete)
  }

  // MARK: - The shadow

  @Test func `the shadow reads on when a legacy client leaves at its completion event`() throws {
    let gateway = try gateway(.legacy, more: "shadow: { tail: true },")
    let (client, backend) = try gateway.open(prefersEnd: false)
    backend.sendChunk("event: done\ndata: {}\n\n")
    client.leave()
    gateway.turns()
    #expect(!backend.isClosed)
    backend.sendChunk("event: usage\ndata: {}\n\n")
    backend.endStream()
    gateway.turns()
    #expect(!client.body.contains("usage"))
    // It was read to its end, so it serves another request.
    _ = try gateway.open(prefersEnd: false)
    #expect(gateway.backends.dials == 1)
  }

  @Test func `the shadow does not read for longer than its time`() throws {
    let gateway = try gateway(.legacy, more: "shadow: { tail: true },")
    let (client, backend) = try gateway.open(prefersEnd: false)
    backend.sendChunk("event: done\ndata: {}\n\n")
    client.leave()
    gateway.pass(.milliseconds(1900))
    #expect(!backend.isClosed)
    gateway.pass(.milliseconds(300))
    #expect(backend.isClosed)
  }

  @Test func `a drain ends what the shadow reads`() throws {
    let gateway = try gateway(.legacy, more: "shadow: { tail: true },")
    let (client, backend) = try gateway.open(prefersEnd: false)
    backend.sendChunk("event: done\ndata: {}\n\n")
    client.leave()
    gateway.drain()
    gateway.turns()
    #expect(backend.isClosed)
  }

  // MARK: - Time limits

  @Test func `a first event that does not come ends the stream`() throws {
    let gateway = try gateway(stream: "{ firstToken: \"3s\" }")
    let (client, backend) = try gateway.open()
    backend.sendChunk(": comments are no events\n\n")
    gateway.pass(.milliseconds(2500), of: client)
    #expect(!client.isOver)
    gateway.pass(.seconds(1), of: client)
    #expect(client.end("outcome") == "first_token_timeout")
    #expect(backend.isClosed)
  }

  @Test func `the total time ends a stream however busy it is`() throws {
    let gateway = try gateway(stream: "{ total: \"4s\" }")
    let (client, backend) = try gateway.open()
    for _ in 1...5 {
      gateway.pass(.seconds(1), of: client)
      backend.event("one")
    }
    #expect(client.isOver)
    #expect(client.end("reason")?.hasPrefix("the stream's total time is up") == true)
  }

  @Test func `a silent stream is kept alive between its events, and never inside one`() throws {
    let gateway = try gateway(.legacy, stream: "{ keepalive: \"2s\", keepaliveInLegacy: true }")
    let (client, backend) = try gateway.open(prefersEnd: false)
    backend.sendChunk("data: one\n\ndata: tw")
    gateway.pass(.seconds(5), of: client)
    #expect(client.body == "data: one\n\ndata: tw")
    backend.sendChunk("o\n\n")
    gateway.pass(.seconds(5), of: client)
    #expect(client.body.hasPrefix("data: one\n\ndata: two\n\n:"))
  }

  @Test func `a backend that waits for its client is not called silent`() throws {
    let gateway = try gateway(
      stream: "{ idle: \"5s\", clientStall: \"60s\", highWater: \"16KiB\", lowWater: \"4KiB\" }")
    let (client, backend) = try gateway.open()
    client.isStuck = true
    for _ in 1...4 { backend.event(String(repeating: "x", count: 8 << 10)) }
    #expect(!backend.isReading)
    gateway.pass(.seconds(20), of: client)
    #expect(!client.isOver)
    client.isStuck = false
    client.drain()
    #expect(backend.isReading)
    gateway.pass(.seconds(6), of: client)
    #expect(client.end("outcome") == "idle_timeout")
  }

  @Test func `a client that takes nothing is let go, and its backend with it`() throws {
    let gateway = try gateway(stream: "{ clientStall: \"5s\", highWater: \"16KiB\", lowWater: \"4KiB\" }")
    let (client, backend) = try gateway.open()
    client.isStuck = true
    for _ in 1...4 { backend.event(String(repeating: "x", count: 8 << 10)) }
    gateway.pass(.seconds(6), of: client)
    #expect(client.isAbandoned)
    #expect(backend.isClosed)
  }

  // MARK: - Pages of other origins

  @Test func `a page of an allowed origin may read its stream, another may not`() throws {
    let gateway = try gateway()
    for (origin, isAllowed) in [("https://app.example", true), ("https://other.example", false)] {
      let client = try gateway.request("GET", "/page", [("Origin", origin)])
      let backend = try #require(gateway.backends.last)
      backend.openStream()
      backend.endStream()
      gateway.turns()
      #expect((client.fields["access-control-allow-origin"] == origin) == isAllowed)
    }
  }

  @Test func `a preflight is answered without a backend`() throws {
    let gateway = try gateway()
    let client = try gateway.request(
      "OPTIONS", "/page", [("Origin", "https://app.example"), ("Access-Control-Request-Method", "POST")])
    #expect(client.status == 204)
    #expect(client.fields["access-control-allow-methods"]?.contains("POST") == true)
    #expect(gateway.backends.dials == 0)
  }

  @Test func `what no route serves is refused`() throws {
    let gateway = try gateway()
    let client = try gateway.request("GET", "/nothing")
    #expect(client.status == 404 && client.code == "no_route")
    let trace = try gateway.request("TRACE", "/chat")
    #expect(trace.status == 404 || trace.status == 405)
  }
}
