/// How many connections each loop may have, so that descriptors are left for operators: `/healthz` and `/metrics` answer
/// when no client finds room.
package struct ConnectionLimits: Equatable, Sendable {
  package let clients: Int
  package let upstreams: Int
  /// Connections for which there was no room, while they take their answer.
  package let refused: Int

  /// Descriptors that clients and backends leave at least, where the process may open that many.
  private static let usualReserve = 100
  /// For operators, and what is open for a moment: files, checks, second addresses of a dial.
  private static let spare = 16
  /// Clients at once for whom there is always room; and as many connections to backends.
  private static let floor = 16
  private static let mostRefused = 16

  /// - Parameters:
  ///   - descriptors: what the process may open.
  ///   - clients: the configured number for all loops, of which no more are taken than leave room for the rest; 0 means
  ///     just under half of the descriptors.
  ///   - upstreams: the same; 0 means what clients leave.
  ///   - loops: which share all that.
  ///   - listeners: at which each of them listens.
  package init(descriptors: Int, clients: Int, upstreams: Int, loops: Int, listeners: Int = 1) {
    let allRefused = max(loops, min(Self.mostRefused * loops, descriptors / 16))
    let reserve = max(Self.usualReserve, Self.own(loops: loops, listeners: listeners) + allRefused + Self.spare)
    let most = max(Self.floor, descriptors - reserve - Self.floor)
    let allClients = min(most, clients > 0 ? clients : max(Self.floor, descriptors / 2 - reserve))
    let rest = max(Self.floor, descriptors - allClients - reserve)
    self.clients = max(1, allClients / loops)
    self.upstreams = max(1, (upstreams > 0 ? min(upstreams, rest) : rest) / loops)
    refused = allRefused / loops
  }

  /// The fewest descriptors with which the process can serve clients and operators.
  package static func least(loops: Int, listeners: Int) -> Int {
    let all = own(loops: loops, listeners: listeners) + 2 * max(floor, loops) + spare
    // With those that are refused, a sixteenth.
    return max(all + loops, (all * 16 + 14) / 15)
  }

  /// What is open before the first client comes, and for name servers and the store: 29 with one loop, 36 with two.
  private static func own(loops: Int, listeners: Int) -> Int { 24 + loops * (7 + 2 * listeners) }
}
