import Bytes
import Sockets
import Time

/// How many connections one loop may have, and which of them go first when there are too many.
///
/// Every connection to a client counts until its descriptor is closed, also the one that lingers after its last answer.
/// Connections to backends have a limit of their own, because a run without readers has no client. Confined to its loop.
final class ConnectionRoom {
  /// Connections to clients.
  let clientLimit: Int
  /// Connections to backends: in use, kept for the next request or being made.
  let upstreamLimit: Int
  private(set) var upstreams = 0
  private var lingering = Lineup<LingeringClose>()
  /// Clients that wait for their next request.
  private var idle = Lineup<ClientConnection>()

  init(_ limits: ConnectionLimits) {
    clientLimit = limits.clients
    upstreamLimit = limits.upstreams
  }

  var lingeringCount: Int { lingering.count }

  // MARK: - Clients

  /// Makes room for one client, unless there is some: ends the connection that has lingered longest, or else the one that
  /// has been idle longest.
  ///
  /// - Parameter clients: those that do not linger.
  /// - Returns: false when every connection is in use.
  func admitsClient(beside clients: Int) -> Bool {
    if clients + lingering.count < clientLimit { return true }
    if let close = lingering.first {
      close.endNow()
      return true
    }
    guard let client = idle.first else { return false }
    client.close()
    return true
  }

  func becameIdle(_ client: ClientConnection) -> Lineup<ClientConnection>.Place { idle.append(client) }

  func isIdleNoMore(_ place: Lineup<ClientConnection>.Place) { idle.remove(place) }

  /// Closes a client's connection with care; see `LingeringClose`. It counts until it is closed.
  func linger(
    _ connection: any Connection, timeout: Nanoseconds, resets: Bool, completion: @escaping (CloseResult) -> Void
  ) {
    var place: Lineup<LingeringClose>.Place?
    let close = LingeringClose.begin(connection, timeout: timeout, resets: resets) { [self] result in
      if let place { lingering.remove(place) }
      completion(result)
    }
    place = lingering.append(close)
  }

  /// Ends what lingers at once, each as it is meant to end.
  func endLingering() {
    while let close = lingering.first { close.endNow() }
  }

  // MARK: - Backends

  func upstreamBegan() { upstreams += 1 }
  func upstreamEnded() { upstreams -= 1 }

  /// Whether a request that needs a connection to a backend may go on. Kept ones count as free: they are used, or closed
  /// to make room.
  func admitsRequest(keeping kept: Int) -> Bool { upstreams - kept < upstreamLimit }
}
