import Harness
import Loop
import Matrix
import Processes
import Time

/// The backend, the gateway, and the servers between it and clients.
final class MatrixStage: Sendable {
  private let plays: MatrixPlays
  let backend: ScriptedBackend
  let gateway: MatrixGateway
  let clients: ClientLoop
  private let folder: TemporaryDirectory
  private let proxies: [String: MatrixProxy]

  private init(
    plays: MatrixPlays, backend: ScriptedBackend, gateway: MatrixGateway, folder: TemporaryDirectory
  ) async throws {
    (self.plays, self.backend, self.gateway, self.folder) = (plays, backend, gateway, folder)
    clients = try ClientLoop.start()
    proxies = await MatrixProxy.all(in: folder, to: gateway.address, clients: clients)
  }

  static func build() async throws -> MatrixStage {
    SignalWatch.ignoreBrokenPipes()
    let folder = try TemporaryDirectory(prefix: "fermata-matrix")
    do {
      let plays = MatrixPlays()
      let backend = try ScriptedBackend.start { request in plays.script(for: request) }
      let gateway = try await MatrixGateway.start(backend: backend.url, in: folder)
      return try await MatrixStage(plays: plays, backend: backend, gateway: gateway, folder: folder)
    } catch {
      folder.remove()
      throw error
    }
  }

  func strike() async {
    for proxy in proxies.values { proxy.stop() }
    gateway.stop()
    clients.stop()
    backend.stop()
    folder.remove()
  }

  /// A file for what a client's program writes to standard error.
  func errorFile(of client: String) -> String { folder.path + "/\(client).errors" }

  /// Registers what the backend does for the next cell.
  ///
  /// - Returns: the cell's mark, a part of its path.
  func register(_ play: Play) -> String { plays.add(play) }

  /// Where clients reach the gateway, or why they can't.
  func address(over transport: String) -> Result<SocketAddress, MatrixFailure> {
    if transport == "h1" { return .success(gateway.address) }
    if transport == "bare" { return .success(backend.address) }
    guard let proxy = proxies[transport] else {
      return .failure(MatrixFailure("\(transport) is not installed"))
    }
    return .success(proxy.address)
  }

  func backendWitness(of mark: String) -> BackendWitness {
    let requests = backend.requests.filter { $0.path.contains(mark) && MatrixPlays.mark(in: $0.path) == mark }
    return BackendWitness(
      requests: requests.count,
      ends: requests.map { request in
        switch request.state {
        case .finished(let end): end.rawValue
        // Which of both it is by now is a matter of milliseconds.
        case .abandoned, .receiving, .playing: "unfinished"
        }
      })
  }
}
