import Gateway
import Loop
import Streams
import Testing
import Time

/// Requests with bodies on their way to backends, of which a second one may have to be asked.
@Suite struct PlayedBodyTests {
  private func gateway(_ pair: String = "", more: String = "") throws -> PlayedGateway {
    try PlayedGateway(PlayedGateway.direct(more: more, pair: pair))
  }

  private static func head(_ length: Int?) -> String {
    let framing = length.map { "Content-Length: \($0)" } ?? "Transfer-Encoding: chunked"
    return "POST /pair HTTP/1.1\r\nHost: gateway\r\n\(framing)\r\n\r\n"
  }

  private func refuse(_ gateway: PlayedGateway, _ fields: String = "") throws {
    try #require(gateway.backends.asked).send("HTTP/1.1 503 No\r\n\(fields)Content-Length: 0\r\n\r\n")
    gateway.turns()
  }

  private func answer(_ backend: PlayedConnection?, _ gateway: PlayedGateway) throws {
    try #require(backend).send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
    gateway.turns()
  }

  /// What of a request a backend was sent behind its head.
  private func body(_ backend: PlayedConnection) -> String {
    guard let range = backend.received.firstRange(of: "\r\n\r\n") else { return "" }
    return String(backend.received[range.upperBound...])
  }

  @Test func `a body that one backend had goes whole to the next, in one frame where it came in several`() throws {
    let gateway = try gateway()
    let client = gateway.connect(sending: Self.head(nil) + "5\r\nhello\r\n")
    client.send("6\r\n world\r\n0\r\n\r\n")
    gateway.turns()
    let first = try #require(gateway.backends.last)
    #expect(body(first) == "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")
    try refuse(gateway)
    let second = try #require(gateway.backends.last)
    #expect(second !== first && body(second) == "b\r\nhello world\r\n0\r\n\r\n")
    try answer(second, gateway)
    #expect(client.received.hasSuffix("\r\n\r\ndone"))
  }

  @Test func `what comes of a body after the first backend refused goes behind what was kept`() throws {
    let gateway = try gateway()
    let client = gateway.connect(sending: Self.head(6) + "abc")
    try refuse(gateway)
    let second = try #require(gateway.backends.last)
    #expect(body(second) == "abc")
    client.send("def")
    gateway.turns()
    #expect(body(second) == "abcdef")
    try answer(second, gateway)
    #expect(client.received.hasSuffix("\r\n\r\ndone"))
  }

  @Test(arguments: [(1024, 2), (1025, 1)])
  func `a body of as much as is kept is sent twice, a larger one once`(count: Int, dials: Int) throws {
    let gateway = try gateway(#"replayLimit: "1KiB""#)
    let text = String(repeating: "x", count: count)
    let client = gateway.connect(sending: Self.head(count) + text)
    try refuse(gateway)
    #expect(gateway.backends.dials == dials)
    #expect(client.received.hasPrefix("HTTP/1.1 503 ") == (dials == 1))
    #expect((gateway.process.bodiesInUse > 0) == (dials == 2))
  }

  @Test func `a body without a length is kept until it is too large`() throws {
    let gateway = try gateway(#"replayLimit: "1KiB""#)
    let client = gateway.connect(sending: Self.head(nil) + "3e8\r\n\(String(repeating: "x", count: 1000))\r\n")
    #expect(gateway.process.bodiesInUse > 0)
    client.send("3e8\r\n\(String(repeating: "y", count: 1000))\r\n0\r\n\r\n")
    gateway.turns()
    #expect(gateway.process.bodiesInUse == 0)
    let backend = try #require(gateway.backends.last)
    #expect(body(backend).contains("yyy\r\n0\r\n\r\n"))
    try answer(backend, gateway)
    #expect(client.received.hasSuffix("\r\n\r\ndone"))
  }

  @Test func `a good answer lets go what was kept, while it is still on its way`() throws {
    let gateway = try gateway()
    let client = gateway.connect(sending: Self.head(3) + "abc")
    #expect(gateway.process.bodiesInUse > 0)
    try #require(gateway.backends.last).send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
    gateway.turns()
    #expect(client.received.hasSuffix("half") && gateway.process.bodiesInUse == 0)
  }

  @Test(arguments: [("", 1), (#"retry: { nonIdempotent: ["cut"] }"#, 2)])
  func `a request with an effect is made again after a cut where the route says so`(retry: String, dials: Int) throws {
    let gateway = try gateway(retry)
    let client = gateway.connect(sending: Self.head(3) + "abc")
    try #require(gateway.backends.last).fail()
    gateway.turns()
    #expect(gateway.backends.dials == dials)
    #expect(client.received.contains("not_repeated") == (dials == 1))
    if dials == 2 { #expect(body(try #require(gateway.backends.last)) == "abc") }
  }

  @Test func `a client is not read while its backend takes nothing of its body`() throws {
    let gateway = try PlayedGateway(
      PlayedGateway.direct(stream: #"{ highWater: "4KiB", lowWater: "1KiB" }"#, pair: "replayLimit: 0"))
    let client = gateway.connect(sending: Self.head(1 << 20) + "abc")
    let backend = try #require(gateway.backends.last)
    backend.isStuck = true
    client.send(String(repeating: "x", count: 8 << 10))
    gateway.turns()
    #expect(!client.isReading)
    backend.drain()
    gateway.turns()
    #expect(client.isReading)
  }

  @Test func `a backend that takes nothing of a body is let go when its time is up, and may have begun`() throws {
    let gateway = try gateway(more: #"limits: { bodyTimeout: "3s", stallTimeout: "60s" },"#)
    let client = gateway.connect()
    client.send(Self.head(2 << 10))
    gateway.turns()
    let first = try #require(gateway.backends.last)
    first.isStuck = true
    client.send(String(repeating: "x", count: 2 << 10))
    gateway.turns()
    gateway.pass(.seconds(8), tick: .milliseconds(250))
    #expect(first.isClosed && gateway.backends.dials == 1)
    #expect(client.received.hasPrefix("HTTP/1.1 504 ") && client.received.contains("not_repeated"))
  }

  @Test func `who refuses all says when to come again: as soon as the first of them may be asked`() throws {
    let gateway = try gateway()
    let client = gateway.connect(sending: Self.head(3) + "abc")
    try refuse(gateway, "Retry-After: 7\r\n")
    try refuse(gateway, "Retry-After: 3\r\n")
    #expect(client.received.hasPrefix("HTTP/1.1 503 ") && client.received.contains("upstreams_exhausted"))
    #expect(client.received.contains("Retry-After: 3\r\n"), "\(client.received)")
  }

  @Test func `an answer that comes before the whole body is passed on, and the rest of it taken`() throws {
    let gateway = try gateway(more: #"limits: { bodyTimeout: "3s" },"#)
    let client = gateway.connect(sending: Self.head(6) + "abc")
    try answer(gateway.backends.last, gateway)
    #expect(client.takeReceived().hasSuffix("\r\n\r\ndone"))
    client.send("def")
    client.finish()
    gateway.pass(.seconds(6), tick: .milliseconds(250))
    #expect(client.isClosed && client.received.isEmpty)
  }
}
