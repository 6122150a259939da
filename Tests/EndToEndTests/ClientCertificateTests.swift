import Harness
import JSON
import Loop
import Processes
import RunningGateway
import TLS
import Testing
import Time

extension EndToEnd {
  /// Clients that show a certificate, and what is made of it.
  @Suite struct ClientCertificates {
    private static func setup(
      _ variant: String = "graceful", tls: [String: String] = [:], settings: [String: String] = [:]
    ) throws -> World.Setup {
      let identity = try HTTPS.localhost.get()
      var all = ["tls.cert": identity.certificate, "tls.key": identity.key]
      all["tls.clientCertificates"] = "request"
      all["tls.clientRoots"] = try HTTPS.certificates.get().roots
      for (name, value) in tls { all["tls." + name] = value }
      return World.Setup(variant: variant, settings: all.merging(settings) { $1 })
    }

    private static func behaviour(_ identity: TLSIdentity?, http2: Bool = false) throws -> ClientBehaviour {
      var settings = TLSClientSettings()
      settings.roots = try HTTPS.certificates.get().roots
      settings.identity = identity
      if http2 { settings.protocols = ["h2"] }
      var behaviour = ClientBehaviour()
      behaviour.tls = try TLSContext(client: settings)
      behaviour.speaksHTTP2 = http2
      return behaviour
    }

    private static func agent(_ name: String = "agent") throws -> TLSIdentity {
      try HTTPS.certificates.get().identity(name, for: "URI:spiffe://example/\(name),DNS:\(name).example")
    }

    private static func fields(_ world: World, _ name: String) -> [[String]] {
      world.backend.requests.map { request in
        request.head.fields.filter { $0.name.lowercased() == name }.map(\.value)
      }
    }

    private static let asks = ClientRequest(
      "GET", "/script?events=3&complete=complete",
      fields: [
        .acceptsEvents, .prefersStreamEnd, Script.Field("Client-Cert", ":AAAA:"),
        Script.Field("Client-Cert-Chain", ":BBBB:"), Script.Field("Client_Cert", ":CCCC:"),
      ])

    private static func text(_ file: String) throws -> String {
      let tool = try ChildProcess(["cat", file])
      var text = ""
      while let line = tool.readLine(timeout: .seconds(60)) { text += line + "\n" }
      _ = tool.wait(timeout: .seconds(10))
      return text
    }

    /// The certificate's bytes as OpenSSL writes them.
    private static func encoded(_ identity: TLSIdentity) throws -> String {
      let tool = try ChildProcess(["openssl", "x509", "-in", identity.certificate, "-outform", "PEM"])
      var text = ""
      while let line = tool.readLine(timeout: .seconds(60)) { if !line.hasPrefix("-----") { text += line } }
      _ = tool.wait(timeout: .seconds(10))
      return ":\(text):"
    }

    @Test(arguments: [false, true])
    func `a backend gets the certificate that was shown, and nothing that was said`(http2: Bool) async throws {
      let agent = try Self.agent()
      try await World.with(Self.setup()) { world in
        // The second takes up the session of the first, and the third shows none.
        let shown = try Self.behaviour(agent, http2: http2)
        for behaviour in [shown, shown, try Self.behaviour(nil, http2: http2)] {
          let result = await world.clients.fetch(Self.asks, from: world.gateway.address, behaviour: behaviour)
          #expect(result.status == 200 && result.end == .clean, "\(result.end)")
        }
        let encoded = try Self.encoded(agent)
        #expect(Self.fields(world, "client-cert") == [[encoded], [encoded], []])
        #expect(Self.fields(world, "client-cert-chain") == [[], [], []])
        #expect(Self.fields(world, "client_cert") == [[], [], []])
        let areTold = await eventually { world.gateway.log("request_done").count == 3 }
        #expect(areTold)
        for line in world.gateway.log("request_done") {
          #expect(line["tls"]?.string == "TLSv1.3" && line["cipher"]?.string?.hasPrefix("TLS_") == true)
          #expect(line["alpn"]?.string == (http2 ? "h2" : nil))
        }
      }
    }

    @Test func `without TLS what a client says is removed as well, from a trusted peer too`() async throws {
      let text = "{ upstream: \"UPSTREAM\", trustedProxies: [\"127.0.0.1\"] }"
      try await World.with(World.Setup(variant: "graceful", configuration: text)) { world in
        #expect(await world.clients.fetch(Self.asks, from: world.gateway.address, behaviour: .plain).status == 200)
        #expect(Self.fields(world, "client-cert") == [[]] && Self.fields(world, "client-cert-chain") == [[]])
        let isTold = await eventually { world.gateway.log("request_done").count == 1 }
        #expect(isTold && world.gateway.log("request_done").first?["tls"] == nil)
      }
    }

    @Test func `the chain is passed on where that is wanted, and sessions are not taken up then`() async throws {
      let own = try HTTPS.certificates.get()
      let agent = try Self.agent()
      // Whoever signs is sent behind the client's own, and somebody else, who is passed on to nobody.
      let folder = try ScratchDirectory()
      let others = [try TestCertificates().roots, own.roots]
      folder.write("chain.pem", try ([agent.certificate] + others).map(Self.text).joined())
      let bundle = TLSIdentity(certificate: folder["chain.pem"], key: agent.key)
      try await World.with(Self.setup(tls: ["clientChain": "true"])) { world in
        let behaviour = try Self.behaviour(bundle)
        for _ in 0..<3 {
          let result = await world.clients.fetch(Self.asks, from: world.gateway.address, behaviour: behaviour)
          #expect(result.status == 200 && !result.isResumed)
        }
        let root = try Self.encoded(TLSIdentity(certificate: own.roots, key: ""))
        #expect(Self.fields(world, "client-cert") == [[String]](repeating: [try Self.encoded(agent)], count: 3))
        #expect(Self.fields(world, "client-cert-chain") == [[String]](repeating: [root], count: 3))
      }
    }

    @Test(arguments: [
      ("subject", "CN=agent"), ("san", "URI:spiffe://example/agent"),
    ])
    func `a name of the certificate is the client's identity for the flag`(kind: String, name: String) async throws {
      let (agent, other) = (try Self.agent(), try Self.agent("other"))
      try await World.with(Self.setup("legacy", settings: ["identity.certificate": kind])) { world in
        let rule = """
          {"if":[{"===":[{"var":"targetingKey"},"\(name)"]},"graceful","legacy"]}
          """
        let flags = FlagFile.document("legacy", targeting: rule, version: "keyed")
        #expect(await world.setFlags(flags, version: "keyed"))
        for (identity, mode) in [(agent, "graceful"), (other, "legacy"), (nil, "legacy")] as [(TLSIdentity?, String)] {
          let result = await world.clients.fetch(
            Self.asks, from: world.gateway.address, behaviour: try Self.behaviour(identity))
          #expect(result.mode == mode, "\(result.head)")
        }
      }
    }

    @Test func `a run belongs to the client that the certificate names`() async throws {
      let (agent, other) = (try Self.agent(), try Self.agent("other"))
      let identity = try HTTPS.localhost.get()
      let text = """
        {
          runs: { principalCertificate: "san" },
          upstreams: { app: { url: "UPSTREAM" } },
          routes: [{ name: "app", upstreams: "app", runs: {} }],
          tls: {
            cert: "\(identity.certificate)", key: "\(identity.key)", clientCertificates: "request",
            clientRoots: "\(try HTTPS.certificates.get().roots)",
          },
        }
        """
      try await World.with(World.Setup(variant: "graceful", configuration: text)) { world in
        let first = await world.clients.fetch(
          Self.asks, from: world.gateway.address, behaviour: try Self.behaviour(agent))
        let id = try #require(first.head.value("X-Stream-Id"))
        #expect(first.status == 200)
        let look = ClientRequest("GET", "/api/agents/run/\(id)")
        for (identity, status) in [(agent, 200), (other, 404), (nil, 404)] as [(TLSIdentity?, Int)] {
          let result = await world.clients.fetch(
            look, from: world.gateway.address, behaviour: try Self.behaviour(identity))
          #expect(result.status == status, "\(result.text)")
        }
      }
    }
  }
}
