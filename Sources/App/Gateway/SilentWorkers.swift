import Loop
package import Time

/// A worker that was not seen at work for longer than a limit.
package struct SilentWorker: Sendable {
  package let index: Int
  package let age: Nanoseconds
}

/// Told from the heartbeats of the loops: no worker is asked, so none can hold up the answer.
extension Gateway {
  /// Who is silent for longer hangs: a worker ticks 20 times a second.
  package static let livenessLimit = Nanoseconds.seconds(5)

  /// The workers that were not seen for `limit`.
  package func silentWorkers(for limit: Nanoseconds) -> [SilentWorker] {
    let now = loop.readClock()
    return workers.map { SilentWorker(index: $0.index, age: now - $0.lastSeen) }.filter { $0.age > limit }
  }
}
