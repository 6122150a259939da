import Streams
import Synchronization

/// Memory that the clients of all loops share.
final class RunBudget: ByteBudget {
  let limit: Int
  /// Bytes beyond it that all runs together may borrow until their readers have had what came.
  private let loans: Int
  private let taken = Atomic<Int>(0)

  init(limit: Int) {
    self.limit = limit
    loans = max(limit / 16, 4 << 20)
  }

  /// Bytes in use.
  var used: Int { taken.load(ordering: .relaxed) }
  func take(_ count: Int) -> Bool {
    let (_, used) = taken.add(count, ordering: .relaxed)
    if used <= limit { return true }
    taken.subtract(count, ordering: .relaxed)
    return false
  }

  func borrow(_ count: Int) -> Bool {
    let (_, used) = taken.add(count, ordering: .relaxed)
    if used <= limit + loans { return true }
    taken.subtract(count, ordering: .relaxed)
    return false
  }

  func giveBack(_ count: Int) {
    taken.subtract(count, ordering: .relaxed)
  }
}
