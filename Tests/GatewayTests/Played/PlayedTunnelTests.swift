import Gateway
import Loop
import Testing
import Time

/// WebSockets: two connections that become one tunnel.
@Suite struct PlayedTunnelTests {
  private static let opening = """
    GET /live HTTP/1.1\r\nHost: gateway\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n
    """
  private static let acceptance = """
    HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n
    """

  private let gateway: PlayedGateway
  private let client: PlayedConnection
  private let backend: PlayedConnection

  init() throws {
    gateway = try PlayedGateway(
      """
      {
        upstreams: { b: { url: "http://backend" } }, limits: { tunnelIdle: "5s" },
        routes: [{
          name: "live", path: "/live", upstreams: "b", websocket: true,
          stream: { highWater: "4KiB", lowWater: "1KiB", linger: "2s" },
        }],
      }
      """)
    client = gateway.connect(sending: Self.opening)
    backend = try #require(gateway.backends.last)
  }

  private func accept(_ first: String = "") {
    backend.send(Self.acceptance + first)
    gateway.turns()
    let head = client.takeReceived()
    #expect(head.hasPrefix("HTTP/1.1 101 ") && head.hasSuffix("\r\n\r\n\(first)"))
    _ = backend.takeReceived()
  }

  @Test func `bytes pass both ways as they are, those behind the heads first`() {
    client.send("early ")
    gateway.turns()
    #expect(!backend.received.contains("early"))
    backend.send(Self.acceptance + "first ")
    gateway.turns()
    #expect(client.takeReceived().hasSuffix("\r\n\r\nfirst "))
    client.send("up")
    backend.send("down")
    gateway.turns()
    #expect(backend.received.hasSuffix("\r\n\r\nearly up") && client.received == "down")
  }

  @Test func `the end of each side is passed on, and both close behind the second`() {
    accept()
    client.finish()
    gateway.turns()
    #expect(backend.hasFinishedWriting && !client.hasFinishedWriting)
    backend.send("last words")
    gateway.turns()
    #expect(client.received == "last words")
    backend.finish()
    gateway.turns()
    #expect(client.hasFinishedWriting && backend.isClosed)
    gateway.pass(.seconds(3))
    #expect(client.isClosed && !client.wasReset)
  }

  @Test func `a backend that says no more gets what its client still has to say, for the time of linger`() {
    accept()
    backend.finish()
    gateway.turns()
    #expect(client.hasFinishedWriting && !backend.isClosed)
    client.send("and this")
    gateway.turns()
    #expect(backend.received == "and this")
    gateway.pass(.milliseconds(1900))
    #expect(!backend.isClosed)
    gateway.pass(.milliseconds(300))
    #expect(backend.isClosed)
  }

  @Test func `a side that breaks takes the other along`() {
    accept()
    client.fail()
    gateway.turns()
    #expect(backend.isClosed)
  }

  @Test func `a backend that breaks resets its client`() {
    accept()
    backend.fail()
    gateway.turns()
    #expect(client.wasReset)
  }

  @Test func `in silence it ends, and says so where a frame may stand`() {
    accept("\u{1}\u{5}whole")
    gateway.pass(.milliseconds(4900))
    #expect(!backend.isClosed)
    gateway.pass(.milliseconds(300))
    #expect(backend.isClosed)
    // A close frame with status 1001.
    #expect(Array(client.received.unicodeScalars.prefix(3).map(\.value)) == [0xFFFD, 2, 3])
  }

  @Test func `in the middle of a frame it ends without one`() {
    accept("\u{1}\u{9}cut")
    gateway.pass(.milliseconds(5200))
    #expect(backend.isClosed && client.received.isEmpty)
  }

  @Test func `a byte from either side keeps it open`() {
    accept()
    for side in [client, backend, client] {
      gateway.pass(.milliseconds(4500))
      side.send("\u{1}\u{0}")
      gateway.turns()
    }
    #expect(!backend.isClosed && !client.isClosed)
  }

  @Test func `a backend is not read while its client takes nothing`() {
    accept()
    client.isStuck = true
    backend.send(String(repeating: "x", count: 5 << 10))
    gateway.turns()
    #expect(!backend.isReading && client.isReading)
    client.drain()
    #expect(backend.isReading)
  }

  @Test func `a client is not read while its backend takes nothing`() {
    accept()
    backend.isStuck = true
    client.send(String(repeating: "x", count: 5 << 10))
    gateway.turns()
    #expect(!client.isReading && backend.isReading)
    backend.drain()
    #expect(client.isReading)
  }

  @Test func `an answer that opens nothing is an answer like any other`() {
    backend.send("HTTP/1.1 403 No\r\nContent-Length: 4\r\n\r\nstay")
    gateway.turns()
    #expect(client.received.hasPrefix("HTTP/1.1 403 ") && client.received.hasSuffix("\r\n\r\nstay"))
    client.send("no frame")
    gateway.turns()
    #expect(!backend.received.contains("no frame"))
  }
}
