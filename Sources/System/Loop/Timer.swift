import CLibevent
import Glibc
package import Time

/// A one-shot timer, precise to the kernel's coarse clock (about 4 ms either way), for what can't wait for the loop's
/// tick.
///
/// While one is scheduled every turn reads the clock; use `EventLoop.deadlines` for anything that thousands have.
@safe
package final class Timer {
  private let loop: EventLoop
  private let handler: () -> Void
  private var event: RawEvent?
  /// Where the clock is played.
  private var deadline: DeadlineHandle?
  package private(set) var isScheduled = false

  package init(loop: EventLoop, handler: @escaping () -> Void) {
    self.loop = loop
    self.handler = handler
  }

  /// Calls the handler once after `delay`, instead of when it was scheduled for before.
  package func schedule(after delay: Nanoseconds) {
    if loop.playedClock != nil { return play(after: delay) }
    if event == nil { makeEvent() }
    let microseconds = max(0, (delay.value + 999) / 1000)
    let time = timeval(tv_sec: Int(microseconds / 1_000_000), tv_usec: Int(microseconds % 1_000_000))
    isScheduled = event?.add(after: time) ?? false
  }

  package func cancel() {
    guard isScheduled else { return }
    isScheduled = false
    event?.delete()
    if let deadline = deadline.take() { loop.deadlines.remove(deadline) }
  }

  deinit {
    if let deadline { loop.deadlines.remove(deadline) }
  }

  /// Waits for the clock that a test plays.
  private func play(after delay: Nanoseconds) {
    cancel()
    isScheduled = true
    deadline = loop.deadlines.add(PlayedTimer(self), at: loop.readClock() + max(.zero, delay))
  }

  private func makeEvent() {
    let context = unsafe Unmanaged.passUnretained(self).toOpaque()
    event = unsafe RawEvent(base: loop.base, descriptor: -1, flags: 0, context: context) { _, _, context in
      guard let context = unsafe context else { return }
      // Retained for the call: the handler may let the timer go.
      unsafe Unmanaged<Timer>.fromOpaque(context).takeUnretainedValue().fired()
    }
  }

  fileprivate func fired() {
    isScheduled = false
    deadline = nil
    handler()
  }
}

/// A timer's place among the deadlines, which does not keep the timer.
private final class PlayedTimer: DeadlineMember {
  private weak var timer: Timer?

  init(_ timer: Timer) { self.timer = timer }

  func deadlinePassed(at now: MonotonicTime) -> MonotonicTime? {
    timer?.fired()
    return nil
  }
}
