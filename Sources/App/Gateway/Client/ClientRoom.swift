import Bytes
import Sockets
import Time

/// How many connections to clients one loop may have, and which of them go first when there are too many.
///
/// Each counts until its descriptor is closed, also the one that lingers after its last answer. Confined to its loop.
final class ClientRoom {
  let limit: Int
  private var lingering = Lineup<LingeringClose>()
  /// Clients that wait for their next request.
  private var idle = Lineup<any IdleClient>()

  init(limit: Int) {
    self.limit = limit
  }

  var lingeringCount: Int { lingering.count }

  /// Makes room for one client, unless there is some: ends the connection that has lingered longest, or else the one that
  /// has been idle longest.
  ///
  /// - Parameter clients: those that do not linger.
  /// - Returns: false when every connection is in use.
  func admitsClient(beside clients: Int) -> Bool {
    if clients + lingering.count < limit { return true }
    if let close = lingering.first {
      close.endNow()
      return true
    }
    guard let client = idle.first else { return false }
    client.close()
    return true
  }

  typealias IdlePlace = Lineup<any IdleClient>.Place

  func becameIdle(_ client: any IdleClient) -> IdlePlace { idle.append(client) }

  func isIdleNoMore(_ place: IdlePlace) { idle.remove(place) }

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
}

/// A client that waits for its next request.
protocol IdleClient: AnyObject {
  func close()
}
