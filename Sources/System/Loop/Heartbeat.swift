import Synchronization
package import Time

/// When a loop was last seen at work. The loop's thread writes it once a tick; any thread may read it.
package final class Heartbeat: Sendable {
  private let nanoseconds: Atomic<UInt64>

  init(at time: MonotonicTime) {
    nanoseconds = Atomic(time.nanoseconds)
  }

  func beat(at time: MonotonicTime) {
    nanoseconds.store(time.nanoseconds, ordering: .relaxed)
  }

  /// The time of the last tick. A loop that is at work ticks every `EventLoop.tickInterval`.
  package var last: MonotonicTime { MonotonicTime(nanoseconds: nanoseconds.load(ordering: .relaxed)) }
}
