import Harness
import JSON
import Loop
import Processes
import RunningGateway
import TLS
import Testing
import Time

extension RealClients {
  /// The library `websockets` on both sides of the gateway.
  @Suite(.enabled(if: Tool.arePresent(Tool.python))) struct WebSockets {
    private static func with(
      _ route: String, _ more: String = "", _ body: (GatewayProcess) async throws -> Void
    ) async throws {
      let python = try #require(Tool.python)
      let server = try ChildProcess([python, Tool.file("RealClients/websockets_echo.py"), "server"])
      let port = try #require(server.readLine(timeout: .seconds(20)))
      let clients = try ClientLoop.start()
      defer { clients.stop() }
      let folder = try ScratchDirectory()
      folder.write(
        "fermata.json5",
        """
        { upstreams: { app: { url: "http://127.0.0.1:\(port)" } },
          routes: [{ name: "app", upstreams: "app", \(route) }], \(more) }
        """)
      let gateway = try await GatewayProcess.start(["--config", folder["fermata.json5"]], clients: clients)
      do {
        try await body(gateway)
      } catch {
        gateway.signal(9)
        throw error
      }
      gateway.signal(15)
      #expect(await gateway.exit(within: .seconds(10)) == .code(0))
      server.closeInput()
      #expect(server.wait(timeout: .seconds(10)) == .code(0))
    }

    private static func expectWhole(_ report: JSONValue) {
      #expect(report["sent"]?.integer == 16 && report["same"]?.integer == 16, "\(report)")
      #expect(report["subprotocol"]?.string == "chat" && report["inOrder"]?.bool == true, "\(report)")
      #expect(report["extensions"]?.array?.compactMap(\.string) == ["permessage-deflate"], "\(report)")
      #expect(report["close"]?.array?.first?.integer == 4321, "\(report)")
    }

    @Test func `messages of all sizes come back as they were sent`() async throws {
      try await Self.with("websocket: true") { gateway in
        Self.expectWhole(try await Tool.report("websockets_echo.py", ["client", "ws://\(gateway.address)/"]))
        let isCounted = await eventually { await gateway.metric("fermata_tunnels_total") == 1 }
        #expect(isCounted)
      }
    }

    @Test func `the same over https`() async throws {
      let certificates = try TestCertificates()
      defer { certificates.remove() }
      let identity = try certificates.identity()
      let tls = "tls: { cert: \"\(identity.certificate)\", key: \"\(identity.key)\" },"
      try await Self.with("websocket: true", tls) { gateway in
        let url = "wss://localhost:\(gateway.address.port)/"
        Self.expectWhole(try await Tool.report("websockets_echo.py", ["client", url, certificates.roots]))
      }
    }

    @Test func `a route that takes none says so`() async throws {
      try await Self.with("") { gateway in
        let report = try await Tool.report("websockets_echo.py", ["client", "ws://\(gateway.address)/"])
        #expect(report["status"]?.integer == 501, "\(report)")
      }
    }
  }
}
