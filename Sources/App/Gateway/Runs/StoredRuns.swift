import Loop
import Streams
import Synchronization
import Time

/// Counts the runs of which this process makes Redis keep something, until their keys have expired.
final class StoredRuns: Sendable {
  private let quota: Mutex<TimedQuota<Digest>>

  init(limit: Int, share: Int) {
    // The last quarter is for those who have less than a share.
    quota = Mutex(TimedQuota(Quota(limit: limit, share: share, loan: limit - limit / 4)))
  }

  /// How many there are, and the most of one principal.
  func use(at now: MonotonicTime) -> (count: Int, largest: Int, limit: Int, share: Int) {
    quota.withLock { quota in
      quota.giveBackDue(at: now, atMost: 1000)
      return (quota.count, quota.largest, quota.limit, quota.share)
    }
  }

  /// - Parameter lifetime: how long the keys stay after they were last written.
  /// - Returns: `nil` when the principal, or all together, have as many as they may.
  func take(for principal: Digest, lifetime: Nanoseconds, on loop: EventLoop) -> StoredPlace? {
    guard quota.withLock({ $0.take(for: principal, at: loop.now) }) else { return nil }
    return StoredPlace(among: self, of: principal, lifetime: lifetime, loop: loop)
  }

  fileprivate func giveBack(for principal: Digest, at due: MonotonicTime?) {
    quota.withLock { quota in
      if let due { quota.giveBack(for: principal, at: due) } else { quota.giveBack(for: principal) }
    }
  }
}

/// A run's place among those that Redis keeps. Given back at once when it goes before anything was written.
final class StoredPlace {
  private let runs: StoredRuns
  private let principal: Digest
  private let lifetime: Nanoseconds
  private let loop: EventLoop
  private var isWritten = false

  fileprivate init(among runs: StoredRuns, of principal: Digest, lifetime: Nanoseconds, loop: EventLoop) {
    self.runs = runs
    self.principal = principal
    self.lifetime = lifetime
    self.loop = loop
  }

  /// Keys were written: they stay for their time when this goes.
  func written() { isWritten = true }

  /// The keys were deleted.
  func deleted() { isWritten = false }

  deinit {
    runs.giveBack(for: principal, at: isWritten ? loop.now + lifetime : nil)
  }
}
