import Processes

/// A gateway for one cell, because what happens to it would happen to others.
struct OwnGateway {
  let gateway: MatrixGateway
  private let folder: TemporaryDirectory

  static func start(backend: String) async throws -> OwnGateway {
    let folder = try TemporaryDirectory(prefix: "fermata-matrix")
    do {
      return OwnGateway(gateway: try await MatrixGateway.start(backend: backend, in: folder), folder: folder)
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
