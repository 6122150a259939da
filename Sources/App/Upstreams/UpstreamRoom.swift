/// How many connections to backends one loop may have: in use, kept for the next request or being made.
///
/// They have a limit apart from that of clients, because a run without readers has no client. Confined to its loop.
package final class UpstreamRoom {
  package let limit: Int
  package private(set) var count = 0
  private var keepers: [any ConnectionKeeper] = []
  /// Ends what is read for the shadow alone; returns false when there was nothing.
  private let endSpareReading: () -> Bool

  package init(limit: Int, endSpareReading: @escaping () -> Bool) {
    self.limit = limit
    self.endSpareReading = endSpareReading
  }

  /// A connection has begun to be made, or is open.
  package func upstreamBegan() { count += 1 }
  package func upstreamEnded() { count -= 1 }

  /// `keeper` keeps connections for later requests from now on.
  package func add(_ keeper: any ConnectionKeeper) { keepers.append(keeper) }
  package func remove(_ keeper: any ConnectionKeeper) { keepers.removeAll { $0 === keeper } }

  /// Whether a request that needs a connection to a backend may go on. Kept connections count as free: they are used, or
  /// closed to make room. What is read for the shadow alone has to make room too.
  package var admitsRequest: Bool { hasRoom || (endSpareReading() && hasRoom) }
  private var hasRoom: Bool { count - keepers.reduce(0) { $0 + $1.idleCount } < limit }

  /// Closes a kept connection if there is no room for another, so that one to another backend can be made.
  package func makeRoom() {
    guard count >= limit else { return }
    keepers.max { $0.idleCount < $1.idleCount }?.closeOldest()
  }
}

/// Keeps connections to a backend for later requests.
package protocol ConnectionKeeper: AnyObject {
  /// Connections that are kept now.
  var idleCount: Int { get }
  /// Closes the connection that has been kept longest.
  func closeOldest()
}
