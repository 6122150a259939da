import Harness
import JSON
import Loop
import Processes
import RunningGateway
import TLS
import Testing
import Time

extension EndToEnd {
  /// Each rule for clients' certificates against each kind of client, as OpenSSL's own client sees it.
  @Suite struct ClientCertificateMatrix {
    /// What becomes of a connection.
    private enum Fate: Equatable, CustomStringConvertible {
      /// Served; the backend is told of no certificate.
      case anonymous
      /// Served; the backend gets the certificate.
      case named
      /// The gateway ends the handshake with that alert (RFC 8446, section 6.2).
      case refused(alert: Int)

      var description: String {
        switch self {
        case .anonymous: "served without Client-Cert"
        case .named: "served with Client-Cert"
        case .refused(let alert): "refused with alert \(alert)"
        }
      }
    }

    private enum Version: String, CaseIterable, Sendable {
      case old = "-tls1_2"
      case new = "-tls1_3"

      /// Where a certificate is required and none comes: handshake_failure, and since TLS 1.3 certificate_required.
      var refusesNone: Fate { .refused(alert: self == .old ? 40 : 116) }
    }

    private enum Rule: String, CaseIterable { case none, request, require }

    private static let expired = Fate.refused(alert: 45)
    private static let unknownAuthority = Fate.refused(alert: 48)

    /// What a client shows, and what each rule makes of it.
    private struct Row {
      let name: String
      let identity: TLSIdentity?
      let fates: [Rule: Fate]
    }

    private static func rows(_ version: Version) throws -> [Row] {
      let own = try HTTPS.certificates.get()
      let (stranger, names) = (try TestCertificates(authority: "Another authority"), "DNS:client.example")
      return [
        Row(
          name: "no certificate", identity: nil,
          fates: [.none: .anonymous, .request: .anonymous, .require: version.refusesNone]),
        Row(
          name: "a good one", identity: try good.get(), fates: [.none: .anonymous, .request: .named, .require: .named]),
        Row(
          name: "an expired one", identity: try own.identity("late", for: names, days: -1),
          fates: [.none: .anonymous, .request: expired, .require: expired]),
        Row(
          name: "one of another root", identity: try stranger.identity("client", for: names),
          fates: [.none: .anonymous, .request: unknownAuthority, .require: unknownAuthority]),
      ]
    }

    private static let good = Result {
      try HTTPS.certificates.get().identity("matrix", for: "DNS:client.example")
    }

    // MARK: - The gateway

    /// One gateway whose listeners show the same certificate and differ in their rule only.
    private static func setup() throws -> World.Setup {
      let (identity, roots) = (try HTTPS.localhost.get(), try HTTPS.certificates.get().roots)
      func tls(_ rule: Rule) -> String {
        let own = "cert: \"\(identity.certificate)\", key: \"\(identity.key)\""
        return rule == .none
          ? "{ \(own) }" : "{ \(own), clientCertificates: \"\(rule.rawValue)\", clientRoots: \"\(roots)\" }"
      }
      return World.Setup(
        settings: ["workers": "4", "limits.headTimeout": "3s"],
        configuration: """
          {
            upstream: "UPSTREAM",
            tls: \(tls(.none)),
            listeners: [
              { address: "127.0.0.1:0", tls: \(tls(.request)) }, { address: "127.0.0.1:0", tls: \(tls(.require)) },
            ],
          }
          """)
    }

    private static func addresses(_ world: World) throws -> [Rule: SocketAddress] {
      let others = world.gateway.log("started").first?["listeners"]?.string?.split(separator: ", ") ?? []
      let parsed = others.compactMap { SocketAddress(parsing: String($0)) }
      try #require(parsed.count == 2)
      return [.none: world.gateway.address, .request: parsed[0], .require: parsed[1]]
    }

    // MARK: - A client

    private struct Seen {
      let fate: Fate?
      let isResumed: Bool
      let text: String
    }

    private struct Play {
      let world: World
      let version: Version
      let folder: ScratchDirectory

      /// Connects, asks for a stream where that is to be served, and tells what came of it.
      func connect(
        to address: SocketAddress, showing identity: TLSIdentity?, expecting fate: Fate, keeping kept: String? = nil,
        resuming session: String? = nil
      ) throws -> Seen {
        var command = [
          "openssl", "s_client", "-connect", "\(address)", "-servername", "localhost", "-ign_eof", version.rawValue,
          "-CAfile", try HTTPS.certificates.get().roots,
        ]
        if let identity { command += ["-cert", identity.certificate, "-key", identity.key] }
        if let kept { command += ["-sess_out", folder[kept]] }
        if let session { command += ["-sess_in", folder[session]] }
        let before = world.backend.requests.count
        let tool = try ChildProcess(["sh", "-c", "exec \"$@\" 2>&1", "sh"] + command)
        // A request that meets the end of a refused connection could hide the alert.
        if fate == .anonymous || fate == .named {
          _ = tool.write(
            line: "GET /script?events=1 HTTP/1.1\r\nHost: a\r\nClient-Cert: :AAAA:\r\nConnection: close\r\n\r")
        }
        var lines: [String] = []
        while let line = tool.readLine(timeout: .seconds(20)) { lines.append(line) }
        tool.stop()
        return Seen(
          fate: self.fate(lines, world.backend.requests.dropFirst(before)),
          isResumed: lines.contains { $0.contains("Reused, TLS") }, text: lines.joined(separator: "\n"))
      }

      private func fate(_ lines: [String], _ requests: ArraySlice<RecordedRequest>) -> Fate? {
        if let alert = lines.compactMap({ $0.split(separator: "SSL alert number ").dropFirst().first }).first {
          return requests.isEmpty ? Int(alert).map { .refused(alert: $0) } : nil
        }
        guard requests.count == 1, let request = requests.first,
          lines.contains(where: { $0.contains("HTTP/1.1 200 ") })
        else { return nil }
        let certificates = request.head.fields.filter { $0.name.lowercased() == "client-cert" }.map(\.value)
        if certificates.isEmpty { return .anonymous }
        return certificates.count == 1 && certificates[0].count > 100 ? .named : nil
      }
    }

    private static func judge(_ seen: Seen, _ fate: Fate, isResumed: Bool = false, _ cell: String) {
      #expect(seen.fate == fate, "\(cell): it must be \(fate)\n\(seen.text)")
      #expect(seen.isResumed == isResumed, "\(cell)\n\(seen.text)")
    }

    @Test(arguments: Version.allCases)
    private func `each rule refuses and names whom it must, over sessions from elsewhere too`(version: Version)
      async throws
    {
      try await World.with(Self.setup()) { world in
        let play = Play(world: world, version: version, folder: try ScratchDirectory())
        let addresses = try Self.addresses(world)
        for row in try Self.rows(version) {
          for (rule, address) in addresses {
            let fate = try #require(row.fates[rule])
            let seen = try play.connect(to: address, showing: row.identity, expecting: fate)
            Self.judge(seen, fate, "\(rule) and \(row.name)")
          }
        }
        try await Self.resume(in: play, at: addresses)
      }
    }

    /// Sessions that were made at one worker, listener or time, and are taken up or not at another.
    private static func resume(in play: Play, at addresses: [Rule: SocketAddress]) async throws {
      let identity = try good.get()
      let own: [Rule: Fate] = [.none: .anonymous, .request: .named, .require: .named]
      for (rule, address) in addresses {
        let fate = try #require(own[rule])
        let seen = try play.connect(to: address, showing: identity, expecting: fate, keeping: rule.rawValue)
        judge(seen, fate, "\(rule), which gives a session")
      }
      let none = try play.connect(
        to: try #require(addresses[.request]), showing: nil, expecting: .anonymous, keeping: "nameless")
      judge(none, .anonymous, "request, which gives a session without a certificate")
      for isReloaded in [false, true] {
        if isReloaded {
          play.world.gateway.signal(1)
          let isDone = await eventually { play.world.gateway.logText.contains("configuration_reloaded") }
          #expect(isDone)
        }
        let time = isReloaded ? "after a reload" : "at any worker"
        let unshown: [Rule: Fate] = [.none: .anonymous, .request: .anonymous, .require: play.version.refusesNone]
        for (rule, address) in addresses {
          // The certificate of the session counts, though it is not shown again.
          let fate = try #require(own[rule])
          let seen = try play.connect(to: address, showing: nil, expecting: fate, resuming: rule.rawValue)
          judge(seen, fate, isResumed: true, "\(rule) and a session of its own \(time)")
          for other in Rule.allCases.map(\.rawValue) + ["nameless"] where other != rule.rawValue {
            if rule == .request, other == "nameless" { continue }
            let fate = try #require(unshown[rule])
            let seen = try play.connect(to: address, showing: nil, expecting: fate, resuming: other)
            judge(seen, fate, "\(rule) and a session of \"\(other)\" \(time)")
          }
        }
      }
    }
  }
}
