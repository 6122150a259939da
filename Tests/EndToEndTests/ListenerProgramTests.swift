import Harness
import Loop
import Processes
import RunningGateway
import TLS
import Testing
import Time

extension EndToEnd {
  /// Clients over https that are other programs, and clients that disturb.
  @Suite struct ListenerPrograms {
    private static let asks = ClientRequest(
      "GET", "/script?events=20&burst=1&complete=complete", fields: [.acceptsEvents, .prefersStreamEnd])

    private static func behaviour() throws -> ClientBehaviour {
      var settings = TLSClientSettings()
      settings.roots = try HTTPS.certificates.get().roots
      var behaviour = ClientBehaviour()
      behaviour.tls = try TLSContext(client: settings)
      return behaviour
    }

    private static func setup(
      _ variant: String = "graceful", identity: TLSIdentity? = nil, settings: [String: String] = [:],
      script: @escaping @Sendable (RecordedRequest) -> Script = ScriptedBackend.byQuery
    ) throws -> World.Setup {
      let identity = try identity ?? HTTPS.localhost.get()
      let own = ["tls.cert": identity.certificate, "tls.key": identity.key]
      return World.Setup(
        variant: variant, settings: own.merging(settings) { $1 }, script: script)
    }

    /// What `openssl s_client` says of a handshake.
    private static func probe(_ world: World, _ options: [String]) throws -> String {
      let address = "127.0.0.1:\(world.gateway.address.port)"
      let tool = try ChildProcess(
        ["openssl", "s_client", "-connect", address, "-CAfile", try HTTPS.certificates.get().roots] + options,
        errorFile: "/dev/null")
      tool.closeInput()
      var lines: [String] = []
      while let line = tool.readLine(timeout: .seconds(60)) { lines.append(line) }
      _ = tool.wait(timeout: .seconds(10))
      return lines.joined(separator: "\n")
    }

    private static func expect(
      _ text: String, of world: World, _ options: [String], sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
      let said = try probe(world, options)
      #expect(said.contains(text), "\(options)", sourceLocation: sourceLocation)
    }

    @Test func `ECDSA and RSA stand side by side, and the name chooses`() async throws {
      let authority = try HTTPS.certificates.get()
      let names = "DNS:both.example"
      let (curve, rsa) = (
        try authority.identity("curve", for: names), try authority.identity("rsa", for: names, isRSA: true)
      )
      let first = try HTTPS.localhost.get()
      let text = """
        {
          listen: "127.0.0.1:0",
          upstream: "UPSTREAM",
          tls: {
            cert: "\(first.certificate)", key: "\(first.key)",
            certificates: [
              { cert: "\(curve.certificate)", key: "\(curve.key)" }, { cert: "\(rsa.certificate)", key: "\(rsa.key)" },
            ],
          },
        }
        """
      try await World.with(World.Setup(configuration: text)) { world in
        let asked: [(options: [String], subject: String)] = [
          (["-servername", "both.example", "-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"], "rsa"),
          (["-servername", "both.example", "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"], "curve"),
          (["-servername", "both.example", "-tls1_3", "-sigalgs", "rsa_pss_rsae_sha256"], "rsa"),
          (["-servername", "both.example", "-tls1_3", "-sigalgs", "ecdsa_secp256r1_sha256"], "curve"),
          (["-servername", "other.example"], "localhost"), (["-noservername"], "localhost"),
        ]
        for (options, subject) in asked {
          let said = try Self.probe(world, options)
          #expect(said.contains("subject=CN = \(subject)\n"), "\(options): \(said)")
          #expect(said.contains("Verification: OK"), "\(options)")
        }
      }
    }

    @Test func `only what is current is spoken`() async throws {
      try await World.with(Self.setup()) { world in
        try Self.expect("New, TLSv1.3", of: world, ["-tls1_3"])
        try Self.expect("New, TLSv1.2, Cipher is ECDHE-ECDSA-", of: world, ["-tls1_2"])
        let lowest = ["-cipher", "ALL:@SECLEVEL=0"]
        for refused in [
          ["-tls1_1"] + lowest, ["-tls1"] + lowest, ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-SHA384"],
          ["-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256"], ["-alpn", "spdy/3"], ["-groups", "P-521"],
        ] {
          try Self.expect("Cipher is (NONE)", of: world, refused)
        }
        try Self.expect("ALPN protocol: http/1.1", of: world, ["-alpn", "spdy/3,http/1.1"])
        let isCounted = await eventually {
          await world.gateway.metric(
            "fermata_tls_handshakes_total", ["result": "refused", "version": "none", "resumed": "no"]) >= 4
        }
        #expect(isCounted)
      }
    }

    @Test func `SIGHUP puts another certificate in force, and an open stream goes on`() async throws {
      let authority = try HTTPS.certificates.get()
      func text(_ identity: TLSIdentity) -> String {
        """
        {
          listen: "127.0.0.1:0", upstream: "UPSTREAM",
          tls: { cert: "\(identity.certificate)", key: "\(identity.key)" },
        }
        """
      }
      let (old, new) = (try authority.identity("before"), try authority.identity("after"))
      try await World.with(World.Setup(variant: "graceful", configuration: text(old))) { world in
        let behaviour = try Self.behaviour()
        let stream = world.clients.open(
          ClientRequest("GET", "/script?events=150&interval=20&complete=complete", fields: Self.asks.fields),
          from: world.gateway.address, behaviour: behaviour)
        #expect(await stream.receives("{\"n\":1}"))
        try Self.expect("subject=CN = before\n", of: world, [])
        world.configure(text(TLSIdentity(certificate: new.certificate, key: old.key)))
        world.gateway.signal(1)
        let isRefused = await eventually { world.gateway.logText.contains("configuration_reload_failed") }
        #expect(isRefused)
        try Self.expect("subject=CN = before\n", of: world, [])
        world.configure(text(new))
        world.gateway.signal(1)
        let isReloaded = await eventually { world.gateway.logText.contains("configuration_reloaded") }
        #expect(isReloaded)
        try Self.expect("subject=CN = after\n", of: world, [])
        let result = await stream.result()
        #expect(result.end == .clean && result.payloads.count >= 150)
      }
    }

    @Test func `a handshake that does not go on ends with its time`() async throws {
      let setup = try Self.setup(settings: ["limits.headTimeout": "1s"])
      try await World.with(setup) { world in
        // A record's head that announces more than what comes; nothing at all.
        for bytes in ["\u{16}\u{3}\u{1}\u{1}\u{0}\u{1}", ""] {
          let began = world.clock
          let result = await world.send(.raw(bytes))
          #expect(result.wireBytes == 0 && result.end != .timedOut, "\(result.end)")
          #expect(world.clock - began >= .milliseconds(900) && world.clock - began < .seconds(10))
        }
        let timeouts = await world.gateway.metric("fermata_tls_handshakes_total", ["result": "timeout"])
        #expect(timeouts == 2)
      }
    }

    @Test func `clients that come back all at once are served, and streams go on beside them`() async throws {
      try await World.with(Self.setup()) { world in
        let behaviour = try Self.behaviour()
        let long = ClientRequest("GET", "/script?events=100&interval=20&complete=complete", fields: Self.asks.fields)
        let open = (0..<10).map { _ in world.clients.open(long, from: world.gateway.address, behaviour: behaviour) }
        for stream in open { #expect(await stream.receives("{\"n\":1}")) }
        let crowd = try (0..<200).map { _ in
          world.clients.open(Self.asks, from: world.gateway.address, behaviour: try Self.behaviour())
        }
        for stream in crowd {
          let result = await stream.result()
          #expect(result.end == .clean && result.payloads.count == 21, "\(result.end)")
        }
        for stream in open {
          let result = await stream.result()
          #expect(result.end == .clean && result.payloads.count == 101)
        }
      }
    }

    @Test(arguments: ["legacy", "shield", "graceful"])
    func `a body that ends with its connection ends with a notice, a cut one does not`(variant: String) async throws {
      let whole = Script([.head(), .event("token", "1"), .finish(.clean)])
      let cut = Script([.head(), .event("token", "1"), .pause(.milliseconds(20)), .finish(.cut)])
      let setup = try Self.setup(variant) { $0.head.startLine.contains("cut") ? cut : whole }
      try await World.with(setup) { world in
        let behaviour = try Self.behaviour()
        func ask(_ path: String) async -> ClientResult {
          let request = ClientRequest.raw("GET /\(path) HTTP/1.0\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n")
          return await world.send(request, behaviour: behaviour)
        }
        // A client over TLS takes a FIN without close_notify for a cut.
        let good = await ask("whole")
        #expect(good.payloads == ["1"] && good.end == .clean, "\(good.end)")
        let bad = await ask("cut")
        #expect(bad.payloads.first == "1")
        if variant == "legacy" { #expect(bad.end != .clean) }
      }
    }

    @Test func `closes are measured over https as without it`() async throws {
      try await World.with(Self.setup()) { world in
        let behaviour = try Self.behaviour()
        for _ in 0..<3 {
          let result = await world.clients.fetch(Self.asks, from: world.gateway.address, behaviour: behaviour)
          #expect(result.end == .clean && result.outcome == "completed")
        }
        let areConfirmed = await eventually {
          await world.gateway.metric("fermata_close_total", ["mode": "graceful", "result": "confirmed"]) == 3
        }
        #expect(areConfirmed)
      }
    }

    @Test(arguments: [true, false])
    func `tail follows a stream over HTTP/2 where the listener has it`(http2: Bool) async throws {
      try await World.with(Self.setup(settings: ["http2": "\(http2)"])) { world in
        let url = "https://localhost:\(world.gateway.address.port)/script?events=30&interval=2&complete=complete"
        let run = try RunningGateway.Program.run(
          ["tail", url, "--roots", try HTTPS.certificates.get().roots, "--json"])
        #expect(run.exit == .code(0), "\(run.output) \(run.errors)")
        #expect(
          run.output.contains("\"conclusion\":\"completed\"") && run.output.contains("{\\\"n\\\":30}"), "\(run.output)")
        #expect(await world.gateway.metric("fermata_http2_connections_total") == (http2 ? 1 : 0))
      }
    }

    @Test func `curl reads a stream of each version to its end`() async throws {
      try await World.with(Self.setup()) { world in
        let url = "https://localhost:\(world.gateway.address.port)/script?events=30&interval=2&complete=complete"
        for options in [["--tlsv1.3"], ["--tls-max", "1.2"], ["--http1.0"]] {
          let tool = try ChildProcess(
            ["curl", "-sSN4", "--cacert", try HTTPS.certificates.get().roots] + options + [url])
          var events = 0
          while let line = tool.readLine(timeout: .seconds(60)) {
            if line.hasPrefix("data:") { events += 1 }
          }
          #expect(tool.wait(timeout: .seconds(10)) == .code(0), "\(options)")
          #expect(events >= 31, "\(options)")
        }
      }
    }
  }
}
