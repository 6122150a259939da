import Glibc
import Harness
import JSON
import Loop
import Processes
import RunningGateway
import TLS
import Testing
import Time

extension EndToEnd {
  /// Clients that come over a socket in the file system.
  @Suite struct UnixListeners {
    private static let asks = ClientRequest(
      "GET", "/script?events=20&burst=1&complete=complete", fields: [.acceptsEvents, .prefersStreamEnd])

    /// A gateway that listens at `path`, and at `path` and `s` over https, beside its port.
    private static func setup(_ path: String, workers: Int = 2, more: String = "") throws -> World.Setup {
      let identity = try HTTPS.localhost.get()
      let text = """
        {
          upstream: "UPSTREAM", workers: \(workers),
          listeners: [
            { address: "unix:\(path)", socketMode: "0600" },
            { address: "unix:\(path)s", tls: { cert: "\(identity.certificate)", key: "\(identity.key)" } },
          ],
          \(more)
        }
        """
      return World.Setup(variant: "graceful", configuration: text)
    }

    private static func mode(of path: String) -> UInt32? {
      var status = stat()
      return lstat(path, &status) == 0 ? status.st_mode & 0o777 : nil
    }

    @Test func `a stream over a socket is the stream that was sent, with TLS and without it`() async throws {
      let folder = try ScratchDirectory()
      let path = folder["front.sock"]
      try await World.with(Self.setup(path)) { world in
        #expect(Self.mode(of: path) == 0o600 && Self.mode(of: path + "s") == 0o660)
        let plain = try #require(SocketAddress(unix: path))
        let secure = try #require(SocketAddress(unix: path + "s"))
        var settings = TLSClientSettings()
        settings.roots = try HTTPS.certificates.get().roots
        var behaviour = ClientBehaviour()
        behaviour.tls = try TLSContext(client: settings)
        for _ in 0..<10 {
          for (address, behaviour) in [(plain, ClientBehaviour.plain), (secure, behaviour)] {
            let result = await world.clients.fetch(Self.asks, from: address, behaviour: behaviour)
            #expect(result.end == .clean && result.outcome == "completed", "\(result.end)")
            #expect(result.payloads.prefix(20) == ArraySlice((1...20).map { "{\"n\":\($0)}" }))
          }
        }
        let isConfirmed = await eventually {
          await world.gateway.metric("fermata_close_total", ["mode": "graceful", "result": "confirmed"]) == 20
        }
        #expect(isConfirmed)
        let fields = try #require(world.backend.requests.first?.head.fields)
        #expect(fields.first { $0.name.lowercased() == "x-forwarded-for" }?.value == "unix")
        #expect(world.gateway.log("request_done").allSatisfy { $0["client"]?.string == "unix" })
      }
      // Nothing is left behind.
      #expect(Self.mode(of: path) == nil && Self.mode(of: path + "s") == nil)
    }

    @Test func `who may use the socket may say who the client is`() async throws {
      let folder = try ScratchDirectory()
      let path = folder["front.sock"]
      try await World.with(Self.setup(path, more: "log: { clientAddress: \"full\" },")) { world in
        var request = Self.asks
        request.fields.append(Script.Field("X-Forwarded-For", "192.0.2.7"))
        let address = try #require(SocketAddress(unix: path))
        #expect(await world.clients.fetch(request, from: address, behaviour: .plain).end == .clean)
        let fields = try #require(world.backend.requests.first?.head.fields)
        #expect(fields.first { $0.name.lowercased() == "x-forwarded-for" }?.value == "192.0.2.7, unix")
        let isTold = await eventually { world.gateway.log("request_done").first?["client"]?.string == "192.0.2.7" }
        #expect(isTold)
      }
    }

    @Test func `curl reads a stream over a socket`() async throws {
      let folder = try ScratchDirectory()
      let path = folder["front.sock"]
      try await World.with(Self.setup(path)) { world in
        for (socket, options) in [
          (path, ["http://localhost/script?events=30"]),
          (path + "s", ["--cacert", try HTTPS.certificates.get().roots, "https://localhost/script?events=30"]),
        ] {
          let tool = try ChildProcess(["curl", "-sSN", "--unix-socket", socket] + options)
          var events = 0
          while let line = tool.readLine(timeout: .seconds(60)) { if line.hasPrefix("data:") { events += 1 } }
          #expect(tool.wait(timeout: .seconds(10)) == .code(0) && events >= 30)
        }
      }
    }

    @Test func `a cut is seen as a cut over a socket`() async throws {
      let folder = try ScratchDirectory()
      let path = folder["front.sock"]
      var setup = try Self.setup(path)
      setup.variant = "legacy"
      setup.script = { _ in
        Script([.head(), .event("token", "1"), .pause(.milliseconds(20)), .finish(.cut)])
      }
      try await World.with(setup) { world in
        let address = try #require(SocketAddress(unix: path))
        let result = await world.clients.fetch(ClientRequest("GET", "/"), from: address, behaviour: .plain)
        #expect(result.payloads == ["1"] && result.end != .clean)
      }
    }

    @Test func `a socket left behind is replaced, one in use is refused, and so is a file`() async throws {
      let folder = try ScratchDirectory()
      let path = folder["front.sock"]
      try await World.with(Self.setup(path)) { world in
        let second = ["serve", "--upstream", world.backend.url, "--admin", "127.0.0.1:0", "--listen"]
        let run = try RunningGateway.Program.run(second + ["unix:\(path)"])
        #expect(run.exit != .code(0))
        #expect(run.errors.contains("unix:\(path) is in use by pid \(world.gateway.pid)"), "\(run.errors)")
        folder.write("file", "")
        let other = try RunningGateway.Program.run(second + ["unix:\(folder["file"])"])
        #expect(other.exit != .code(0) && other.errors.contains("no socket"), "\(other.errors)")
        #expect(folder.text("file") == "")
        // Those that were refused have removed nothing.
        let address = try #require(SocketAddress(unix: path))
        #expect(await world.clients.fetch(Self.asks, from: address, behaviour: .plain).end == .clean)
      }
      let clients = try ClientLoop.start()
      defer { clients.stop() }
      let backend = try ScriptedBackend.start(choose: ScriptedBackend.byQuery)
      defer { backend.stop() }
      for round in 0..<2 {
        let gateway = try await GatewayProcess.start(
          ["--upstream", backend.url], listen: "unix:\(path)", clients: clients)
        let result = await clients.fetch(Self.asks, from: gateway.address, behaviour: .plain)
        #expect(result.status == 200 && result.end == .clean)
        // The first is killed, and leaves its socket.
        gateway.signal(round == 0 ? 9 : 15)
        #expect(await gateway.exit(within: .seconds(10)) != nil)
        #expect((Self.mode(of: path) != nil) == (round == 0))
      }
    }

    @Test func `one that can't start takes the path from nobody`() async throws {
      let folder = try ScratchDirectory()
      let front = folder["front.sock"]
      try await World.with(Self.setup(front)) { world in
        // It shares all but the operators' address, which it can't have.
        let words = ["serve", "--share", "--upstream", world.backend.url, "--listen", "unix:\(front)"]
        let run = try RunningGateway.Program.run(
          words + ["--admin", "192.0.2.1:1"], environment: ["FERMATA_ADMIN_TOKEN": "0123456789abcdef-secret"])
        #expect(run.exit != .code(0) && run.errors.contains("192.0.2.1:1"), "\(run.errors)")
        let address = try #require(SocketAddress(unix: front))
        #expect(await world.clients.fetch(Self.asks, from: address, behaviour: .plain).end == .clean)
        #expect(folder.names.sorted() == ["front.sock", "front.socks"])
      }
    }

    @Test func `one process takes over from another, and no client is turned away`() async throws {
      let folder = try ScratchDirectory()
      let path = folder["front.sock"]
      let clients = try ClientLoop.start()
      defer { clients.stop() }
      let backend = try ScriptedBackend.start(choose: ScriptedBackend.byQuery)
      defer { backend.stop() }
      func start() async throws -> GatewayProcess {
        try await GatewayProcess.start(
          ["--upstream", backend.url, "--share"], listen: "unix:\(path)", clients: clients)
      }
      var old = try await start()
      let long = ClientRequest("GET", "/script?events=100&interval=10&complete=complete", fields: Self.asks.fields)
      for _ in 0..<3 {
        let open = (0..<10).map { _ in clients.open(long, from: old.address, behaviour: .plain) }
        for stream in open { #expect(await stream.receives("{\"n\":1}")) }
        let next = try await start()
        old.signal(15)
        for _ in 0..<20 {
          #expect(await clients.fetch(Self.asks, from: next.address, behaviour: .plain).end == .clean)
        }
        for stream in open {
          let result = await stream.result()
          #expect(result.end == .clean && result.payloads.count >= 100, "\(result.payloads.count)")
        }
        #expect(await old.exit(within: .seconds(10)) == .code(0))
        old = next
      }
      old.signal(15)
      #expect(await old.exit(within: .seconds(10)) == .code(0))
      #expect(Self.mode(of: path) == nil)
    }
  }
}
