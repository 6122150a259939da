/// How much of the memory that all runs share the runs of one principal may hold.
///
/// A principal that holds more than its share leaves the last quarter to others while there are any, and the last
/// sixteenth always.
package struct MemoryShare: Sendable {
  /// Bytes for all.
  package let limit: Int
  /// Bytes that one principal may hold whatever the others do.
  package let share: Int

  /// What a run holds with its first event, in bytes, rounded up.
  private static let beginning = 4096

  /// - Parameter percent: of `limit`.
  package init(limit: Int, percent: Int) {
    self.limit = limit
    share = limit / 100 * min(max(percent, 0), 100) + limit % 100 * min(max(percent, 0), 100) / 100
  }

  /// Whether runs that are over should make room, whoever's they are.
  package func isTight(all: Int) -> Bool { all > limit - limit / 8 }

  /// Whether so little is left, though those that are over have made room, that slow readers give way.
  package func isShort(all: Int) -> Bool { all > limit - limit / 16 }

  /// Whether a principal holds what others may need.
  package func isCrowding(own: Int, all: Int) -> Bool {
    // First what is false for most.
    guard all > limit - limit / 4, own > share else { return false }
    return own < all || isShort(all: all)
  }

  /// Whether a run that goes on with about as much as it had may take `count` bytes, though its principal has more than
  /// others may like.
  package func maySwap(_ count: Int, own: Int, all: Int) -> Bool {
    own <= share || count <= limit - limit / 32 - all
  }

  /// Whether one more run of a principal is kept.
  package func admitsRun(own: Int, all: Int) -> Bool {
    if isCrowding(own: own, all: all) { return false }
    // A run that is let in must be able to begin.
    if own > share, all > limit - limit / 32 - Self.beginning { return false }
    // The very last is for those who have less than a share.
    return !isShort(all: all) || (own <= share && own < all && all <= limit - limit / 64)
  }
}
