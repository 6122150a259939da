import Loop
import Processes
package import Time

/// Tells when most clients of a loop have left: what they took is free then, and the allocator keeps it.
package struct Ebb {
  /// With fewer at a time it is not worth while: free memory is looked for in all of the heap, which takes some twenty
  /// milliseconds per hundred megabytes.
  static let leastPeak = 250
  /// How long few have to be left, so that a burst does not find each time that its memory was given away.
  static let calm = Nanoseconds.seconds(10)

  private var peak = 0
  private var fewSince: MonotonicTime?

  package init() {}

  /// - Parameter count: connections and streams, now.
  /// - Returns: whether memory is to be given back. Not again before as many have come and left once more.
  package mutating func isDue(_ count: Int, at now: MonotonicTime) -> Bool {
    peak = max(peak, count)
    guard peak >= Self.leastPeak, count <= peak / 2 else {
      fewSince = nil
      return false
    }
    let since = fewSince ?? now
    fewSince = since
    guard now - since >= Self.calm else { return false }
    (peak, fewSince) = (count, nil)
    return true
  }
}

/// Gives free memory back to the system when most of a loop's clients have left.
final class MemoryReturn: DeadlineMember {
  private let context: LoopContext
  private let clients: ClientRoster
  private let books: StreamBooks
  private var ebb = Ebb()

  init(_ context: LoopContext, clients: ClientRoster, books: StreamBooks) {
    self.context = context
    self.clients = clients
    self.books = books
  }

  func deadlinePassed(at now: MonotonicTime) -> MonotonicTime? {
    if ebb.isDue(clients.openConnections + books.openStreams, at: now) { OwnProcess.returnFreeMemory() }
    return context.isStopping ? nil : now
  }
}
