import Harness
import JSON
import Loop
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// A plain listener that sends its clients to https.
  @Suite struct Redirects {
    private static let setup = World.Setup(settings: ["redirect": "https"])

    private static func ask(_ world: World, _ text: String, method: String = "GET") throws -> RawConnection.Response? {
      let connection = try RawConnection(to: world.gateway.address)
      connection.send(text)
      return connection.response(isHead: method == "HEAD")
    }

    @Test(arguments: [
      ("GET /a/b?c=d&e HTTP/1.1\r\nHost: example.com\r\n\r\n", "https://example.com/a/b?c=d&e"),
      ("GET / HTTP/1.1\r\nHost: example.com:8080\r\n\r\n", "https://example.com/"),
      ("GET /x HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "https://[::1]/x"),
      ("GET //other.example/y HTTP/1.1\r\nHost: example.com\r\n\r\n", "https://example.com//other.example/y"),
      ("GET http://other.example/z HTTP/1.1\r\nHost: other.example\r\n\r\n", "https://other.example/z"),
      ("OPTIONS * HTTP/1.1\r\nHost: example.com\r\n\r\n", "https://example.com/"),
      ("DELETE /a HTTP/1.0\r\nHost: example.com\r\n\r\n", "https://example.com/a"),
      ("POST /a HTTP/1.1\r\nHost: example.com\r\nContent-Length: 3\r\n\r\nabc", "https://example.com/a"),
      ("POST /a HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n\r\n", "https://example.com/a"),
      (
        "GET /a HTTP/1.1\r\nHost: example.com\r\nX-Forwarded-Host: evil.example\r\nConnection: upgrade\r\n"
          + "Upgrade: websocket\r\n\r\n", "https://example.com/a"
      ),
    ])
    func `each request is answered with its target over https`(request: String, location: String) async throws {
      try await World.with(Self.setup) { world in
        let response = try #require(try Self.ask(world, request))
        #expect(response.status == 308)
        #expect(response.head.value("Location") == location)
        #expect(response.head.value("X-Request-Id") != nil)
        #expect(world.backend.requests.isEmpty)
        let line = await eventually { world.gateway.log("request_done").first?["status"]?.integer == 308 }
        #expect(line)
      }
    }

    @Test func `a request that names no host, or none that can be, is refused`() async throws {
      try await World.with(Self.setup) { world in
        for request in [
          "GET /a HTTP/1.0\r\n\r\n", "GET /a HTTP/1.1\r\n\r\n", "GET /a HTTP/1.1\r\nHost:\r\n\r\n",
          "GET /a HTTP/1.1\r\nHost: a b\r\n\r\n", "GET /a HTTP/1.1\r\nHost: a/b\r\n\r\n",
          "GET /a HTTP/1.1\r\nHost: u@a\r\n\r\n", "GET /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        ] {
          let response = try #require(try Self.ask(world, request))
          #expect(response.status == 400 && response.head.value("Location") == nil, "\(request)")
        }
        #expect(world.backend.requests.isEmpty)
      }
    }

    @Test func `a connection goes on after a redirect, and has no body to read`() async throws {
      try await World.with(Self.setup) { world in
        let connection = try RawConnection(to: world.gateway.address)
        for index in 0..<3 {
          connection.send("GET /\(index) HTTP/1.1\r\nHost: example.com\r\n\r\n")
          let response = try #require(connection.response())
          #expect(response.head.value("Location") == "https://example.com/\(index)" && response.body.isEmpty)
        }
        connection.send("HEAD /h HTTP/1.1\r\nHost: example.com\r\n\r\n")
        #expect(connection.response(isHead: true)?.status == 308)
      }
    }

    @Test func `the listener beside it serves`() async throws {
      let text = """
        { upstream: "UPSTREAM", listeners: [{ address: "127.0.0.1:0", redirect: "https" }] }
        """
      try await World.with(World.Setup(configuration: text)) { world in
        #expect(await world.fetch("/script?events=3").status == 200)
        let line = world.gateway.log("started").first
        let address = try #require(line?["listeners"]?.string.flatMap { SocketAddress(parsing: $0) })
        let answer = await world.clients.fetch(ClientRequest("GET", "/runs/x"), from: address, behaviour: .plain)
        #expect(answer.status == 308 && answer.head.value("Location") == "https://127.0.0.1/runs/x")
        #expect(world.backend.requests.count == 1)
      }
    }
  }
}
