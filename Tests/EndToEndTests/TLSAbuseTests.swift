import HTTP2Frames
import Harness
import Loop
import Processes
import RunningGateway
import TLS
import Testing
import Time

private typealias F = Frames

extension EndToEnd {
  /// Hostile clients on a port for TLS beside good ones: before the handshake, in it, and over HTTP/2 after it.
  @Suite struct TLSAbuse {
    /// What a client sends at first, and then again and again.
    struct Attack: Sendable {
      let name: String
      var start: [UInt8] = []
      /// Nothing where the client falls silent.
      var piece: (@Sendable (Int) -> [UInt8])?
      /// How often: 0 is as fast as it goes.
      var pause = Nanoseconds.zero
    }

    /// A ClientHello that asks for TLS 1.3 (RFC 8446, 4.1.2), complete.
    private static let hello: [UInt8] = {
      let extensions =
        part(10, [0, 2, 0, 0x1D]) + part(13, [0, 6, 4, 3, 8, 4, 4, 1]) + part(43, [2, 3, 4])
        + part(51, [0, 36, 0, 0x1D, 0, 32] + [UInt8](repeating: 9, count: 32))
      let body =
        [3, 3] + [UInt8](repeating: 7, count: 32) + [0, 0, 2, 0x13, 1, 1, 0] + length(extensions) + extensions
      return record(22, [1, 0] + length(body) + body)
    }()

    private static func length(_ bytes: [UInt8]) -> [UInt8] { [UInt8(bytes.count >> 8), UInt8(bytes.count & 255)] }
    private static func part(_ type: UInt8, _ bytes: [UInt8]) -> [UInt8] { [0, type] + length(bytes) + bytes }
    private static func record(_ type: UInt8, _ bytes: [UInt8]) -> [UInt8] { [type, 3, 3] + length(bytes) + bytes }

    static let attacks = [
      Attack(name: "silence"),
      Attack(name: "half a hello", start: Array(hello.prefix(60))),
      Attack(name: "a hello byte by byte", piece: { [hello[$0 % hello.count]] }, pause: .milliseconds(100)),
      Attack(name: "a hello and nothing behind it", start: hello),
      Attack(name: "garbage", start: (0..<400).map { UInt8(truncatingIfNeeded: $0 &* 97 | 0x80) }),
      Attack(name: "records without a byte", piece: { _ in record(22, []) }),
      Attack(name: "changes of the cipher", start: hello, piece: { _ in record(20, [1]) }),
      Attack(name: "warnings", piece: { _ in record(21, [1, 90]) }),
      Attack(name: "a record that is too long", start: [22, 3, 1, 0xFF, 0xFF]),
      Attack(name: "a hello without end", start: record(22, [1, 0xFF, 0xFF, 0xFF])) { _ in
        record(22, [UInt8](repeating: 0, count: 16_384))
      },
      Attack(name: "data in place of a handshake", piece: { _ in record(23, [UInt8](repeating: 0x61, count: 1000)) }),
      Attack(name: "plain HTTP", start: Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8)),
      Attack(name: "HTTP/2 without TLS", start: F.start),
    ]

    /// - Returns: what was wrong with its end.
    private static func play(_ attack: Attack, on address: SocketAddress) -> String? {
      let limit = SystemClock.now + .seconds(5)
      guard let connection = try? RawConnection(to: address) else { return "\(attack.name): no connection" }
      connection.send(attack.start)
      var index = 0
      while SystemClock.now < limit {
        if let piece = attack.piece {
          let count = attack.pause == .zero ? 20 : 1
          connection.send((0..<count).flatMap { piece(index + $0) })
          index += count
        }
        _ = connection.take(65_536, seconds: attack.piece == nil ? 0.1 : attack.pause.seconds)
        if connection.end == .reset || connection.end == .finished { return nil }
      }
      return "\(attack.name): it was not ended"
    }

    /// Begins one handshake after another for 4 s, and waits for no answer but the first bytes.
    ///
    /// - Returns: how many.
    private static func shakeHands(with address: SocketAddress) -> Int {
      let limit = SystemClock.now + .seconds(4)
      var count = 0
      while SystemClock.now < limit {
        guard let connection = try? RawConnection(to: address) else { continue }
        connection.send(hello)
        _ = connection.take(1, seconds: 1)
        connection.reset()
        count += 1
      }
      return count
    }

    private static func transport() throws -> ClientTransport {
      var tls = TLSClientSettings()
      tls.roots = try HTTPS.certificates.get().roots
      tls.protocols = ["h2"]
      return ClientTransport(tls: try TLSContext(client: tls), speaksHTTP2: true)
    }

    /// Sends so much of what HTTP/2's hostile clients send that it must be ended before all of it is read.
    private static func flood(_ attack: HTTP2Abuse.Attack, in world: World, _ tls: TLSContext?) async -> String? {
      guard let piece = attack.piece else { return nil }
      var request = ClientRequest("GET")
      request.raw = F.start + F.settingsAcknowledgement + attack.start + (0..<4000).flatMap { piece($0) }
      var behaviour = ClientBehaviour()
      behaviour.tls = tls
      behaviour.speaksHTTP2 = false
      behaviour.timeout = .seconds(5)
      let result = await world.clients.fetch(request, from: world.gateway.address, behaviour: behaviour)
      // A reset may have come in the place of what was written to it.
      switch result.end {
      case .reset, .truncated, .malformed: return nil
      case .clean, .hungUp, .timedOut, .unreachable: return "\(attack.name) over TLS: \(result.end)"
      }
    }

    @Test func `hostile clients are ended within 5 s, and 500 good streams come whole`() async throws {
      let identity = try HTTPS.localhost.get()
      let setup = World.Setup(settings: [
        "tls.cert": identity.certificate, "tls.key": identity.key, "workers": "1", "limits.headTimeout": "2s",
        "limits.keepAliveTimeout": "1s",
      ])
      try await World.with(setup) { world in
        let (address, transport) = (world.gateway.address, try Self.transport())
        async let report = Bystanders.read(address, seconds: 5, over: transport)
        // The good ones are there by then.
        let areThere = await eventually {
          await world.gateway.metric("ai_stream_connections_active") == Double(Bystanders.streams)
        }
        #expect(areThere)
        let faults = try await withThrowingTaskGroup(of: String?.self) { group in
          for attack in Self.attacks {
            group.addTask { try await Bystanders.blocking { Self.play(attack, on: address) } }
          }
          group.addTask {
            let count = try await Bystanders.blocking { Self.shakeHands(with: address) }
            // Each waits for the gateway's answer: how many there are says how busy the machine is.
            return count > 10 ? nil : "only \(count) handshakes were begun"
          }
          for attack in HTTP2Abuse.attacks where attack.reads {
            group.addTask { await Self.flood(attack, in: world, transport.tls) }
          }
          return try await group.reduce(into: [String]()) { if let fault = $1 { $0.append(fault) } }
        }
        #expect(faults.isEmpty, "\(faults.joined(separator: "; "))")
        let good = try await report
        #expect(good.failures == 0 && good.streams >= Bystanders.streams, "\(good.failures) of \(good.streams)")
        #expect(await world.gateway.metric("fermata_tls_handshakes_total", ["result": "plain_http"]) == 1)
      }
    }
  }
}
