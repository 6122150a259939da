internal import Loop
internal import Processes
internal import Synchronization
package import Time

/// How late this machine was with what was due, which says nothing of the program: limits of time in tests are widened by
/// it.
///
/// A thread sleeps for a moment, again and again, and adds up by how much it wakes too late. On a machine with time to
/// spare that is next to nothing; where others take the processors it grows as fast as the clock. From any thread.
package enum MachineDelay {
  private static let pause = Nanoseconds.milliseconds(5)
  /// Below it a sleep is as exact as it can be.
  private static let usual = Nanoseconds.milliseconds(1)
  /// Sums that are kept, one for each twentieth of a second: a quarter of an hour.
  private static let limit = 18_000

  private struct Sum {
    var at: MonotonicTime
    var delay = Nanoseconds.zero
  }

  private static let sums = Mutex<[Sum]>([])

  private static let thread: Bool = {
    sums.withLock { $0.append(Sum(at: SystemClock.now)) }
    let thread = try? LoopThread.start(name: "delays") { _ in
      while true { measure() }
    }
    return thread != nil
  }()

  private static func measure() {
    let begin = SystemClock.now
    SystemClock.sleep(pause)
    let now = SystemClock.now
    let late = now - begin - pause
    sums.withLock { sums in
      guard var last = sums.last else { return }
      if late > usual { last.delay = last.delay + late }
      if now - last.at > .milliseconds(50) {
        sums.append(Sum(at: now, delay: last.delay))
        if sums.count > 2 * limit { sums.removeFirst(limit) }
      } else {
        sums[sums.count - 1].delay = last.delay
      }
    }
  }

  /// Begins to watch. Of what was before nothing is known.
  package static func watch() { precondition(thread, "no thread can be started") }

  /// How late the machine was from `begin` until now, all in all; zero before anybody watched.
  package static func since(_ begin: MonotonicTime) -> Nanoseconds {
    sums.withLock { sums in
      guard let last = sums.last else { return .zero }
      let before = sums.last { $0.at <= begin } ?? sums[0]
      return last.delay - before.delay
    }
  }
}
