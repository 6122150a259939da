import Gateway
import Glibc
import Loop
import Streams
import Testing
import Time

/// Clients' HTTP/1.1 connections, without sockets.
@Suite struct PlayedConnectionTests {
  private static let plain = "GET /chat HTTP/1.1\r\nHost: gateway\r\n\r\n"

  private func gateway(_ more: String = "", stream: String = "{}") throws -> PlayedGateway {
    try PlayedGateway(PlayedGateway.direct(stream: stream, more: more))
  }

  private func answer(_ gateway: PlayedGateway, _ body: String = "hello") throws {
    let backend = try #require(gateway.backends.last)
    backend.send("HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")
    gateway.turns()
  }

  @Test func `a connection serves one request after the other`() throws {
    let gateway = try gateway()
    let client = gateway.connect(sending: Self.plain)
    try answer(gateway)
    let first = client.takeReceived()
    #expect(first.hasPrefix("HTTP/1.1 200 OK\r\n") && first.hasSuffix("\r\n\r\nhello"))
    client.send(Self.plain)
    gateway.turns()
    try answer(gateway, "again")
    #expect(client.received.hasSuffix("\r\n\r\nagain"))
    #expect(!client.isClosed)
    // The backend's connection was kept for the second request.
    #expect(gateway.backends.dials == 1)
  }

  @Test func `a request that came early is answered in its turn`() throws {
    let gateway = try gateway()
    let client = gateway.connect(sending: Self.plain + Self.plain)
    #expect(!client.isReading)
    try answer(gateway, "first")
    #expect(client.takeReceived().hasSuffix("first"))
    try answer(gateway, "second")
    #expect(client.received.hasSuffix("second"))
    #expect(client.isReading)
  }

  @Test func `a head that comes letter by letter is one request`() throws {
    let gateway = try gateway()
    let client = gateway.connect()
    for letter in Self.plain { client.send(String(letter)) }
    gateway.turns()
    try answer(gateway)
    #expect(client.received.hasSuffix("hello"))
  }

  @Test func `a head that is no HTTP is refused, and its connection closed`() throws {
    let gateway = try gateway()
    let client = gateway.connect(sending: "nonsense\r\n\r\n")
    #expect(client.received.hasPrefix("HTTP/1.1 400 "))
    #expect(client.hasFinishedWriting)
    client.finish()
    gateway.turns()
    #expect(client.isClosed)
    #expect(gateway.backends.dials == 0)
  }

  @Test func `a client that does not finish its head is told when its time is up`() throws {
    let gateway = try gateway("limits: { headTimeout: \"2s\" },")
    let client = gateway.connect(sending: "GET /chat HTTP/1.1\r\nHo")
    gateway.pass(.milliseconds(1900))
    #expect(client.received.isEmpty)
    gateway.pass(.milliseconds(300))
    #expect(client.received.hasPrefix("HTTP/1.1 408 ") && client.received.contains("head_timeout"))
  }

  @Test func `a connection on which no request comes is closed when its time is up`() throws {
    let gateway = try gateway("limits: { headTimeout: \"2s\", keepAliveTimeout: \"4s\" },")
    let silent = gateway.connect()
    let served = gateway.connect(sending: Self.plain)
    try answer(gateway)
    gateway.pass(.milliseconds(2200))
    #expect(silent.isClosed && silent.received.isEmpty)
    #expect(!served.isClosed)
    gateway.pass(.seconds(2))
    #expect(served.isClosed)
  }

  @Test func `a body goes to the backend as it comes, and its framing is checked`() throws {
    let gateway = try gateway()
    let head = "POST /chat HTTP/1.1\r\nHost: gateway\r\nTransfer-Encoding: chunked\r\n\r\n"
    let client = gateway.connect(sending: head + "5\r\nhello\r\n")
    let backend = try #require(gateway.backends.last)
    #expect(backend.received.contains("hello"))
    client.send("6\r\n world\r\n0\r\n\r\n")
    gateway.turns()
    #expect(backend.received.contains(" world"))
    try answer(gateway)
    #expect(client.takeReceived().hasSuffix("hello"))
    client.send(head + "broken\r\n")
    gateway.turns()
    #expect(client.received.hasPrefix("HTTP/1.1 400 "))
    #expect(client.hasFinishedWriting)
  }

  @Test func `a client that waits for leave to send its body gets it`() throws {
    let gateway = try gateway()
    let client = gateway.connect(
      sending: "POST /chat HTTP/1.1\r\nHost: gateway\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    let backend = try #require(gateway.backends.last)
    backend.send("HTTP/1.1 100 Continue\r\n\r\n")
    gateway.turns()
    #expect(client.takeReceived() == "HTTP/1.1 100 Continue\r\n\r\n")
    client.send("hello")
    gateway.turns()
    try answer(gateway)
    #expect(client.received.hasPrefix("HTTP/1.1 200 "))
  }

  @Test func `the answer to HEAD has no body, and the connection goes on`() throws {
    let gateway = try gateway()
    let client = gateway.connect(sending: "HEAD /other HTTP/1.1\r\nHost: gateway\r\n\r\n" + Self.plain)
    let refusal = client.received
    #expect(refusal.hasPrefix("HTTP/1.1 404 ") && refusal.hasSuffix("\r\n\r\n"))
  }

  @Test(arguments: ["HTTP/1.0", "HTTP/1.1"])
  func `a client that wants its connection closed gets its answer whole`(version: String) throws {
    let gateway = try gateway()
    let client = gateway.connect(
      sending: "GET /chat \(version)\r\nHost: gateway\r\nConnection: close\r\n\r\n")
    try answer(gateway)
    #expect(client.received.hasSuffix("hello"))
    #expect(client.hasFinishedWriting && !client.isClosed)
    client.finish()
    gateway.turns()
    #expect(client.isClosed)
  }

  @Test func `a client that does not close after its last answer is let go`() throws {
    let gateway = try gateway()
    let client = gateway.connect(sending: "GET /chat HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n")
    try answer(gateway)
    gateway.pass(.seconds(4), tick: .milliseconds(250))
    #expect(!client.isClosed)
    gateway.pass(.seconds(2), tick: .milliseconds(250))
    #expect(client.isClosed)
  }

  @Test func `a client whose connection breaks takes its request along`() throws {
    let gateway = try gateway()
    let client = gateway.connect(sending: Self.plain)
    weak let handler = client.handler
    let backend = try #require(gateway.backends.last)
    #expect(handler != nil)
    client.fail()
    gateway.turns()
    #expect(client.isClosed && backend.isClosed)
    #expect(handler == nil, "the connection that is gone is held")
  }

  @Test(arguments: [("ignore", false), ("cancel", true)])
  func `a client that ends its side goes on or not, as its route says`(rule: String, isClosed: Bool) throws {
    let gateway = try gateway(stream: "{ onHalfClose: \"\(rule)\" }")
    let client = gateway.connect(sending: Self.plain)
    let backend = try #require(gateway.backends.last)
    backend.openStream()
    backend.event("one")
    gateway.turns()
    client.finish()
    gateway.turns()
    #expect(backend.isClosed == isClosed)
  }

  @Test func `an event stream ends its connection so that its client sees the end`() throws {
    let gateway = try gateway()
    let client = gateway.connect(sending: Self.plain)
    let backend = try #require(gateway.backends.last)
    backend.openStream()
    backend.event("one")
    backend.event("[DONE]")
    backend.endStream()
    gateway.turns()
    #expect(client.received.contains("Content-Type: text/event-stream"))
    #expect(client.received.contains("data: one\n\n"))
    #expect(client.received.hasSuffix("\r\n0\r\n\r\n"))
  }

  @Test func `a stream that was cut does not end with a last chunk`() throws {
    let gateway = try gateway()
    let client = gateway.connect(sending: Self.plain)
    let backend = try #require(gateway.backends.last)
    backend.openStream()
    backend.event("one")
    backend.fail()
    gateway.turns()
    #expect(client.received.contains("data: one\n\n"))
    #expect(!client.received.hasSuffix("0\r\n\r\n"))
    gateway.pass(.seconds(6), tick: .milliseconds(500))
    #expect(client.isClosed)
  }

  @Test func `a backend is not read while its client takes nothing`() throws {
    let gateway = try gateway(stream: "{ highWater: \"64KiB\", lowWater: \"16KiB\", clientStall: \"5s\" }")
    let client = gateway.connect(sending: Self.plain)
    let backend = try #require(gateway.backends.last)
    backend.openStream()
    gateway.turns()
    client.isStuck = true
    let large = String(repeating: "x", count: 10 << 10)
    for _ in 1...10 { backend.event(large) }
    gateway.turns()
    #expect(!backend.isReading)
    client.drain()
    gateway.turns()
    #expect(backend.isReading)
    #expect(client.received.components(between: "data: ") == 10)
  }

  @Test func `a client that takes nothing for its time is cut off`() throws {
    let gateway = try gateway(stream: "{ highWater: \"64KiB\", lowWater: \"16KiB\", clientStall: \"5s\" }")
    let client = gateway.connect(sending: Self.plain)
    let backend = try #require(gateway.backends.last)
    backend.openStream()
    gateway.turns()
    client.isStuck = true
    for _ in 1...10 { backend.event(String(repeating: "x", count: 10 << 10)) }
    gateway.pass(.seconds(12), tick: .milliseconds(250))
    #expect(client.wasReset && backend.isClosed)
  }

  @Test func `a drain closes who waits for nothing, and refuses what comes later`() throws {
    let gateway = try gateway()
    let idle = gateway.connect(sending: Self.plain)
    try answer(gateway)
    let busy = gateway.connect(sending: Self.plain)
    let backend = try #require(gateway.backends.last)
    var isDrained = false
    gateway.drain { isDrained = true }
    gateway.turns()
    #expect(idle.isClosed)
    #expect(!isDrained && !busy.isClosed)
    backend.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
    gateway.turns()
    #expect(busy.received.hasSuffix("hello") && busy.received.contains("Connection: close"))
    busy.finish()
    gateway.turns()
    #expect(isDrained)
  }

  @Test func `the end of a drain ends open streams with their own reason`() throws {
    let gateway = try gateway()
    let client = gateway.connect(
      sending: "GET /chat HTTP/1.1\r\nHost: gateway\r\nPrefer: stream-end\r\n\r\n")
    let backend = try #require(gateway.backends.last)
    backend.openStream()
    backend.event("one")
    gateway.turns()
    gateway.endStreams()
    gateway.pass(.milliseconds(50))
    #expect(client.received.contains("\"outcome\":\"draining\""))
    #expect(backend.isClosed)
  }

  @Test func `a request that came back to its gateway is refused`() throws {
    let gateway = try gateway()
    let first = gateway.connect(sending: Self.plain)
    let sent = try #require(gateway.backends.last).received
    let via = try #require(sent.split(separator: "\r\n").first { $0.lowercased().hasPrefix("via:") })
    let second = gateway.connect(sending: "GET /chat HTTP/1.1\r\nHost: gateway\r\n\(via)\r\n\r\n")
    #expect(second.received.hasPrefix("HTTP/1.1 508 ") && second.received.contains("loop_detected"))
    #expect(first.received.isEmpty)
  }
}

extension String {
  fileprivate func components(between mark: String) -> Int {
    var rest = self[...]
    var count = 0
    while let range = rest.firstRange(of: mark) {
      count += 1
      rest = rest[range.upperBound...]
    }
    return count
  }
}
