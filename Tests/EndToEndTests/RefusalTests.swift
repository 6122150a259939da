import Harness
import RunningGateway
import Testing

extension EndToEnd {
  /// Requests that are ambiguous or too large get a status and a closed connection, and nothing reaches the backend.
  @Suite struct Refusals {
    struct Row: CustomStringConvertible {
      let name: String
      let request: String
      let status: Int
      var description: String { name }

      init(_ name: String, _ request: String, _ status: Int = 400) {
        self.name = name
        self.request = request
        self.status = status
      }
    }

    static let get = "GET / HTTP/1.1\r\nHost: h\r\n"
    static let post = "POST / HTTP/1.1\r\nHost: h\r\n"

    static let rows: [Row] = [
      Row("a length with chunks", post + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
      Row("two lengths", post + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
      Row("a list of lengths", post + "Content-Length: 3, 4\r\n\r\nabc"),
      Row("a length with a sign", post + "Content-Length: +3\r\n\r\nabc"),
      Row("a negative length", post + "Content-Length: -1\r\n\r\n"),
      Row("a hexadecimal length", post + "Content-Length: 0x3\r\n\r\nabc"),
      Row("a huge length", post + "Content-Length: 99999999999999999999\r\n\r\n", 413),
      Row("an empty length", post + "Content-Length: \r\n\r\n"),
      Row("gzip, chunked", post + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
      Row("chunked twice", post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
      Row("identity", post + "Transfer-Encoding: identity\r\n\r\n", 501),
      Row("a coding like chunked", post + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
      Row("chunks in HTTP/1.0", "POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
      Row("a folded field", get + "X-A: b\r\n c\r\n\r\n"),
      Row("a bare line feed", "GET / HTTP/1.1\nHost: h\n\n"),
      Row("a bare return", get + "X-A: b\rX-B: c\r\n\r\n"),
      Row("a NUL in a value", get + "X-A: b\0c\r\n\r\n"),
      Row("a NUL in the target", "GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n"),
      Row("a space before the colon", get + "X-A : b\r\n\r\n"),
      Row("a name with a space", get + "X A: b\r\n\r\n"),
      Row("an empty name", get + ": b\r\n\r\n"),
      Row("a line without a colon", get + "hello\r\n\r\n"),
      Row("no Host", "GET / HTTP/1.1\r\n\r\n"),
      Row("two Hosts", get + "Host: i\r\n\r\n"),
      Row("a Host with a path", "GET / HTTP/1.1\r\nHost: h/x\r\n\r\n"),
      Row("a Host with a user", "GET / HTTP/1.1\r\nHost: a@h\r\n\r\n"),
      Row("a bad version", "GET / HTTP/1.x\r\nHost: h\r\n\r\n"),
      Row("HTTP/2 as text", "GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505),
      Row("a lower-case protocol", "GET / http/1.1\r\nHost: h\r\n\r\n"),
      Row("no version", "GET /\r\n\r\n"),
      Row("two spaces", "GET  / HTTP/1.1\r\nHost: h\r\n\r\n"),
      Row("a target without a slash", "GET x HTTP/1.1\r\nHost: h\r\n\r\n"),
      Row("CONNECT", "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n", 501),
      Row("a bad chunk size", post + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n"),
      Row("a chunk size with a sign", post + "Transfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n"),
      Row("a chunk size in 0x", post + "Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n"),
      Row("a chunk size that overflows", post + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", 413),
      Row("an endless request line", "GET /" + String(repeating: "a", count: 20_000) + " HTTP/1.1\r\n", 414),
      Row("an endless head", get + "X-A: " + String(repeating: "a", count: 70_000) + "\r\n\r\n", 431),
      Row(
        "too many fields", get + (0..<200).map { "X-\($0): 1\r\n" }.joined() + "\r\n", 431),
      Row("a TLS client", "\u{16}\u{03}\u{01}\u{02}\0\u{01}\0\u{01}\u{FC}\u{03}\u{03}\r\n\r\n"),
      Row("an HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ]

    @Test func `what is ambiguous or too large is refused and never forwarded`() async throws {
      try await World.with { world in
        for row in Self.rows {
          let before = world.backend.requests.count
          let connection = try RawConnection(to: world.gateway.address)
          connection.send(row.request)
          let response = connection.response()
          #expect(response?.status == row.status, "\(row)")
          #expect(response?.head.value("Connection") == "close", "\(row)")
          #expect(response?.head.value("Content-Type")?.hasPrefix("application/json") == true, "\(row)")
          connection.finishWriting()
          _ = connection.rest(seconds: 5)
          #expect(connection.end == .finished, "\(row): \(String(describing: connection.end))")
          // A body that breaks off later may have begun; a whole request must never have come.
          let came = world.backend.requests.dropFirst(before)
          #expect(came.allSatisfy { $0.state == .receiving || $0.state == .abandoned }, "\(row)")
        }
        #expect(await world.fetch("/?plain=1").status == 200, "others are served as before")
        let refusals = await world.gateway.metric("fermata_refusals_total", ["reason": "bad_request"])
        #expect(Int(refusals) == Self.rows.count)
      }
    }

    @Test func `a second request that is bad does not spoil the first`() async throws {
      try await World.with { world in
        let connection = try RawConnection(to: world.gateway.address)
        connection.send("GET /?plain=3&delay=20 HTTP/1.1\r\nHost: h\r\n\r\nGARBAGE\r\n\r\n")
        #expect(connection.response()?.text == "xxx")
        #expect(connection.response()?.status == 400)
        #expect(world.backend.requests.count == 1)
      }
    }

    @Test func `a head that does not come is 408, and an idle connection is closed`() async throws {
      let settings = ["limits.headTimeout": "200ms", "limits.keepAliveTimeout": "200ms"]
      try await World.with(World.Setup(settings: settings)) { world in
        let slow = try RawConnection(to: world.gateway.address)
        slow.send("GET / HT")
        #expect(slow.response(seconds: 5)?.status == 408)
        #expect(slow.rest(seconds: 5).isEmpty && slow.end == .finished)
        let idle = try RawConnection(to: world.gateway.address)
        idle.send("GET /?plain=1 HTTP/1.1\r\nHost: h\r\n\r\n")
        #expect(idle.response()?.status == 200)
        #expect(idle.rest(seconds: 5).isEmpty && idle.end == .finished)
        #expect(world.backend.requests.count == 1)
      }
    }

    @Test func `a request's body that breaks off never looks whole to the backend`() async throws {
      try await World.with { world in
        for ending in ["5\r\nhello\r\n", "5\r\nhel", "zz\r\n"] {
          let before = world.backend.requests.count
          let connection = try RawConnection(to: world.gateway.address)
          connection.send("POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
          #expect(await eventually { world.backend.requests.count == before + 1 })
          connection.send(ending)
          connection.finishWriting()
          #expect(await eventually { world.backend.requests.last?.state == .abandoned }, "\(ending)")
        }
      }
    }

    @Test func `beyond the connection limit a client is told to come back`() async throws {
      let settings = ["limits.connections": "2", "workers": "1"]
      try await World.with(World.Setup(settings: settings)) { world in
        let streams = (0..<2).map { _ in world.open("/?events=1&stall=1") }
        for stream in streams { #expect(await stream.receives("data:")) }
        let third = try RawConnection(to: world.gateway.address)
        third.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        let answer = third.response()
        #expect(answer?.status == 503 && answer?.head.value("Retry-After") != nil)
        for stream in streams { stream.hangUp() }
        #expect(await eventually { await world.fetch("/?plain=1").status == 200 })
      }
    }
  }
}
