import Harness
import JSON
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// Everything that is no event stream passes as through any good reverse proxy.
  @Suite struct Proxy {
    @Test(arguments: [0, 1, 1000, 65_535, 65_536, 65_537, 3_000_000], ["chunked", "length", "close"])
    func `an answer of any size passes whole`(size: Int, framing: String) async throws {
      try await World.with { world in
        let result = await world.fetch("/?plain=\(size)&framing=\(framing)")
        #expect(result.status == 200 && result.end == .clean && result.body.count == size)
        #expect(result.body.allSatisfy { $0 == UInt8(ascii: "x") })
        if framing == "length" { #expect(result.head.value("Content-Length") == "\(size)") }
      }
    }

    @Test(arguments: [1, 70_000, 1_000_000])
    func `a request's body reaches the backend whole, with a length and in chunks`(size: Int) async throws {
      try await World.with { world in
        let body = (0..<size).map { UInt8(truncatingIfNeeded: $0 % 251) }
        let sized = await world.send(ClientRequest("POST", "/echo", body: body))
        // Compared outside the macro, which would look for the difference for minutes.
        let isSame = sized.body == body
        #expect(isSame, "\(sized.body.count) bytes, \(sized.end), \(sized.status)")
        let fields = [Script.Field("Transfer-Encoding", "chunked")]
        let hex = String(size, radix: 16)
        let chunked = Array("\(hex)\r\n".utf8) + body + Array("\r\n0\r\n\r\n".utf8)
        let result = await world.send(ClientRequest("POST", "/echo", fields: fields, body: chunked))
        let isSameInChunks = result.body == body
        #expect(isSameInChunks && result.end == .clean, "\(result.body.count) bytes, \(result.end), \(result.status)")
        #expect(world.backend.requests.map(\.bodyLength) == [size, size])
      }
    }

    @Test func `the answer to HEAD has the length and no body, and the connection goes on`() async throws {
      try await World.with { world in
        let connection = try RawConnection(to: world.gateway.address)
        connection.send("HEAD /?plain=10 HTTP/1.1\r\nHost: h\r\n\r\n")
        let head = try #require(connection.response(isHead: true))
        #expect(head.status == 200 && head.head.value("Content-Length") == "10")
        connection.send("GET /?plain=3 HTTP/1.1\r\nHost: h\r\n\r\n")
        #expect(connection.response()?.text == "xxx")
      }
    }

    @Test(arguments: [204, 304])
    func `an answer that can't have a body has none, and the connection goes on`(status: Int) async throws {
      let setup = World.Setup { request in
        request.path == "/none"
          ? .garbage("HTTP/1.1 \(status) Scripted\r\nX-Own: 1\r\nConnection: close\r\n\r\n")
          : .plain(Array("abc".utf8))
      }
      try await World.with(setup) { world in
        let connection = try RawConnection(to: world.gateway.address)
        connection.send("GET /none HTTP/1.1\r\nHost: h\r\n\r\n")
        let none = try #require(connection.response())
        #expect(none.status == status && none.body.isEmpty && none.head.value("X-Own") == "1")
        #expect(none.head.value("Transfer-Encoding") == nil)
        connection.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        #expect(connection.response()?.text == "abc")
      }
    }

    @Test func `a client that expects 100-continue is told to go on`() async throws {
      try await World.with { world in
        let connection = try RawConnection(to: world.gateway.address)
        connection.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        #expect(connection.response()?.status == 100)
        connection.send("hello")
        #expect(connection.response()?.text == "hello")
      }
    }

    @Test func `interim answers of the backend don't disturb the final one`() async throws {
      let script = Script([
        .raw("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"), .pause(.milliseconds(5)),
        .raw("HTTP/1.1 102 Processing\r\n\r\n"), .head(), .event(nil, "1"), .end,
      ])
      try await World.with("legacy", script) { world in
        let result = await world.fetch()
        #expect(result.status == 200 && result.payloads == ["1"] && result.end == .clean)
      }
    }

    @Test func `an unrequested 101 is a bad answer`() async throws {
      let script = Script([.raw("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"), .stall])
      try await World.with("legacy", script) { world in
        #expect(await world.fetch().status == 502)
      }
    }

    @Test func `an offer of HTTP/2 is left aside and not passed on`() async throws {
      try await World.with { world in
        for connection in ["Upgrade, HTTP2-Settings, X-Hop", "X-Hop"] {
          // The second says nothing of an upgrade in `Connection`, so it means none (RFC 9110, 7.8).
          let wanted = connection == "X-Hop" ? "websocket" : "h2c"
          let fields = [Script.Field("Connection", connection), .init("Upgrade", wanted), .init("X-Hop", "1")]
          let result = await world.fetch("/inspect", fields: fields)
          #expect(result.status == 200)
          let seen = result.text.lowercased()
          #expect(!seen.contains("upgrade") && !seen.contains("x-hop"))
        }
      }
    }

    @Test(arguments: ["websocket", "h2c, WebSocket", "foo/2"])
    func `another protocol is refused, told, logged and counted`(wanted: String) async throws {
      try await World.with { world in
        let connection = try RawConnection(to: world.gateway.address)
        let fields = "Connection: keep-alive, Upgrade\r\nUpgrade: \(wanted)\r\nSec-WebSocket-Version: 13\r\n"
        // What stands behind the head is of the other protocol, and never read as a request.
        connection.send("GET /inspect HTTP/1.1\r\nHost: h\r\n\(fields)\r\nGET /inspect HTTP/1.1\r\nHost: h\r\n\r\n")
        let response = try #require(connection.response())
        #expect(response.status == 501 && response.head.value("Connection") == "close")
        #expect(response.head.value("Content-Type") == "application/problem+json")
        let problem = try JSONValue(parsing: response.text)
        #expect(problem["code"]?.string == "upgrade_refused" && problem["status"]?.integer == 501)
        #expect(problem["title"]?.string == "Not Implemented")
        connection.finishWriting()
        #expect(connection.rest(seconds: 5).isEmpty && world.backend.requests.isEmpty)
        #expect(await world.gateway.metric("fermata_refusals_total", ["reason": "upgrade"]) == 1)
        #expect(await eventually { !world.gateway.log("upgrade_refused").isEmpty })
        let name = wanted.split(separator: " ").last.map(String.init)
        #expect(world.gateway.log("upgrade_refused").first?["protocol"]?.string == name)
      }
    }

    @Test func `an HTTP/1.0 client gets its answer up to the close, without chunks`() async throws {
      try await World.with { world in
        let connection = try RawConnection(to: world.gateway.address)
        connection.send("GET /?plain=5&framing=chunked HTTP/1.0\r\n\r\n")
        let text = String(decoding: connection.rest(), as: UTF8.self)
        #expect(text.hasPrefix("HTTP/1.1 200") && text.hasSuffix("\r\n\r\nxxxxx"), "\(text)")
        #expect(!text.lowercased().contains("transfer-encoding") && connection.end == .finished)
        let stream = try RawConnection(to: world.gateway.address)
        stream.send("GET /?events=2&complete=done HTTP/1.0\r\n\r\n")
        let events = String(decoding: stream.rest(), as: UTF8.self)
        #expect(events.contains("data: {\"n\":2}\n\n") && stream.end == .finished)
        #expect(!events.lowercased().contains("chunked"))
      }
    }

    @Test func `pipelined requests are answered in their order`() async throws {
      try await World.with { world in
        let connection = try RawConnection(to: world.gateway.address)
        let requests = [30, 0, 10].enumerated().map { number, delay in
          "GET /?plain=\(number + 1)&delay=\(delay) HTTP/1.1\r\nHost: h\r\n\r\n"
        }
        connection.send(requests.joined())
        for number in 1...3 { #expect(connection.response()?.body.count == number) }
        connection.send("GET /?events=1&done=1 HTTP/1.1\r\nHost: h\r\n\r\nGET /?plain=9 HTTP/1.1\r\nHost: h\r\n\r\n")
        #expect(connection.response()?.text.contains("[DONE]") == true)
        #expect(connection.response()?.body.count == 9)
      }
    }

    @Test func `connections to the backend are used again`() async throws {
      try await World.with(World.Setup(settings: ["workers": "1"])) { world in
        for _ in 0..<10 { #expect(await world.fetch("/?plain=5").body.count == 5) }
        for _ in 0..<10 { #expect(await world.fetch("/?events=2&done=1").events.count == 3) }
        #expect(world.backend.connectionCount == 1)
        #expect(await world.gateway.metric("fermata_upstream_reuses_total") == 19)
      }
    }

    @Test func `a kept connection that dies before its answer is replaced once, for what may be asked twice`()
      async throws
    {
      let setup = World.Setup(settings: ["workers": "1"]) { request in
        // The second request on a connection kills it.
        request.path == "/die" && request.connection == 0
          ? Script([.finish(.cut)]) : .plain(Array("fine".utf8))
      }
      try await World.with(setup) { world in
        #expect(await world.fetch("/").text == "fine")
        #expect(await world.fetch("/die").text == "fine")
        #expect(world.backend.requests.count == 3 && world.backend.connectionCount == 2)
        #expect(await world.gateway.metric("fermata_upstream_retries_total") == 1)
      }
      try await World.with(setup) { world in
        #expect(await world.fetch("/").text == "fine")
        let post = await world.send(ClientRequest("POST", "/die", body: [1]))
        #expect(post.status == 502 && world.backend.requests.count == 2, "a POST is never sent twice")
      }
    }

    @Test func `an absolute target goes where it should, with its own Host`() async throws {
      try await World.with { world in
        let connection = try RawConnection(to: world.gateway.address)
        connection.send("GET http://example.com:81/inspect?a=b HTTP/1.1\r\nHost: other\r\n\r\n")
        let text = try #require(connection.response()).text
        #expect(text.hasPrefix("GET /inspect?a=b HTTP/1.1"))
        #expect(text.contains("X-Forwarded-Host: example.com:81") && !text.contains("other"), "\(text)")
      }
    }

    @Test func `hop-by-hop fields stay on their hop, in both directions`() async throws {
      let setup = World.Setup { request in
        let fields = [
          Script.Field("Content-Type", "text/plain"), .init("Connection", "X-Own"), .init("X-Own", "1"),
          .init("Keep-Alive", "timeout=5"), .init("Proxy-Authenticate", "Basic"), .init("X-End", "kept"),
        ]
        return Script([
          .head(Script.Head(framing: .length(nil), fields: fields)), .body(Array(request.head.description.utf8)), .end,
        ])
      }
      try await World.with(setup) { world in
        let fields = [
          Script.Field("Connection", "keep-alive, X-Private"), .init("X-Private", "1"),
          .init("Keep-Alive", "timeout=1"),
          .init("TE", "trailers"), .init("Proxy-Authorization", "Basic x"), .init("Authorization", "Bearer t"),
          .init("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), .init("X-End", "kept"),
        ]
        let result = await world.fetch("/", fields: fields)
        let seen = result.text.lowercased()
        for name in ["x-private", "keep-alive:", "proxy-authorization"] { #expect(!seen.contains(name), "\(name)") }
        for name in ["authorization: bearer t", "traceparent: 00-4bf9", "x-end: kept", "via: "] {
          #expect(seen.contains(name), "\(name) in \(seen)")
        }
        for name in ["X-Own", "Keep-Alive"] { #expect(result.head.value(name) == nil, "\(name)") }
        #expect(result.head.value("X-End") == "kept" && result.head.value("Via") != nil)
      }
    }

    @Test func `X-Forwarded fields are ours, unless a trusted proxy sent them`() async throws {
      let claims = [
        Script.Field("X-Forwarded-For", "203.0.113.7"), .init("X-Forwarded-Proto", "https"),
        .init("X-Forwarded-Host", "public.example"), .init("Host", "inner.example"),
      ]
      try await World.with { world in
        let seen = await world.fetch("/inspect", fields: claims).text
        #expect(seen.contains("X-Forwarded-For: 127.0.0.1\n") && seen.contains("X-Forwarded-Proto: http\n"))
        #expect(seen.contains("X-Forwarded-Host: inner.example\n") && !seen.contains("203.0.113.7"))
      }
      let trusting = "{ upstream: \"UPSTREAM\", trustedProxies: [\"127.0.0.0/8\"] }"
      try await World.with(World.Setup(configuration: trusting)) { world in
        let seen = await world.fetch("/inspect", fields: claims).text
        #expect(seen.contains("X-Forwarded-For: 203.0.113.7, 127.0.0.1\n"))
        #expect(seen.contains("X-Forwarded-Proto: https\n") && seen.contains("X-Forwarded-Host: public.example\n"))
      }
    }

    @Test func `routes choose by path and method, and what none serves is 404`() async throws {
      let configuration = """
        {
          upstreams: { main: { url: "UPSTREAM/base" } },
          routes: [
            { name: "chat", path: "/v1/*", methods: ["POST"], upstreams: ["main"] },
            { name: "exact", path: "/inspect", upstreams: ["main"] },
          ],
        }
        """
      try await World.with(World.Setup(configuration: configuration)) { world in
        #expect(await world.fetch("/v1/x").status == 404)
        #expect(await world.send(ClientRequest("POST", "/v1/x?plain=1")).status == 200)
        #expect(await world.fetch("/inspect").status == 200)
        #expect(await world.fetch("/inspect/more").status == 404)
        #expect(world.backend.requests.map(\.target) == ["/base/v1/x?plain=1", "/base/inspect"])
      }
    }

    @Test func `a backend that is not there is 502, and back when it is back`() async throws {
      try await World.with { world in
        let port = world.backend.address
        world.backend.stopListening()
        #expect(await eventually { await world.fetch("/?plain=1").status == 502 })
        let second = try ScriptedBackend.start(address: port)
        #expect(await eventually { await world.fetch("/?plain=1").status == 200 })
        second.stop()
      }
    }
  }
}
