import Streams
import Synchronization

/// Counts the runs of all loops that go on though nobody reads them. Asked when a last reader leaves or a first one comes.
final class UnreadRuns: Sendable {
  let limit: Int
  private let quota: Mutex<Quota<Digest>>

  init(limit: Int, share: Int) {
    self.limit = limit
    quota = Mutex(Quota(limit: limit, share: share))
  }

  var count: Int { quota.withLock { $0.count } }

  /// - Returns: false when the principal, or all together, have as many already.
  fileprivate func take(for principal: Digest) -> Bool { quota.withLock { $0.take(for: principal) } }
  fileprivate func giveBack(for principal: Digest) { quota.withLock { $0.giveBack(for: principal) } }
}

/// A run's place among those that nobody reads, while it has one.
struct UnreadPlace {
  private let runs: UnreadRuns
  private let principal: Digest
  private var isTaken = false

  init(among runs: UnreadRuns, of principal: Digest) {
    self.runs = runs
    self.principal = principal
  }

  /// - Returns: false when there is none left.
  mutating func take() -> Bool {
    if !isTaken { isTaken = runs.take(for: principal) }
    return isTaken
  }

  mutating func leave() {
    guard isTaken else { return }
    isTaken = false
    runs.giveBack(for: principal)
  }
}
