import Harness
import JSON
import RunningGateway
import TLS
import Testing
import Time

extension EndToEnd {
  /// The waterfall over https, and over connections that were used before: the faults are the same.
  @Suite struct SecureWaterfall {
    /// How the backend that fails is reached.
    enum Way: String, CaseIterable, Sendable {
      case httpKept = "http, kept"
      case httpsFresh = "https, fresh"
      case httpsKept = "https, kept"

      var isSecure: Bool { self != .httpKept }
      var isKept: Bool { self != .httpsFresh }
    }

    /// Two backends; what `a` does is the fault of the request's path, `/N/x`, or good.
    private static func setup(_ way: Way) throws -> World.Setup {
      let trust = way.isSecure ? "tls: { roots: \"\(try HTTPS.certificates.get().roots)\" }," : ""
      var setup = World.Setup(
        variant: "graceful", settings: ["workers": "1"],
        configuration: """
          {
            defaults: {
              gate: "firstToken", budget: "10s", health: { failures: 0 },
              timeouts: { connect: "5s", head: "300ms", firstEvent: "500ms", firstToken: "600ms" },
            },
            upstreams: {
              a: { url: "UPSTREAM/a", \(trust) idleConnections: \(way.isKept ? 8 : 0) }, b: { url: "UPSTREAM/b", \(trust) },
            },
            stream: { dialect: "openai" },
            routes: [{ name: "chat", upstreams: ["a", "b"] }],
          }
          """
      ) { request in
        let words = request.path.split(separator: "/")
        guard words.first == "a", let number = Int(words[1]) else { return Waterfall.good(String(words[0])) }
        return Waterfall.faults[number].script
      }
      if way.isSecure { setup.tls = TLSServerSettings(identity: try HTTPS.localhost.get()) }
      return setup
    }

    @Test(arguments: Way.allCases)
    func `every fault before the first content is another backend's turn`(way: Way) async throws {
      try await World.with(Self.setup(way)) { world in
        for (number, fault) in Waterfall.faults.enumerated() {
          // Leaves a connection behind that is used next, where connections are kept.
          #expect(await world.fetchNew("/well").payloads.first?.contains("assistant") == true)
          let result = await world.fetchNew("/\(number)/x")
          #expect(result.status == 200 && result.end == .clean && result.outcome == "completed", "\(fault)")
          #expect(result.payloads.count == 4 && result.payloads[1].contains("\"b\""), "\(fault): \(result.payloads)")
          let requests = world.backend.requests
          let well = requests.last { $0.path == "/a/well" }
          let failed = requests.first { $0.path == "/a/\(number)/x" }
          #expect((well?.connection == failed?.connection) == way.isKept, "\(fault)")
          #expect(await eventually { world.gateway.failedAttempts.count > number }, "\(fault)")
          let attempt = world.gateway.failedAttempts.last
          #expect(attempt?["reason"]?.string == fault.reason && attempt?["phase"]?.string == fault.phase, "\(fault)")
          #expect(attempt?["upstream"]?.string == "a")
        }
        #expect(world.gateway.failedAttempts.count == Waterfall.faults.count)
        let lines = world.gateway.log("attempt_failed")
        #expect(!lines.isEmpty && lines.allSatisfy { $0["level"]?.string == "warning" })
        #expect(await world.gateway.metric("fermata_upstream_busy") == 0)
        #expect(world.backend.openRequests == 0)
      }
    }

    /// Backends with which there is no TLS: of another name, signed by nobody who is trusted, too old, silent.
    private static func withStrangers(
      _ upstreams: String, _ body: (World) async throws -> Void
    ) async throws {
      let certificates = try HTTPS.certificates.get()
      func start(_ name: String, for names: String, days: Int = 2) throws -> ScriptedBackend {
        let identity = try certificates.identity(name, for: names, days: days)
        return try ScriptedBackend.start(tls: TLSServerSettings(identity: identity)) { _ in Waterfall.good(name) }
      }
      let stranger = try start("stranger", for: "DNS:stranger.example")
      let old = try start("old", for: "IP:127.0.0.1", days: -1)
      let silent = try ScriptedBackend.start { _ in Script([.stall]) }
      defer { for backend in [stranger, old, silent] { backend.stop() } }
      let trust = "tls: { roots: \"\(certificates.roots)\" }"
      var setup = World.Setup(
        variant: "graceful", settings: ["workers": "1"],
        configuration: """
          {
            defaults: { gate: "firstToken", budget: "20s", timeouts: { connect: "2s" }, health: { failures: 0 } },
            upstreams: {
              stranger: { url: "\(stranger.url)", \(trust) }, old: { url: "\(old.url)", \(trust) },
              untrusted: { url: "UPSTREAM", tls: { verify: true } },
              silent: { url: "https://\(silent.address)", \(trust), timeouts: { connect: "300ms" } },
              good: { url: "UPSTREAM", \(trust) },
            },
            stream: { dialect: "openai" },
            routes: [{ name: "chat", upstreams: [\(upstreams)] }],
          }
          """
      ) { _ in Waterfall.good("good") }
      setup.tls = TLSServerSettings(identity: try HTTPS.localhost.get())
      try await World.with(setup, body)
      #expect(stranger.requests.isEmpty && old.requests.isEmpty, "nobody is told anything who can't be trusted")
    }

    @Test func `whoever can't be trusted is passed over`() async throws {
      try await Self.withStrangers(#""stranger", "untrusted", "old", "silent", "good""#) { world in
        let result = await world.fetchNew("/x")
        #expect(result.status == 200 && result.outcome == "completed" && result.payloads.count == 4)
        #expect(await eventually { world.gateway.log("attempt_failed").count == 4 })
        let lines = world.gateway.log("attempt_failed")
        #expect(lines.map { $0["upstream"]?.string } == ["stranger", "untrusted", "old", "silent"])
        #expect(lines.map { $0["reason"]?.string } == ["tls_failed", "tls_failed", "tls_failed", "timed_out"])
        #expect(lines.allSatisfy { $0["phase"]?.string == "tls" })
        #expect(lines.prefix(3).allSatisfy { $0["detail"]?.string?.isEmpty == false })
        #expect(world.backend.requests.count == 1)
      }
    }

    @Test func `when nobody can be trusted the answer says so, and no more`() async throws {
      try await Self.withStrangers(#""stranger", "untrusted", "old""#) { world in
        let result = await world.fetchNew("/x")
        #expect(result.status == 503 && result.head.value("Retry-After") == "1")
        let attempts = try JSONValue(parsing: result.text)["attempts"]?.array ?? []
        #expect(attempts.map { $0["reason"]?.string } == ["tls_failed", "tls_failed", "tls_failed"])
        #expect(attempts.allSatisfy { $0["phase"]?.string == "tls" && $0["status"] == nil })
        #expect(!result.text.contains("certificate") && !result.text.contains("127.0.0.1"))
        #expect(world.backend.requests.isEmpty)
      }
    }
  }
}
