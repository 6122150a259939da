import Harness
import JSON
import RunningGateway
import TLS
import Testing
import Time

extension EndToEnd {
  /// Backends over https.
  @Suite struct HTTPS {
    static let certificates = Result { try TestCertificates() }
    static let localhost = Result { try certificates.get().identity() }

    /// A backend over https, trusted by its gateway.
    private func setup(
      _ variant: String, tls members: String = "", identity: TLSIdentity? = nil,
      script: @escaping @Sendable (RecordedRequest) -> Script = ScriptedBackend.byQuery
    ) throws -> World.Setup {
      let roots = try Self.certificates.get().roots
      let trust = members.isEmpty ? "roots: \"\(roots)\"" : members
      var setup = World.Setup(
        variant: variant, settings: ["workers": "1"],
        configuration: """
          {
            upstreams: { secure: { url: "UPSTREAM", tls: { \(trust) }, timeouts: { connect: "20s" } } },
            routes: [{ name: "all", upstreams: ["secure"] }],
          }
          """,
        script: script)
      setup.tls = TLSServerSettings(identity: try identity ?? Self.localhost.get())
      return setup
    }

    @Test(arguments: ["legacy", "graceful"])
    func `a stream over https is the stream that was sent, and the connection is kept`(variant: String) async throws {
      try await World.with(setup(variant)) { world in
        #expect(world.backend.url.hasPrefix("https://"))
        for _ in 0..<3 {
          let result = await world.fetchNew("/script?events=50&burst=1&complete=complete&trailing=1")
          #expect(result.end == .clean && result.mode == variant)
          #expect(result.payloads.count == 52)
          let paced = await world.fetch("/script?events=20&interval=2")
          #expect(paced.end == .clean && paced.payloads == (1...20).map { "{\"n\":\($0)}" })
        }
        #expect(world.backend.connectionCount == 1)
        #expect(await world.gateway.metric("fermata_upstream_reuses_total") == 5)
      }
    }

    @Test func `a large body goes through https both ways unchanged`() async throws {
      try await World.with(setup("legacy")) { world in
        let body = (0..<900_000).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ ($0 >> 8)) }
        let result = await world.send(ClientRequest("POST", "/echo", body: body))
        #expect(result.status == 200 && result.end == .clean)
        #expect(result.body == body)
      }
    }

    @Test(arguments: [Script.End.unterminated, .midChunk, .cut, .unannounced])
    func `a cut over https is a cut`(end: Script.End) async throws {
      let script = Script([
        .head(), .event("token", "1"), .event("token", "2"), .pause(.milliseconds(20)), .finish(end),
      ])
      for variant in ["legacy", "graceful"] {
        try await World.with(setup(variant, script: { _ in script })) { world in
          let result = await world.fetchNew()
          #expect(result.payloads == ["1", "2"])
          #expect((result.end == .clean) == (variant == "graceful"))
          #expect(await world.outcomes() == ["upstream_truncated"])
        }
      }
    }

    @Test func `a body that ends with its connection is whole only with a notice of the end`() async throws {
      let head = Script.Head(framing: .untilClose)
      for (end, outcome) in [(Script.End.clean, "incomplete"), (.unannounced, "upstream_truncated")] {
        let script = Script([.head(head), .event("token", "1"), .pause(.milliseconds(20)), .finish(end)])
        try await World.with(setup("graceful", script: { _ in script })) { world in
          let result = await world.fetchNew()
          #expect(result.payloads == ["1"] && result.end == .clean)
          #expect(result.outcome == outcome, "\(end)")
        }
      }
    }

    @Test func `a client that goes away ends the request at the backend at once`() async throws {
      try await World.with(setup("legacy")) { world in
        let stream = world.clients.open(
          ClientRequest("GET", "/script?events=1000&interval=5", fields: [.acceptsEvents]), from: world.gateway.address)
        #expect(await stream.receives("{\"n\":3}"))
        stream.hangUp()
        #expect(await eventually(within: .seconds(2)) { world.backend.openRequests == 0 })
      }
    }

    @Test(arguments: Waterfall.faults + [Waterfall.Fault(reason: "cut", phase: "first_token", script: unannounced)])
    func `over https too a fault before the first content is another backend's turn`(fault: Waterfall.Fault)
      async throws
    {
      let roots = try Self.certificates.get().roots
      var configuration = Waterfall.configuration()
      for name in ["a", "b", "c"] {
        configuration.replace("UPSTREAM/\(name)\"", with: "UPSTREAM/\(name)\", tls: { roots: \"\(roots)\" }")
      }
      var setup = Waterfall.setup(["a": fault.script], configuration: configuration)
      setup.tls = TLSServerSettings(identity: try Self.localhost.get())
      try await World.with(setup) { world in
        for _ in 0..<2 {
          let result = await world.fetchNew("/v1/chat/completions")
          #expect(result.status == 200 && result.outcome == "completed")
          #expect(result.payloads.count == 4 && !result.payloads.contains { $0.contains(#""a""#) })
        }
        let isTold = await eventually {
          let log = world.gateway.logText
          return log.contains("\"reason\":\"\(fault.reason)\"") && log.contains("\"phase\":\"\(fault.phase)\"")
        }
        #expect(isTold, "\(world.gateway.logText)")
      }
    }

    private static let unannounced = Script([
      .head(Script.Head(framing: .untilClose)), Waterfall.preamble, .pause(.milliseconds(10)), .finish(.unannounced),
    ])

    @Test func `three hundred clients that go away at random moments leave nothing running at the backend`()
      async throws
    {
      try await World.with(setup("legacy")) { world in
        let request = ClientRequest("GET", "/script?events=2000&interval=1&delay=5", fields: [.acceptsEvents])
        for _ in 0..<10 {
          let streams = (0..<30).map { _ in world.clients.open(request, from: world.gateway.address) }
          for stream in streams {
            try await Task.sleep(for: .microseconds(Int.random(in: 0...1500)))
            stream.hangUp()
          }
        }
        #expect(await eventually(within: .seconds(10)) { world.backend.openRequests == 0 })
        let last = await world.fetch("/script?events=3&interval=1")
        #expect(last.payloads.count == 3, "\(last.status) \(last.text) \(world.gateway.logText.suffix(2000))")
      }
    }

    @Test func `a backend that can't be trusted is not asked, and the log says why`() async throws {
      try await World.with(setup("legacy", tls: "verify: true")) { world in
        let result = await world.fetch("/script?events=1")
        #expect(result.status == 502)
        let attempt = try JSONValue(parsing: result.text)["attempts"]?.array?.first
        #expect(attempt?["phase"]?.string == "tls" && attempt?["reason"]?.string == "tls_failed")
        #expect(!result.text.contains("certificate"))
        #expect(world.backend.requests.isEmpty)
        #expect(await eventually { !world.gateway.log("attempt_failed").isEmpty })
        #expect(world.gateway.log("attempt_failed").first?["detail"]?.string?.contains("certificate") == true)
        #expect(
          await world.gateway.metric(
            "fermata_upstream_attempts_total", ["upstream": "secure", "result": "tls_failed"]) >= 1)
      }
    }

    @Test func `a backend that wants a certificate gets one, or the log says that it does`() async throws {
      let certificates = try Self.certificates.get()
      let identity = try certificates.identity("gateway", for: "DNS:gateway.example")
      let roots = "roots: \"\(certificates.roots)\""
      let known = "\(roots), certificate: \"\(identity.certificate)\", key: \"\(identity.key)\""
      for (members, status) in [(known, 200), (roots, 502)] {
        var setup = try setup("legacy", tls: members)
        setup.tls?.clientRoots = certificates.roots
        try await World.with(setup) { world in
          #expect(await world.fetch("/script?events=1").status == status)
          guard status != 200 else { return }
          #expect(await eventually { !world.gateway.log("attempt_failed").isEmpty })
          let failed = world.gateway.log("attempt_failed").first
          #expect(failed?["reason"]?.string == "tls_failed")
          #expect(failed?["detail"]?.string?.contains("certificate_required") == true)
        }
      }
    }

    @Test func `verification can be switched off, and another name be asked for`() async throws {
      try await World.with(setup("legacy", tls: "verify: false")) { world in
        #expect(await world.fetch("/script?events=1").status == 200)
      }
      let elsewhere = try Self.certificates.get().identity("elsewhere", for: "DNS:elsewhere.example")
      let roots = try Self.certificates.get().roots
      let members = "roots: \"\(roots)\", serverName: \"elsewhere.example\""
      try await World.with(setup("legacy", tls: members, identity: elsewhere)) { world in
        #expect(await world.fetch("/script?events=1").status == 200)
      }
      try await World.with(setup("legacy", identity: elsewhere)) { world in
        #expect(await world.fetch("/script?events=1").status == 502)
      }
    }

    @Test func `a handshake that hangs gives way to the next backend`() async throws {
      let silent = try ScriptedBackend.start { _ in Script([.stall]) }
      defer { silent.stop() }
      let roots = try Self.certificates.get().roots
      var setup = World.Setup(
        configuration: """
          {
            upstreams: {
              silent: { url: "https://\(silent.address)", tls: { roots: "\(roots)" }, timeouts: { connect: "300ms" } },
              secure: { url: "UPSTREAM", tls: { roots: "\(roots)" } },
            },
            routes: [{ name: "all", upstreams: ["silent", "secure"] }],
          }
          """)
      setup.tls = TLSServerSettings(identity: try Self.localhost.get())
      try await World.with(setup) { world in
        let result = await world.fetch("/script?events=3&interval=1")
        #expect(result.status == 200 && result.payloads.count == 3)
        #expect(await eventually { !world.gateway.log("attempt_failed").isEmpty })
        let failed = world.gateway.log("attempt_failed").first
        #expect(failed?["phase"]?.string == "tls" && failed?["reason"]?.string == "timed_out")
      }
    }
  }
}
