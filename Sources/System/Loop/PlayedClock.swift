package import Time

/// A clock that stands still until it is told that time passes: for tests of what waits.
package final class PlayedClock {
  package private(set) var now: MonotonicTime
  /// How far civil time is ahead of the machine's.
  package var civilTimeAhead = Nanoseconds.zero

  package init(at now: MonotonicTime = MonotonicTime(nanoseconds: 1_000_000_000_000)) { self.now = now }

  package func pass(_ time: Nanoseconds) { now = now + time }
}
