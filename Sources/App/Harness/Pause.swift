internal import Processes
package import Time

/// Waiting on the calling thread, for tools and tests; never on a loop.
package enum Pause {
  package static func briefly() { SystemClock.sleep(.milliseconds(1)) }
}

/// Waits on the calling task until `condition` holds; `false` when `limit` is over first, and what the machine was late
/// by (`MachineDelay`).
package func eventually(
  within limit: Nanoseconds = .seconds(30), _ condition: () async throws -> Bool
) async rethrows -> Bool {
  let begin = SystemClock.now
  while !(try await condition()) {
    if SystemClock.now - begin >= limit + MachineDelay.since(begin) { return false }
    try? await Task.sleep(for: .milliseconds(2))
  }
  return true
}
