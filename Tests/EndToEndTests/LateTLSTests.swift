import Harness
import JSON
import Loop
import RunningGateway
import TLS
import Testing
import Time

extension EndToEnd {
  /// TLS that fails once the request is on its way: it is sent again where it was refused, not where it may have begun.
  @Suite struct LateTLS {
    private static func configuration(_ first: String, _ members: String = "") throws -> String {
      let roots = try HTTPS.certificates.get().roots
      return """
        {
          defaults: { budget: "20s", health: { failures: 0 } },
          upstreams: {
            a: { url: "\(first)", tls: { roots: "\(roots)", \(members) } },
            b: { url: "UPSTREAM", tls: { roots: "\(roots)" } },
          },
          routes: [{ name: "all", upstreams: ["a", "b"] }],
        }
        """
    }

    /// The second upstream is good; `first` is the URL of the other.
    private static func with(
      _ first: String, _ members: String = "", _ body: (World) async throws -> Void
    ) async throws {
      var setup = World.Setup(
        settings: ["workers": "1"], configuration: try configuration(first, members)
      ) { _ in .plain(Array("second".utf8)) }
      setup.tls = TLSServerSettings(identity: try HTTPS.localhost.get())
      try await World.with(setup, body)
    }

    private static let call = ClientRequest("POST", "/x", body: Array("{}".utf8))

    @Test func `a call whose connection fails in TLS after it was sent is not made again`() async throws {
      let slow = try ScriptedBackend.start(tls: TLSServerSettings(identity: try HTTPS.localhost.get())) { _ in
        Script([.stall])
      }
      let relay = try SwitchingRelay(to: Int(slow.address.port))
      defer {
        relay.stop()
        slow.stop()
      }
      // A record that nobody has the key of.
      let record: [UInt8] = [0x17, 3, 3, 0, 32] + [UInt8](repeating: 9, count: 32)
      try await Self.with("https://127.0.0.1:\(relay.port)") { world in
        async let answer = world.send(Self.call)
        #expect(await eventually { slow.requests.count == 1 && slow.requests[0].bodyLength == 2 })
        relay.inject(record)
        let refused = await answer
        #expect(refused.status == 502)
        let problem = try JSONValue(parsing: refused.text)
        #expect(problem["code"]?.string == "not_repeated")
        #expect(world.backend.requests.isEmpty && slow.requests.count == 1)
        // One without an effect is.
        async let read = world.send(ClientRequest("GET", "/x"))
        #expect(await eventually { slow.requests.count == 2 })
        relay.inject(record)
        #expect(await read.text == "second")
        #expect(
          await eventually { world.gateway.failedAttempts.map { $0["reason"]?.string } == ["cut", "cut"] })
      }
    }

    @Test(arguments: [TLSVersion.version12, .version13], ["none", "stranger"])
    func `a call is made again when a backend refuses whom the gateway shows itself to be`(
      version: TLSVersion, shown: String
    ) async throws {
      var settings = TLSServerSettings(identity: try HTTPS.localhost.get())
      settings.clientRoots = try HTTPS.certificates.get().roots
      settings.newestVersion = version
      let strict = try ScriptedBackend.start(tls: settings) { _ in .plain(Array("first".utf8)) }
      defer { strict.stop() }
      let stranger = try TestCertificates().identity("stranger")
      let members = shown == "none" ? "" : "certificate: \"\(stranger.certificate)\", key: \"\(stranger.key)\""
      try await Self.with(strict.url, members) { world in
        for _ in 0..<3 { #expect(await world.send(Self.call).text == "second") }
        #expect(strict.requests.isEmpty && world.backend.requests.count == 3)
        #expect(await eventually { world.gateway.failedAttempts.count == 3 })
        #expect(world.gateway.failedAttempts.allSatisfy { $0["reason"]?.string == "tls_failed" })
        let lines = world.gateway.log("attempt_failed")
        let alerts = ["alert 116, certificate_required", "alert 40, handshake_failure", "alert 48, unknown_ca"]
        let details = lines.compactMap { $0["detail"]?.string }
        #expect(
          !details.isEmpty && details.allSatisfy { detail in alerts.contains { detail.contains($0) } }, "\(details)")
      }
    }
  }
}
