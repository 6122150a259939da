import Harness
import Loop
import Matrix
import Processes
import TLS
import Time

/// The backend, the gateway, and the servers between it and clients.
final class MatrixStage: Sendable {
  private let plays: MatrixPlays
  let backend: ScriptedBackend
  let gateway: MatrixGateway
  let clients: ClientLoop
  private let folder: TemporaryDirectory
  private let certificates: TestCertificates
  private let identity: TLSIdentity
  private let proxies: [String: MatrixProxy]

  private init(
    plays: MatrixPlays, backend: ScriptedBackend, gateway: MatrixGateway, folder: TemporaryDirectory,
    certificates: TestCertificates, identity: TLSIdentity
  ) async throws {
    (self.plays, self.backend, self.gateway, self.folder) = (plays, backend, gateway, folder)
    (self.certificates, self.identity) = (certificates, identity)
    clients = try ClientLoop.start()
    proxies = await MatrixProxy.all(in: folder, to: gateway.address, clients: clients)
  }

  static func build() async throws -> MatrixStage {
    SignalWatch.ignoreBrokenPipes()
    let folder = try TemporaryDirectory(prefix: "fermata-matrix")
    var certificates: TestCertificates?
    do {
      let made = try TestCertificates()
      certificates = made
      let identity = try made.identity()
      let plays = MatrixPlays()
      let backend = try ScriptedBackend.start { request in plays.script(for: request) }
      let gateway = try await MatrixGateway.start(backend: backend.url, in: folder, identity: identity)
      return try await MatrixStage(
        plays: plays, backend: backend, gateway: gateway, folder: folder, certificates: made, identity: identity)
    } catch {
      folder.remove()
      certificates?.remove()
      throw error
    }
  }

  func strike() async {
    for proxy in proxies.values { proxy.stop() }
    gateway.stop()
    clients.stop()
    backend.stop()
    folder.remove()
    certificates.remove()
  }

  /// The authority's certificate, which clients over TLS have to trust.
  var roots: String { certificates.roots }

  /// What makes clients' programs trust the gateway, as far as their runtimes ask their surroundings. The last one is for
  /// a browser, which is told which certificate it may take.
  var surroundings: [String: String] {
    [
      "SSL_CERT_FILE": roots, "NODE_EXTRA_CA_CERTS": roots, "REQUESTS_CA_BUNDLE": roots,
      "FERMATA_MATRIX_CERTIFICATE": identity.certificate,
    ]
  }

  /// What the runner's own clients speak over a transport.
  func carrier(_ transport: MatrixTransport) throws -> ClientTransport {
    guard transport.wire.isSecure else { return ClientTransport() }
    var settings = TLSClientSettings()
    let isHTTP2 = transport.wire == .http2
    (settings.roots, settings.protocols) = (roots, [isHTTP2 ? "h2" : "http/1.1"])
    return ClientTransport(tls: try TLSContext(client: settings), speaksHTTP2: isHTTP2)
  }

  /// A relay in front of an address of the gateway, which speaks on both sides what the transport does.
  func relay(over transport: MatrixTransport, to address: SocketAddress, cuttingBehind text: String) throws
    -> CuttingRelay
  {
    guard transport.wire.isSecure else { return try CuttingRelay.start(to: address, cuttingBehind: text) }
    var near = TLSServerSettings(identity: identity)
    near.protocols = transport.wire == .http2 ? ["h2", "http/1.1"] : ["http/1.1"]
    var far = TLSClientSettings()
    far.roots = roots
    return try CuttingRelay.start(
      to: address, cuttingBehind: text, over: RelaySecurity(near: TLSContext(server: near), far: far))
  }

  /// A file for what a client's program writes to standard error.
  func errorFile(of client: String) -> String { folder.path + "/\(client).errors" }

  /// Registers what the backend does for the next cell.
  ///
  /// - Returns: the cell's mark, a part of its path.
  func register(_ play: Play) -> String { plays.add(play) }

  /// Where clients reach the gateway, or why they can't.
  func address(over transport: MatrixTransport) throws(MatrixMissing) -> SocketAddress {
    if transport == .direct { return gateway.address }
    if transport.isBare { return backend.address }
    guard let address = gateway.secureAddresses[transport.id] ?? proxies[transport.id]?.address else {
      throw MatrixMissing("\(transport.id) is not installed")
    }
    return address
  }

  private func requests(of mark: String) -> [RecordedRequest] {
    backend.requests.filter { $0.path.contains(mark) && MatrixPlays.mark(in: $0.path) == mark }
  }

  /// Whether the backend has not yet come to an end with the cell.
  func isPlaying(_ mark: String) -> Bool { requests(of: mark).contains(where: \.isOpen) }

  func backendWitness(of mark: String) -> BackendWitness {
    let requests = requests(of: mark)
    return BackendWitness(
      requests: requests.count,
      ends: requests.map { request in
        switch request.state {
        case .finished(let end): end.rawValue
        // Which of both a client that left makes of it is a matter of milliseconds.
        case .abandoned, .receiving, .playing: "unfinished"
        }
      })
  }
}
