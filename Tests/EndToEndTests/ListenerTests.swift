import Harness
import JSON
import Loop
import Processes
import RunningGateway
import TLS
import Testing
import Time

extension EndToEnd {
  /// Clients over https.
  @Suite struct Listeners {
    private static func client(_ change: (inout TLSClientSettings) throws -> Void = { _ in }) throws -> ClientBehaviour
    {
      var settings = TLSClientSettings()
      settings.roots = try HTTPS.certificates.get().roots
      try change(&settings)
      var behaviour = ClientBehaviour()
      behaviour.tls = try TLSContext(client: settings)
      return behaviour
    }

    private static func setup(
      _ variant: String = "graceful", _ tls: [String: String] = [:], identity: TLSIdentity? = nil,
      script: @escaping @Sendable (RecordedRequest) -> Script = ScriptedBackend.byQuery
    ) throws -> World.Setup {
      let identity = try identity ?? HTTPS.localhost.get()
      var settings = ["tls.cert": identity.certificate, "tls.key": identity.key]
      for (name, value) in tls { settings["tls." + name] = value }
      return World.Setup(variant: variant, settings: settings, script: script)
    }

    private static let asks = ClientRequest(
      "GET", "/script?events=20&burst=1&complete=complete", fields: [.acceptsEvents, .prefersStreamEnd])

    @Test(arguments: ["legacy", "shield", "graceful"])
    func `a stream over https is the stream that was sent, whatever the mode`(variant: String) async throws {
      try await World.with(Self.setup(variant)) { world in
        let behaviour = try Self.client()
        for _ in 0..<5 {
          let result = await world.clients.fetch(Self.asks, from: world.gateway.address, behaviour: behaviour)
          #expect(result.end == .clean && result.status == 200, "\(result.end)")
          #expect(result.payloads.prefix(20) == ArraySlice((1...20).map { "{\"n\":\($0)}" }))
        }
        #expect(await world.gateway.metric("fermata_tls_handshakes_total") == 5)
        #expect(world.backend.requests.allSatisfy { $0.head.fields.contains { $0.value == "https" } })
      }
    }

    @Test func `sessions are taken up on all workers, and after a reload, and the metric agrees`() async throws {
      var setup = try Self.setup()
      setup.settings["workers"] = "4"
      try await World.with(setup) { world in
        let behaviour = try Self.client()
        // Makes the session.
        #expect(await world.clients.fetch(Self.asks, from: world.gateway.address, behaviour: behaviour).end == .clean)
        var resumed = 0
        for isReloaded in [false, true] {
          if isReloaded {
            world.gateway.signal(1)
            let isDone = await eventually { world.gateway.logText.contains("configuration_reloaded") }
            #expect(isDone)
          }
          let long = ClientRequest("GET", "/script?events=1000&interval=50", fields: Self.asks.fields)
          var open: [LiveStream] = []
          for _ in 0..<50 {
            // One after the other: each takes up the session that the last was given.
            let stream = world.clients.open(long, from: world.gateway.address, behaviour: behaviour)
            #expect(await stream.receives("{\"n\":1}"))
            open.append(stream)
          }
          let listed = try await world.gateway.json("/streams?limit=100")["streams"]?.array ?? []
          #expect(listed.count == 50 && Set(listed.compactMap { $0["worker"]?.integer }) == [0, 1, 2, 3])
          for stream in open {
            stream.hangUp()
            if await stream.result().isResumed { resumed += 1 }
          }
          for _ in 0..<50 {
            let result = await world.clients.fetch(Self.asks, from: world.gateway.address, behaviour: behaviour)
            #expect(result.end == .clean)
            if result.isResumed { resumed += 1 }
          }
        }
        #expect(resumed >= 190, "of 200")
        func handshakes(_ isResumed: String) async -> Double {
          await world.gateway.metric(
            "fermata_tls_handshakes_total", ["result": "done", "version": "1.3", "resumed": isResumed])
        }
        let counted = (await handshakes("yes"), await handshakes("no"))
        #expect(counted == (Double(resumed), Double(201 - resumed)))
      }
    }

    @Test(arguments: [Script.End.midChunk, .cut])
    func `a cut is seen as a cut over https`(end: Script.End) async throws {
      let script = Script([.head(), .event("token", "1"), .pause(.milliseconds(20)), .finish(end)])
      try await World.with(Self.setup("legacy") { _ in script }) { world in
        let result = await world.clients.fetch(
          ClientRequest("GET", "/"), from: world.gateway.address, behaviour: try Self.client())
        #expect(result.payloads == ["1"] && result.end != .clean)
      }
    }

    @Test func `plain HTTP on a port for TLS is told so`() async throws {
      try await World.with(Self.setup()) { world in
        let result = await world.clients.fetch(ClientRequest("GET", "/"), from: world.gateway.address)
        #expect(result.status == 400 && result.text.contains("https://"))
        let id = try #require(result.head.value("X-Request-Id"))
        #expect(
          await eventually {
            world.gateway.log("request_done").contains {
              $0["requestId"]?.string == id && $0["code"]?.string == "plain_http"
            }
          })
        #expect(world.backend.requests.isEmpty)
      }
    }

    @Test func `plain HTTP that goes on and on is told so too`() async throws {
      try await World.with(Self.setup()) { world in
        for _ in 0..<20 {
          let connection = try RawConnection(to: world.gateway.address)
          connection.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 400000\r\n\r\n")
          connection.send([UInt8](repeating: 0x61, count: 400_000))
          let response = connection.response()
          #expect(response?.status == 400 && response?.text.contains("https://") == true)
          #expect(connection.rest().isEmpty && connection.end == .finished)
        }
      }
    }

    @Test(arguments: [nil, "1d"] as [String?])
    func `browsers are told to come over https only where that is set`(time: String?) async throws {
      try await World.with(Self.setup("graceful", time.map { ["hsts": $0] } ?? [:])) { world in
        let result = await world.clients.fetch(
          Self.asks, from: world.gateway.address, behaviour: try Self.client())
        #expect(result.head.value("Strict-Transport-Security") == (time == nil ? nil : "max-age=86400"))
      }
    }

    @Test func `a renewed certificate is in force within a second, a broken one is not, and streams go on`()
      async throws
    {
      let own = try HTTPS.certificates.get()
      let identity = try own.identity("renewed")
      try await World.with(Self.setup("graceful", identity: identity)) { world in
        let behaviour = try Self.client()
        let long = ClientRequest("GET", "/script?events=200&interval=20&complete=complete", fields: Self.asks.fields)
        let open = (0..<20).map { _ in
          world.clients.open(long, from: world.gateway.address, behaviour: behaviour)
        }
        for _ in 0..<10 {
          let loads = world.gateway.logText.split(separator: "certificates_loaded").count
          _ = try own.identity("renewed")
          let isLoaded = await eventually {
            world.gateway.logText.split(separator: "certificates_loaded").count > loads
          }
          #expect(isLoaded)
        }
        let strange = try own.identity("strange")
        let copy = try ChildProcess(["cp", strange.key, identity.key])
        #expect(copy.wait(timeout: .seconds(10)) == .code(0))
        // A key is written before its certificate, so that files were refused for a moment before.
        let isRefused = await eventually { await world.gateway.metric("fermata_certificates_refused") == 1 }
        #expect(isRefused && world.gateway.logText.contains("certificates_refused"))
        let result = await world.clients.fetch(Self.asks, from: world.gateway.address, behaviour: behaviour)
        #expect(result.end == .clean)
        for stream in open {
          let result = await stream.result()
          #expect(result.end == .clean && result.payloads.count >= 200, "\(result.payloads.count)")
        }
      }
    }

    @Test func `a plain listener and one over https stand side by side`() async throws {
      let identity = try HTTPS.localhost.get()
      let text = """
        {
          upstream: "UPSTREAM",
          listeners: [{
            address: "127.0.0.1:0", tls: { cert: "\(identity.certificate)", key: "\(identity.key)" },
          }],
        }
        """
      try await World.with(World.Setup(variant: "graceful", configuration: text)) { world in
        #expect(await world.clients.fetch(Self.asks, from: world.gateway.address).end == .clean)
        let line = world.gateway.log("started").first
        let address = try #require(line?["listeners"]?.string.flatMap { SocketAddress(parsing: $0) })
        let result = await world.clients.fetch(Self.asks, from: address, behaviour: try Self.client())
        #expect(result.end == .clean && result.status == 200)
      }
    }

    @Test func `old versions and ciphers are refused, curl is served`() async throws {
      try await World.with(Self.setup()) { world in
        let roots = try HTTPS.certificates.get().roots
        let url = "https://localhost:\(world.gateway.address.port)/script?events=3"
        func curl(_ options: [String]) throws -> (lines: Int, isWell: Bool) {
          let tool = try ChildProcess(["curl", "-sN", "--cacert", roots, "-4"] + options + [url])
          var lines = 0
          while tool.readLine(timeout: .seconds(60)) != nil { lines += 1 }
          return (lines, tool.wait(timeout: .seconds(10)) == .code(0))
        }
        #expect(try curl([]).isWell)
        #expect(try curl(["--tls-max", "1.2"]).lines > 3)
        #expect(try !curl(["--tls-max", "1.1", "--tlsv1.0", "--ciphers", "DEFAULT@SECLEVEL=0"]).isWell)
        #expect(try !curl(["--tls-max", "1.2", "--ciphers", "ECDHE-ECDSA-AES256-SHA384"]).isWell)
      }
    }
  }
}
