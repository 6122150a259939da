import Harness
import JSON
import Loop
import Processes
import RunningGateway
import TLS
import Testing
import Time

extension EndToEnd {
  /// WebSockets through the gateway, byte by byte: the backend is a bare socket.
  @Suite struct Tunnels {
    private static let opening =
      "GET /chat?a=b HTTP/1.1\r\nHost: server.example\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
      + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    private static let answer =
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
      + "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"

    /// A gateway before a bare socket, and what is done in between.
    private struct Stage {
      let gateway: GatewayProcess
      let backend: RawListener
      let clients: ClientLoop

      static func with(
        _ route: String = "websocket: true", _ more: String = "", receiveBuffer: Int32? = nil,
        _ body: (Stage) async throws -> Void
      ) async throws {
        let backend = try RawListener(receiveBuffer: receiveBuffer)
        let clients = try ClientLoop.start()
        defer { clients.stop() }
        let folder = try ScratchDirectory()
        folder.write(
          "fermata.json5",
          """
          {
            upstreams: { app: { url: "http://127.0.0.1:\(backend.address.port)" } },
            routes: [{ name: "app", upstreams: "app", \(route) }], \(more)
          }
          """)
        let gateway = try await GatewayProcess.start(["--config", folder["fermata.json5"]], clients: clients)
        do {
          try await body(Stage(gateway: gateway, backend: backend, clients: clients))
        } catch {
          gateway.signal(9)
          throw error
        }
        if gateway.isRunning { gateway.signal(15) }
        #expect(await gateway.exit(within: .seconds(15)) == .code(0), "\(gateway.logText.suffix(2000))")
      }

      func dial() throws -> RawConnection { try RawConnection(to: gateway.address) }

      /// Opens a WebSocket.
      func open(_ extra: String = "") throws -> (client: RawConnection, server: RawConnection) {
        let client = try dial()
        client.send(Tunnels.opening + extra + "\r\n")
        let server = try #require(backend.accept())
        #expect(server.receives("\r\n\r\n"))
        server.send(Tunnels.answer + "\r\n")
        let head = try #require(client.response())
        #expect(head.status == 101)
        _ = server.takeUnread()
        return (client, server)
      }

      func ends(_ end: String) async -> Double {
        await gateway.metric("fermata_tunnels_total", ["end": end])
      }
    }

    private static func exchange(
      _ from: RawConnection, _ to: RawConnection, _ bytes: [UInt8], sourceLocation: SourceLocation = #_sourceLocation
    ) {
      from.send(bytes)
      var got: [UInt8] = []
      while got.count < bytes.count, to.take(1 << 16) > 0 { got += to.takeUnread() }
      #expect(got == bytes, "\(got.count) of \(bytes.count)", sourceLocation: sourceLocation)
    }

    @Test func `a WebSocket that no backend has agreed to when a drain's time is over is refused`() async throws {
      try await Stage.with { stage in
        let client = try stage.dial()
        client.send(Self.opening + "\r\n")
        let server = try #require(stage.backend.accept())
        #expect(server.receives("\r\n\r\n"))
        stage.gateway.signal(15)
        let refusal = try #require(client.response())
        #expect(refusal.status == 503 && refusal.text.contains(#""code":"draining""#), "\(refusal.text)")
        #expect(client.rest().isEmpty && client.end == .finished)
        client.close()
        #expect(await stage.gateway.exit(within: .seconds(8)) == .code(0))
      }
    }

    @Test func `a WebSocket that is opened late is no event stream, and says nothing of a length`() async throws {
      let route = #"websocket: true, gate: "firstToken", commitAfter: "100ms", commitInLegacy: true"#
      try await Stage.with(route) { stage in
        let client = try stage.dial()
        client.send(Self.opening + "Accept: text/event-stream\r\n\r\n")
        let server = try #require(stage.backend.accept())
        #expect(server.receives("\r\n\r\n"))
        _ = server.takeUnread()
        #expect(!client.receives("HTTP/1.1", seconds: 0.6))
        server.send(Self.answer + "Content-Length: 5\r\n\r\n")
        #expect(client.receives("\r\n\r\n"))
        let told = String(decoding: client.takeUnread(), as: UTF8.self)
        #expect(told.hasPrefix("HTTP/1.1 101 ") && !told.contains("Content-Length"), "\(told)")
        Self.exchange(client, server, [1, 2, 3])
        client.close()
        server.close()
      }
    }

    @Test func `the opening passes as it must, and then bytes pass both ways`() async throws {
      try await Stage.with { stage in
        let client = try stage.dial()
        client.send(
          Self.opening + "Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Protocol: chat\r\n\r\n")
        let server = try #require(stage.backend.accept())
        #expect(server.receives("\r\n\r\n"))
        let asked = String(decoding: server.takeUnread(), as: UTF8.self)
        for line in [
          "GET /chat?a=b HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Extensions: permessage-deflate",
          "Sec-WebSocket-Protocol: chat", "X-Forwarded-For: 127.0.0.1",
        ] { #expect(asked.contains("\r\n\(line)\r\n") || asked.hasPrefix(line + "\r\n"), "\(line): \(asked)") }
        // The first frame comes with the head.
        server.send(Self.answer + "Sec-WebSocket-Protocol: chat\r\n\r\n\u{1}\u{2}")
        #expect(client.receives("\r\n\r\n\u{1}\u{2}"))
        let told = String(decoding: client.takeUnread(), as: UTF8.self)
        for line in [
          "HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket",
          "Sec-WebSocket-Protocol: chat",
          "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        ] { #expect(told.contains("\(line)\r\n"), "\(line): \(told)") }
        #expect(!told.contains("Content-Length") && !told.contains("Transfer-Encoding"))
        for size in [1, 125, 65_536, 1 << 20] {
          let bytes = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31) }
          Self.exchange(client, server, bytes)
          Self.exchange(server, client, bytes)
        }
        #expect(await stage.gateway.metric("fermata_tunnels") == 1)
        client.finishWriting()
        #expect(server.rest().isEmpty && server.end == .finished)
        // It goes on the other way.
        Self.exchange(server, client, [1, 2, 3])
        server.finishWriting()
        #expect(client.rest().isEmpty && client.end == .finished)
        client.close()
        let isOver = await eventually { await stage.ends("client") == 1 }
        #expect(isOver)
        #expect(await stage.gateway.metric("fermata_tunnels") == 0)
        // The line comes by a pipe of its own, the number by a connection.
        #expect(await eventually { !stage.gateway.log("request_done").isEmpty })
        let line = try #require(stage.gateway.log("request_done").first)
        #expect(line["status"]?.integer == 101 && line["reason"]?.string == "tunnel: client")
        #expect(line["bytesIn"]?.integer == 1 + 125 + 65_536 + (1 << 20))
        #expect(await stage.gateway.metric("fermata_close_total") == 0)
      }
    }

    @Test func `what a client sends before the answer waits for it`() async throws {
      try await Stage.with { stage in
        let client = try stage.dial()
        client.send(Self.opening + "\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        let server = try #require(stage.backend.accept())
        #expect(server.receives("\r\n\r\n"))
        _ = server.take(1, seconds: 0.2)
        #expect(!String(decoding: server.takeUnread(), as: UTF8.self).contains("smuggled"))
        server.send(Self.answer + "\r\n")
        #expect(server.receives("GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"))
        #expect(client.response()?.status == 101)
      }
    }

    @Test(arguments: [
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno", "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
    ])
    func `another answer is relayed, and nothing that follows on either side is taken for HTTP`(
      answer: String
    ) async throws {
      try await Stage.with { stage in
        let client = try stage.dial()
        client.send(Self.opening + "\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        let server = try #require(stage.backend.accept())
        #expect(server.receives("\r\n\r\n"))
        _ = server.takeUnread()
        server.send(answer)
        let response = try #require(client.response())
        #expect(response.text == "no" && response.head.value("Connection") == "close")
        #expect(server.rest().isEmpty && server.end == .finished)
        #expect(client.rest().isEmpty)
        #expect(stage.backend.accept(seconds: 0.3) == nil)
      }
    }

    @Test(arguments: [
      "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
      "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: AAAA\r\n\r\n",
      "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
      "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
    ])
    func `an answer that opens another protocol opens none`(answer: String) async throws {
      try await Stage.with { stage in
        let client = try stage.dial()
        client.send(Self.opening + "\r\n")
        let server = try #require(stage.backend.accept())
        #expect(server.receives("\r\n\r\n"))
        server.send(answer + "secret")
        let response = try #require(client.response())
        #expect(response.status == 502 && !response.text.contains("secret"))
        #expect(server.rest().isEmpty || server.end != .silent)
        #expect(await stage.gateway.metric("fermata_tunnels_total") == 0)
      }
    }

    @Test func `a backend that switches unasked is refused`() async throws {
      try await Stage.with { stage in
        let client = try stage.dial()
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        let server = try #require(stage.backend.accept())
        #expect(server.receives("\r\n\r\n"))
        server.send(Self.answer + "\r\nsecret")
        #expect(client.response()?.status == 502)
      }
    }

    private static func changed(_ old: String, _ new: String) -> String {
      opening.split(separator: old, omittingEmptySubsequences: false).joined(separator: new) + "\r\n"
    }

    @Test func `a request that opens none as it must is refused before a backend is asked`() async throws {
      let cases: [(String, Int, String)] = [
        (Self.changed("GET", "POST"), 400, "websocket_refused"),
        (Self.changed("HTTP/1.1", "HTTP/1.0"), 400, "websocket_refused"),
        (Self.opening + "Content-Length: 3\r\n\r\nabc", 400, "websocket_refused"),
        (Self.changed("keep-alive, Upgrade", "keep-alive"), 400, "websocket_refused"),
        (Self.changed("Upgrade: websocket", "Upgrade: websocket, foo"), 400, "websocket_refused"),
        (Self.changed("Upgrade: websocket", "Upgrade: h2c, websocket"), 400, "websocket_refused"),
        (Self.opening + "Upgrade: foo\r\n\r\n", 400, "websocket_refused"),
        (Self.changed("ZQ==", "ZQ="), 400, "websocket_refused"),
        (Self.changed("Sec-WebSocket-Key", "X-Key"), 400, "websocket_refused"),
        (Self.changed("Version: 13", "Version: 8"), 426, "websocket_version"),
        (Self.changed("Sec-WebSocket-Version", "X-Version"), 426, "websocket_version"),
        (Self.opening + "Origin: https://evil.example\r\n\r\n", 403, "origin_refused"),
        (Self.changed("Upgrade: websocket", "Upgrade: foo"), 501, "upgrade_refused"),
      ]
      try await Stage.with { stage in
        for (request, status, code) in cases {
          let client = try stage.dial()
          client.send(request)
          let response = try #require(client.response())
          #expect(response.status == status && response.text.contains("\"\(code)\""), "\(request) \(response.text)")
          #expect(response.head.value("Sec-WebSocket-Version") == (status == 426 ? "13" : nil))
          #expect(client.rest().isEmpty && client.end != .silent)
        }
        #expect(stage.backend.accept(seconds: 0.2) == nil)
        #expect(await stage.gateway.metric("fermata_refusals_total", ["reason": "upgrade"]) == Double(cases.count))
      }
    }

    @Test func `pages that the route's policy names may open one`() async throws {
      try await Stage.with("websocket: true, cors: { origins: [\"https://app.example\"] }") { stage in
        let (client, server) = try stage.open("Origin: https://app.example\r\n")
        Self.exchange(client, server, [1])
        let other = try stage.dial()
        other.send(Self.opening + "Origin: https://server.example\r\n\r\n")
        #expect(other.response()?.status == 403)
      }
    }

    @Test func `a route without it refuses as ever`() async throws {
      try await Stage.with("") { stage in
        let client = try stage.dial()
        client.send(Self.opening + "\r\n")
        #expect(client.response()?.status == 501)
        #expect(stage.backend.accept(seconds: 0.2) == nil)
      }
    }

    @Test(arguments: [true, false])
    func `a side that does not read holds the other back, and loses nothing`(isClient: Bool) async throws {
      try await Stage.with(
        "websocket: true, stream: { highWater: \"64KiB\", lowWater: \"16KiB\" }", receiveBuffer: 1 << 16
      ) { stage in
        let (client, server) = try stage.open()
        let (writer, reader) = isClient ? (client, server) : (server, client)
        let piece = (0..<1 << 16).map { UInt8(truncatingIfNeeded: $0) }
        let before = try stage.gateway.usage().residentBytes
        let count = 512
        let writing = Task.detached { [writer = Unchecked(writer)] in
          for _ in 0..<count where !writer.value.send(piece) { return false }
          return true
        }
        _ = await eventually(within: .milliseconds(700)) { false }
        #expect(try stage.gateway.usage().residentBytes < before + (8 << 20))
        var got = 0
        var isSame = true
        while got < count * piece.count, reader.take(1 << 18, seconds: 20) > 0 {
          let bytes = reader.takeUnread()
          // All of them would take long in a test.
          for index in stride(from: 0, to: bytes.count, by: 61) where bytes[index] != UInt8((got + index) % 256) {
            isSame = false
          }
          got += bytes.count
        }
        #expect(got == count * piece.count && isSame)
        #expect(await writing.value)
      }
    }

    /// A socket of which one task at a time uses one direction.
    private struct Unchecked: @unchecked Sendable {
      let value: RawConnection
      init(_ value: RawConnection) { self.value = value }
    }

    @Test func `a reset of one side is one of the other`() async throws {
      try await Stage.with { stage in
        let first = try stage.open()
        first.client.reset()
        #expect(first.server.rest().isEmpty && first.server.end != .silent)
        let second = try stage.open()
        second.server.reset()
        #expect(second.client.rest().isEmpty && second.client.end == .reset)
        let areCounted = await eventually { await stage.ends("failed") == 2 }
        #expect(areCounted)
        #expect(await stage.gateway.metric("fermata_tunnels") == 0)
      }
    }

    @Test func `silence on both sides has its limit`() async throws {
      try await Stage.with("websocket: true", "limits: { tunnelIdle: \"500ms\" },") { stage in
        let (client, server) = try stage.open()
        for _ in 0..<4 {
          _ = client.take(1, seconds: 0.2)
          Self.exchange(server, client, [0x89, 0])
        }
        #expect(client.rest() == [0x88, 0x02, 0x03, 0xE9] && client.end == .finished)
        #expect(server.rest().isEmpty && server.end != .silent)
        let isCounted = await eventually { await stage.ends("idle") == 1 }
        #expect(isCounted)
      }
    }

    @Test(arguments: ["client", "backend"])
    func `a side that stays silent behind the other's end has a shorter one`(first: String) async throws {
      try await Stage.with("websocket: true, stream: { linger: \"600ms\" }") { stage in
        let (client, server) = try stage.open()
        let (leaving, staying) = first == "client" ? (client, server) : (server, client)
        leaving.finishWriting()
        #expect(staying.take(1, seconds: 5) == 0 && staying.end == .finished)
        // What it still says arrives.
        for _ in 0..<4 {
          Self.exchange(staying, leaving, [0x89, 0])
          SystemClock.sleep(.milliseconds(200))
        }
        #expect(await stage.ends(first) == 0)
        let isOver = await eventually { await stage.ends(first) == 1 }
        #expect(isOver && leaving.rest().isEmpty && leaving.end != .silent)
        #expect(await stage.gateway.metric("fermata_tunnels") == 0)
      }
    }

    @Test func `a drain leaves it alone, then ends it with a close frame where one may stand`() async throws {
      try await Stage.with("websocket: true", "drain: \"1s\",") { stage in
        let (client, server) = try stage.open()
        let (inFrame, other) = try stage.open()
        Self.exchange(other, inFrame, [0x82, 5, 1, 2])
        stage.gateway.signal(15)
        let isDraining = await eventually { stage.gateway.logText.contains("\"draining\"") }
        #expect(isDraining)
        Self.exchange(server, client, [0x81, 1, 0x41])
        Self.exchange(client, server, [0x81, 0x81, 0, 0, 0, 0, 0x41])
        #expect(client.rest() == [0x88, 0x02, 0x03, 0xE9] && client.end == .finished)
        #expect(server.rest().isEmpty && server.end != .silent)
        #expect(inFrame.rest().isEmpty && inFrame.end == .finished)
        client.close()
        inFrame.close()
      }
    }

    @Test func `it goes on over a client's TLS`() async throws {
      let identity = try HTTPS.localhost.get()
      let tls = "tls: { cert: \"\(identity.certificate)\", key: \"\(identity.key)\" },"
      try await Stage.with("websocket: true", tls) { stage in
        let opening = (Self.opening + "\r\n").utf8.map { byte in
          String(byte >> 4, radix: 16) + String(byte & 15, radix: 16)
        }.joined()
        let program = """
          import socket, ssl
          context = ssl.create_default_context(cafile="\(try HTTPS.certificates.get().roots)")
          plain = socket.create_connection(("127.0.0.1", \(stage.gateway.address.port)))
          with context.wrap_socket(plain, server_hostname="localhost") as secure:
              secure.sendall(bytes.fromhex("\(opening)"))
              head = b""
              while not head.endswith(b"\\r\\n\\r\\n"): head += secure.recv(1)
              sent = bytes(range(256)) * 4096
              secure.sendall(sent)
              got = b""
              while len(got) < len(sent): got += secure.recv(65536)
              print(head.split(b"\\r\\n")[0].decode(), got == sent, flush=True)
          """
        let tool = try ChildProcess(["python3", "-c", program])
        let server = try #require(stage.backend.accept())
        #expect(server.receives("\r\n\r\n"))
        _ = server.takeUnread()
        server.send(Self.answer + "\r\n")
        var left = 256 * 4096
        while left > 0, server.take(1 << 16) > 0 {
          let bytes = server.takeUnread()
          left -= bytes.count
          server.send(bytes)
        }
        #expect(tool.readLine(timeout: .seconds(60)) == "HTTP/1.1 101 Switching Protocols True")
        _ = tool.wait(timeout: .seconds(10))
      }
    }
  }
}
