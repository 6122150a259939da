package import Time

/// Tells a peer that takes bytes slowly from one that takes none: by what its kernel has acknowledged, not by when our
/// socket was last writable, which may be many seconds apart.
package struct SendWatch: Sendable {
  private var acknowledged: UInt64 = 0
  /// When the peer was last seen to have taken something, or began to be waited for.
  package private(set) var progressAt: MonotonicTime?

  package init() {}

  /// Measures whether a peer for which something is queued has taken some of it.
  ///
  /// - Parameters:
  ///   - acknowledged: bytes that the peer's kernel has acknowledged since the connection was made.
  ///   - writtenAt: when the socket last took something.
  package mutating func measureProgress(acknowledged: UInt64, writtenAt: MonotonicTime, at now: MonotonicTime) {
    defer { self.acknowledged = acknowledged }
    guard let last = progressAt else {
      progressAt = now
      return
    }
    if acknowledged > self.acknowledged {
      progressAt = now
      return
    }
    if writtenAt > last { progressAt = writtenAt }
  }

  /// Nothing is queued for the peer.
  package mutating func caughtUp() { progressAt = nil }

  /// Whether the peer has taken nothing for `limit`; never if that is 0 or less.
  package func isStalled(for limit: Nanoseconds, at now: MonotonicTime) -> Bool {
    guard let progressAt, limit > .zero else { return false }
    return progressAt + limit <= now
  }

  /// How soon to measure again, so that a stall is noticed soon after its limit has passed.
  package static func pause(of limit: Nanoseconds) -> Nanoseconds {
    limit > .zero ? max(.milliseconds(50), min(.seconds(1), Nanoseconds(limit.value / 4))) : .seconds(1)
  }
}
