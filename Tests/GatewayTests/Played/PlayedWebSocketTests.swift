import Gateway
import Loop
import Testing
import Time

/// Requests to open a WebSocket: which reach a backend, and what becomes of its answer. What follows is in
/// PlayedTunnelTests.
@Suite struct PlayedWebSocketTests {
  private let gateway: PlayedGateway
  private static let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
  private static let version = "Sec-WebSocket-Version: 13\r\n"
  private static let accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"

  init() throws {
    gateway = try PlayedGateway(
      """
      {
        upstreams: { b: { url: "http://backend" }, c: { url: "http://spare" } },
        routes: [
          { name: "live", path: "/live", upstreams: "b", websocket: true, stream: { linger: "2s" } },
          { name: "pair", path: "/pair", upstreams: ["b", "c"], websocket: true },
          {
            name: "app", path: "/app", upstreams: "b", websocket: true, cors: { origins: ["https://app.example"] },
          },
        ],
      }
      """)
  }

  private func open(_ path: String = "/live", _ fields: String = version + key) -> PlayedConnection {
    gateway.connect(
      sending: "GET \(path) HTTP/1.1\r\nHost: gateway\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\(fields)\r\n")
  }

  private func answer(_ fields: String) throws {
    try #require(gateway.backends.asked).send(
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\(fields)\r\n")
    gateway.turns()
  }

  private var tunnels: Double? { gateway.numbers["fermata_tunnels"] }

  @Test func `an opening of another version is told which one there is`() {
    let client = open("/live", Self.key + "Sec-WebSocket-Version: 8\r\n")
    #expect(client.received.hasPrefix("HTTP/1.1 426 ") && client.received.contains("websocket_version"))
    #expect(client.received.contains("Sec-WebSocket-Version: 13\r\n"))
    #expect(client.received.lowercased().contains("upgrade: websocket\r\n"))
    #expect(client.hasFinishedWriting && gateway.backends.dials == 0)
  }

  @Test(arguments: ["", "Sec-WebSocket-Key: short\r\n", key + key])
  func `an opening without one good key is refused`(key: String) {
    let client = open("/live", Self.version + key)
    #expect(client.received.hasPrefix("HTTP/1.1 400 ") && client.received.contains("websocket_refused"))
    #expect(client.hasFinishedWriting && gateway.backends.dials == 0)
  }

  @Test(
    arguments: [
      ("/live", "http://gateway", true), ("/live", "https://other.example", false),
      ("/app", "https://app.example", true), ("/app", "http://gateway", false), ("/app", "null", false),
    ])
  func `pages may open one at their own host, or where the route names their origin`(
    path: String, origin: String, may: Bool
  ) {
    let client = open(path, Self.version + Self.key + "Origin: \(origin)\r\n")
    #expect(gateway.backends.dials == (may ? 1 : 0))
    #expect(client.received.hasPrefix("HTTP/1.1 403 ") == !may)
    #expect(client.received.contains("origin_refused") == !may)
  }

  @Test(arguments: ["", "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOp=\r\n"])
  func `a backend that accepts another opening than this one is not believed`(accept: String) throws {
    let client = open()
    let backend = try #require(gateway.backends.last)
    try answer(accept)
    #expect(client.received.hasPrefix("HTTP/1.1 502 "))
    #expect(backend.isClosed && tunnels == 0)
  }

  @Test func `the next backend may open it when the first refuses`() throws {
    let client = open("/pair")
    try #require(gateway.backends.last).send("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
    gateway.turns()
    #expect(gateway.backends.hosts == ["backend", "spare"])
    let second = try #require(gateway.backends.last)
    #expect(second.received.lowercased().contains("upgrade: websocket\r\n") && second.received.contains(Self.key))
    try answer(Self.accept)
    #expect(client.received.hasPrefix("HTTP/1.1 101 ") && tunnels == 1)
  }

  @Test func `a client that leaves before the answer takes its attempt along`() throws {
    let client = open()
    let backend = try #require(gateway.backends.last)
    client.fail()
    gateway.turns()
    #expect(backend.isClosed && tunnels == 0)
  }

  @Test func `a drain waits for tunnels, and ends them with a frame that says so`() throws {
    let client = open()
    try answer(Self.accept)
    let backend = try #require(gateway.backends.last)
    _ = client.takeReceived()
    var isDrained = false
    gateway.drain { isDrained = true }
    client.send("up")
    gateway.turns()
    #expect(backend.received.hasSuffix("up") && !isDrained && tunnels == 1)
    gateway.endStreams()
    gateway.pass(.milliseconds(100))
    // A close frame with status 1001.
    #expect(client.takeBytes().prefix(4) == [0x88, 2, 3, 0xE9])
    #expect(backend.isClosed && tunnels == 0)
    client.finish()
    gateway.pass(.seconds(3))
    #expect(isDrained)
  }

  @Test func `a gateway that stops breaks its tunnels`() throws {
    let client = open()
    try answer(Self.accept)
    gateway.stop()
    #expect(client.isClosed)
    #expect(gateway.backends.connections.allSatisfy { $0.isClosed })
  }

  @Test func `each end is counted by who brought it about`() throws {
    for end in ["client", "backend", "failed"] {
      let client = open()
      try answer(Self.accept)
      let backend = try #require(gateway.backends.last)
      switch end {
      case "client":
        client.finish()
        backend.finish()
      case "backend":
        backend.finish()
        client.finish()
      default: backend.fail()
      }
      gateway.turns()
      let counted = gateway.numbers.filter { $0.key.hasPrefix("fermata_tunnel") && $0.key.contains("\"\(end)\"") }
      #expect(counted.values.reduce(0, +) == 1, "\(end): \(counted)")
      gateway.pass(.seconds(3))
    }
  }
}
