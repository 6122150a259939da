import Harness
import JSON
import Processes
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// Where proxies are usually wrong.
  @Suite struct ProxyEdges {
    @Test func `an answer that comes before the request's body has ended reaches the client`() async throws {
      let backend = try RawListener()
      let clients = try ClientLoop.start()
      let gateway = try await GatewayProcess.start(["--upstream", "http://\(backend.address)"], clients: clients)
      let connection = try RawConnection(to: gateway.address)
      connection.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\nthe first bytes")
      let upstream = try #require(backend.accept())
      #expect(upstream.receives("the first bytes"))
      upstream.send("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
      let response = connection.response()
      #expect(response?.status == 413 && response?.text == "big")
      // What remains of the body can't be told from a next request, so the connection can't go on.
      #expect(response?.head.value("Connection") == "close")
      #expect(await clients.fetch(ClientRequest(), from: gateway.admin).status == 200)
      gateway.signal(15)
      #expect(await gateway.exit(within: .seconds(8)) == .code(0))
      clients.stop()
    }

    @Test func `a client that leaves in the middle of its body takes its request along`() async throws {
      try await World.with { world in
        let connection = try RawConnection(to: world.gateway.address)
        connection.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nthe first bytes")
        #expect(await eventually { world.backend.requests.first?.bodyLength == 15 })
        connection.reset()
        #expect(await eventually { world.backend.requests.first?.state == .abandoned })
      }
    }

    @Test func `a request's head in pieces of one byte is taken`() async throws {
      try await World.with { world in
        let connection = try RawConnection(to: world.gateway.address)
        for character in "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n" {
          connection.send(String(character))
          try await Task.sleep(for: .milliseconds(1))
        }
        #expect(connection.response()?.text == "hi")
      }
    }

    @Test func `an answer's head in pieces of one byte is taken`() async throws {
      let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
      let body = "9;a=b\r\ndata: x\n\n\r\n0\r\nX-Trailer: 1\r\n\r\n"
      let steps = Array((head + body).utf8).flatMap { [.raw([$0]), .pause(.milliseconds(1))] as [Script.Step] }
      try await World.with("graceful", Script(steps + [.stall])) { world in
        let result = await world.fetchNew()
        #expect(result.payloads == ["x"] && result.outcome == "incomplete" && result.end == .clean)
      }
    }

    @Test func `as many requests as are allowed are served on a connection, and the last says so`() async throws {
      try await World.with(World.Setup(settings: ["limits.requestsPerConnection": "3"])) { world in
        let connection = try RawConnection(to: world.gateway.address)
        for number in 1...3 {
          connection.send("GET /?plain=1 HTTP/1.1\r\nHost: h\r\n\r\n")
          #expect(connection.response()?.head.value("Connection") == (number == 3 ? "close" : nil))
        }
        #expect(connection.rest().isEmpty && connection.end == .finished)
      }
    }

    @Test func `a backend with a name is found, one whose name is nowhere is 502`() async throws {
      try await World.with { world in
        for (host, status) in [("localhost:\(world.backend.port)", 200), ("no-such-host.invalid", 502)] {
          let gateway = try await GatewayProcess.start(["--upstream", "http://\(host)"], clients: world.clients)
          let result = await world.clients.fetch(ClientRequest("GET", "/?plain=1"), from: gateway.address)
          #expect(result.status == status, "\(host)")
          gateway.signal(15)
          #expect(await gateway.exit(within: .seconds(8)) == .code(0))
        }
      }
    }

    @Test func `it listens on IPv6 too`() async throws {
      try await World.with { world in
        let gateway = try await GatewayProcess.start(
          ["--upstream", world.backend.url], listen: "[::1]:0", clients: world.clients)
        let result = await world.clients.fetch(ClientRequest("GET", "/inspect"), from: gateway.address)
        #expect(result.status == 200 && result.text.contains("X-Forwarded-For: ::1"), "\(result.text)")
        gateway.signal(15)
        #expect(await gateway.exit(within: .seconds(8)) == .code(0))
      }
    }

    @Test func `an OPTIONS, a PUT, a DELETE and an unknown method pass with their targets`() async throws {
      try await World.with { world in
        for method in ["OPTIONS", "PUT", "DELETE", "PATCH", "PROPFIND"] {
          let result = await world.send(ClientRequest(method, "/inspect?a=%2F&b=c;d#"))
          #expect(result.status == 200 || result.status == 400, "\(method)")
          let plain = await world.send(ClientRequest(method, "/inspect?a=%2F&b=c;d"))
          #expect(plain.text.hasPrefix("\(method) /inspect?a=%2F&b=c;d HTTP/1.1"), "\(method): \(plain.text)")
        }
      }
    }

    @Test func `two events in one packet and one event in two are events all the same, as soon as they are whole`()
      async throws
    {
      let script = Script([
        .head(), .body("data: 1\n\ndata: 2\n\nda"), .pause(.milliseconds(150)), .body("ta: 3\n\n"),
        .pause(.milliseconds(300)), .event("done", "4"), .end,
      ])
      try await World.with("graceful", script) { world in
        let stream = world.openNew()
        #expect(await stream.receives("data: 2\n\n"))
        #expect(await stream.receives("data: 3\n\n"))
        #expect(!stream.isFinished, "it came while the stream went on")
        #expect(await stream.result().payloads == ["1", "2", "3", "4"])
      }
    }
  }
}
