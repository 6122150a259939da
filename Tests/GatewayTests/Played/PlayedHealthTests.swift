import Gateway
import Loop
import Testing
import Time

/// Backends that are asked again and again how they are.
@Suite struct PlayedHealthTests {
  private static func configuration(check: String) -> String {
    """
    {
      upstreams: { b: { url: "http://backend", health: { check: \(check) } }, c: { url: "http://spare" } },
      routes: [{ name: "pair", path: "/pair", upstreams: ["b", "c"] }],
    }
    """
  }

  private let gateway: PlayedGateway

  init() throws {
    let check = #"{ path: "/health", interval: "1s", timeout: "500ms", healthyAfter: 2, unhealthyAfter: 2 }"#
    gateway = try PlayedGateway(Self.configuration(check: check))
    gateway.pass(.milliseconds(50))
  }

  /// Answers the check that is under way, and lets the time pass until the next one.
  private func answer(_ head: String) throws {
    let check = try #require(gateway.backends.last)
    check.send("\(head)\r\n\r\n")
    gateway.turns()
    #expect(check.isClosed)
    gateway.pass(.seconds(1))
  }

  /// Where a request goes first.
  private func host() throws -> String? {
    let dials = gateway.backends.dials
    let client = try gateway.request("GET", "/pair")
    client.leave()
    gateway.turns()
    return gateway.backends.hosts[dials...].first
  }

  @Test func `each check is a request of its own, on a connection of its own`() throws {
    let check = try #require(gateway.backends.last)
    #expect(gateway.backends.hosts == ["backend"])
    #expect(
      check.received == """
        GET /health HTTP/1.1\r\nHost: backend\r\nUser-Agent: fermata-health-check\r\nAccept: */*\r\n\
        Connection: close\r\n\r\n
        """)
    try answer("HTTP/1.1 200 OK")
    #expect(gateway.backends.hosts == ["backend", "backend"])
  }

  @Test(arguments: ["HTTP/1.1 500 No", "HTTP/1.1 404 No", "no HTTP"])
  func `a backend that fails two checks in a row is left out, until it has passed two`(_ bad: String) throws {
    try answer(bad)
    #expect(try host() == "backend")
    try answerLast(bad)
    #expect(try host() == "spare")
    try answerLast("HTTP/1.1 200 OK")
    #expect(try host() == "spare")
    try answerLast("HTTP/1.1 204 OK")
    #expect(try host() == "backend")
  }

  /// The same where requests have dialled since the check began.
  private func answerLast(_ head: String) throws {
    let check = try #require(
      gateway.backends.connections.last { !$0.isClosed && $0.received.hasPrefix("GET /health ") })
    check.send("\(head)\r\n\r\n")
    gateway.turns()
    #expect(check.isClosed)
    gateway.pass(.seconds(1))
  }

  @Test func `checks that pass between others that fail leave a backend in`() throws {
    for _ in 0..<3 {
      try answer("HTTP/1.1 500 No")
      try answer("HTTP/1.1 200 OK")
    }
    #expect(try host() == "backend")
  }

  @Test func `a check without an answer in time has failed, and its connection is closed`() throws {
    let first = try #require(gateway.backends.last)
    gateway.pass(.milliseconds(400))
    #expect(!first.isClosed)
    gateway.pass(.milliseconds(150))
    #expect(first.isClosed && gateway.backends.dials == 1)
    gateway.pass(.milliseconds(1600))
    #expect(try host() == "spare")
  }

  @Test func `a backend that can't be reached has failed its check`() throws {
    gateway.backends.refuses = true
    try answer("HTTP/1.1 200 OK")
    gateway.pass(.seconds(2))
    gateway.backends.refuses = false
    #expect(try host() == "spare")
  }

  @Test func `a configuration without the check ends the one that is under way, and all others`() throws {
    let check = try #require(gateway.backends.last)
    try gateway.adopt(Self.configuration(check: "false"))
    #expect(check.isClosed)
    gateway.pass(.seconds(3))
    #expect(gateway.backends.dials == 1)
  }
}
