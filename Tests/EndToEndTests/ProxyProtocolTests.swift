import Harness
import JSON
import Loop
import Processes
import RunningGateway
import TLS
import Testing
import Time

extension EndToEnd {
  /// Clients behind a load balancer that says who they are in a header before all else.
  @Suite struct ProxyProtocols {
    private static func setup(
      _ version: String, trusted: String = "127.0.0.1", limit: String = "10s", more: String = ""
    ) -> World.Setup {
      let text = """
        {
          upstream: "UPSTREAM", proxyProtocol: "\(version)", trustedProxies: ["\(trusted)"],
          log: { clientAddress: "full" }, limits: { headTimeout: "\(limit)" },
          \(more)
        }
        """
      return World.Setup(variant: "graceful", configuration: text)
    }

    private static let line = Array("PROXY TCP4 192.0.2.9 198.51.100.2 51000 443\r\n".utf8)
    private static let signature: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A]
    /// 192.0.2.9 to 198.51.100.2, and a protocol name (ALPN) in an addition.
    private static let block =
      signature + [0x21, 0x11, 0, 17, 192, 0, 2, 9, 198, 51, 100, 2, 0xC7, 0x38, 0x01, 0xBB, 1, 0, 2, 0x68, 0x32]
    private static let request = Array(
      "GET /script?events=3 HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n".utf8)

    private static func forwardedFor(_ world: World) -> [String?] {
      world.backend.requests.map { request in
        request.head.fields.first { $0.name.lowercased() == "x-forwarded-for" }?.value
      }
    }

    private static func count(_ world: World, _ result: String) async -> Double {
      await world.gateway.metric("fermata_proxy_headers_total", ["result": result])
    }

    @Test(arguments: ["v1", "v2"])
    func `the client that the header names is the client everywhere`(version: String) async throws {
      let header = version == "v1" ? Self.line : Self.block
      try await World.with(Self.setup(version)) { world in
        // At once with the request, cut anywhere, and byte by byte.
        for cut in [nil, 1, header.count - 1, header.count, header.count + 1] as [Int?] {
          let connection = try RawConnection(to: world.gateway.address)
          let whole = header + Self.request
          if let cut {
            connection.send(Array(whole[..<cut]))
            _ = connection.take(1, seconds: 0.05)
            connection.send(Array(whole[cut...]))
          } else {
            connection.send(whole)
          }
          #expect(connection.response()?.status == 200)
        }
        #expect(Self.forwardedFor(world) == [String?](repeating: "192.0.2.9", count: 5))
        let areTold = await eventually {
          world.gateway.log("request_done").filter { $0["client"]?.string == "192.0.2.9" }.count == 5
        }
        #expect(areTold)
        #expect(await Self.count(world, "named") == 5)
      }
    }

    @Test func `a field of the client's own is replaced, for the balancer does not vouch for it`() async throws {
      try await World.with(Self.setup("v1")) { world in
        let connection = try RawConnection(to: world.gateway.address)
        connection.send(Self.line)
        connection.send("GET /script?events=1 HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.1\r\n\r\n")
        #expect(connection.response()?.status == 200)
        #expect(Self.forwardedFor(world) == ["192.0.2.9"])
      }
    }

    /// Version 2 of nobody's word: a path on the balancer's machine.
    private static let paths = signature + [0x21, 0x31, 0, 216] + [UInt8](repeating: 0x61, count: 216)

    @Test(arguments: [
      ("v2", signature + [0x20, 0, 0, 0], "203.0.113.1, 127.0.0.1"),
      ("v1", Array("PROXY UNKNOWN\r\n".utf8), "unknown"), ("v2", signature + [0x21, 0, 0, 0], "unknown"),
      ("v2", paths, "unknown"),
    ])
    func `a balancer may speak for itself, and for clients it does not know, who are not trusted`(
      version: String, header: [UInt8], client: String
    ) async throws {
      try await World.with(Self.setup(version)) { world in
        let connection = try RawConnection(to: world.gateway.address)
        connection.send(header)
        connection.send("GET /script?events=1 HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.1\r\n\r\n")
        #expect(connection.response()?.status == 200)
        #expect(Self.forwardedFor(world) == [client])
        #expect(await Self.count(world, "unnamed") == 1)
      }
    }

    @Test func `who is not trusted is refused, whatever it sends`() async throws {
      try await World.with(Self.setup("v1", trusted: "10.0.0.0/8")) { world in
        for bytes in [Self.line + Self.request, Self.request] {
          let connection = try RawConnection(to: world.gateway.address)
          connection.send(bytes)
          #expect(connection.rest().isEmpty && connection.end != .silent)
        }
        #expect(world.backend.requests.isEmpty)
        #expect(await Self.count(world, "untrusted") == 2)
        // The log is written once a turn, after what the client sees.
        let areTold = await eventually { world.gateway.log("proxy_header_refused").count == 2 }
        #expect(areTold)
        let lines = world.gateway.log("proxy_header_refused")
        #expect(lines.allSatisfy { $0["client"]?.string == "127.0.0.1" })
        #expect(lines.first?["reason"]?.string == "the peer is not in trustedProxies")
      }
    }

    @Test func `what is no header is refused, and one that does not end has its time`() async throws {
      try await World.with(Self.setup("v2", limit: "1s")) { world in
        for bytes in [Self.request, Self.line + Self.request, Self.signature + [0x21, 0x12, 0, 12]] {
          let connection = try RawConnection(to: world.gateway.address)
          connection.send(bytes)
          #expect(connection.rest().isEmpty && connection.end != .silent)
        }
        let began = world.clock
        let connection = try RawConnection(to: world.gateway.address)
        connection.send(Array(Self.block.prefix(14)))
        #expect(connection.rest().isEmpty && connection.end != .silent)
        #expect(world.clock - began >= .milliseconds(900))
        let gone = try RawConnection(to: world.gateway.address)
        gone.send(Array(Self.block.prefix(14)))
        gone.close()
        let areCounted = await eventually {
          let malformed = await Self.count(world, "malformed")
          let timeouts = await Self.count(world, "timeout")
          return malformed == 3 && timeouts == 1
        }
        #expect(areCounted && world.backend.requests.isEmpty)
        let isCounted = await eventually { await Self.count(world, "closed") == 1 }
        #expect(isCounted)
      }
    }

    @Test func `the header stands before the handshake of TLS`() async throws {
      let identity = try HTTPS.localhost.get()
      let roots = try HTTPS.certificates.get().roots
      let tls = "tls: { cert: \"\(identity.certificate)\", key: \"\(identity.key)\" },"
      try await World.with(Self.setup("v1", more: tls)) { world in
        for options in [["--http1.1"], ["--http2"]] {
          let tool = try ChildProcess(
            ["curl", "-sSN4", "--haproxy-protocol", "--cacert", roots] + options
              + ["https://localhost:\(world.gateway.address.port)/script?events=9"])
          var events = 0
          while let line = tool.readLine(timeout: .seconds(60)) { if line.hasPrefix("data:") { events += 1 } }
          #expect(tool.wait(timeout: .seconds(10)) == .code(0) && events >= 9)
        }
        #expect(Self.forwardedFor(world) == ["127.0.0.1", "127.0.0.1"])
        #expect(await Self.count(world, "named") == 2)
      }
      try await World.with(Self.setup("v2", more: tls)) { world in
        let program = """
          import socket, ssl, sys
          plain = socket.create_connection(("127.0.0.1", \(world.gateway.address.port)))
          plain.sendall(bytes.fromhex("\(Self.block.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined())"))
          context = ssl.create_default_context(cafile="\(roots)")
          with context.wrap_socket(plain, server_hostname="localhost") as secure:
              secure.sendall(b"GET /script?events=1 HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n")
              print(secure.recv(65536).split(b"\\r\\n")[0].decode())
          """
        let tool = try ChildProcess(["python3", "-c", program])
        #expect(tool.readLine(timeout: .seconds(60)) == "HTTP/1.1 200 OK")
        _ = tool.wait(timeout: .seconds(10))
        #expect(Self.forwardedFor(world) == ["192.0.2.9"])
      }
    }

    @Test func `a drain waits for those whose header is on its way`() async throws {
      try await World.with(Self.setup("v1")) { world in
        let connection = try RawConnection(to: world.gateway.address)
        connection.send(Array(Self.line.prefix(9)))
        let isHeld = await eventually {
          await world.gateway.metric("fermata_bound_used", ["bound": "client_connections"]) == 1
        }
        #expect(isHeld)
        world.gateway.signal(15)
        let isDraining = await eventually { world.gateway.logText.contains("\"draining\"") }
        #expect(isDraining)
        connection.send(Array(Self.line[9...]) + Self.request)
        #expect(connection.response()?.status == 200)
      }
    }
  }
}
