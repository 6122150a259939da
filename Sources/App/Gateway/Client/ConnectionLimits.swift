/// How many connections each loop may have.
package struct ConnectionLimits: Equatable, Sendable {
  package let clients: Int
  package let upstreams: Int

  /// Descriptors for the rest: listeners, files, the store, health checks, second addresses of a dial.
  private static let reserve = 100

  /// - Parameters:
  ///   - descriptors: what the process may open.
  ///   - clients: the configured number for all loops; 0 means just under half of the descriptors.
  ///   - upstreams: the same; 0 means what clients leave.
  ///   - loops: which share all that.
  package init(descriptors: Int, clients: Int, upstreams: Int, loops: Int) {
    let allClients = clients > 0 ? clients : max(16, descriptors / 2 - Self.reserve)
    let rest = max(16, descriptors - min(descriptors, allClients) - Self.reserve)
    self.clients = max(1, allClients / loops)
    self.upstreams = max(1, (upstreams > 0 ? upstreams : rest) / loops)
  }
}
