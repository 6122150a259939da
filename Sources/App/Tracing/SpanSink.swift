import Synchronization
import Telemetry

/// Where the spans of all loops wait for their exporter. Never holds anybody up: what finds no room is dropped and counted.
package final class SpanSink: Sendable {
  /// What has become of the spans so far.
  package struct Counts: Sendable {
    package var exported = 0
    /// There was no room.
    package var dropped = 0
    /// The collector did not take them.
    package var failed = 0

    package init() {}
  }

  private struct State {
    var queue = SpanQueue()
    var counts = Counts()
  }

  private let state = Mutex(State())

  package init() {}

  func add(_ span: [UInt8]) {
    state.withLock { state in
      if !state.queue.add(span) { state.counts.dropped += 1 }
    }
  }

  func take(atMost limit: Int) -> [[UInt8]] { state.withLock { $0.queue.take(atMost: limit) } }
  var waiting: Int { state.withLock { $0.queue.count } }
  package var counts: Counts { state.withLock { $0.counts } }

  func note(exported count: Int) { state.withLock { $0.counts.exported += count } }
  func note(failed count: Int) { state.withLock { $0.counts.failed += count } }
}
