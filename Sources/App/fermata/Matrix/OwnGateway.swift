import Matrix
import Processes

/// A gateway for one cell, because what happens to it would happen to others.
struct OwnGateway {
  let gateway: MatrixGateway
  private let folder: TemporaryDirectory

  /// - Parameter action: what will happen to it.
  static func start(backend: String, for action: Behaviour.Action) async throws -> OwnGateway {
    let folder = try TemporaryDirectory(prefix: "fermata-matrix")
    do {
      var store: MatrixStore?
      if action == .loseStore {
        store = try await MatrixStore.start(in: folder)
        if store == nil { throw MatrixMissing("redis-server is not installed") }
      }
      return OwnGateway(
        gateway: try await MatrixGateway.start(backend: backend, in: folder, store: store), folder: folder)
    } catch {
      folder.remove()
      throw error
    }
  }

  func stop() {
    gateway.stop()
    folder.remove()
  }
}
