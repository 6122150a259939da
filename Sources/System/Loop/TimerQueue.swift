import CLibevent
import Glibc
package import Time

/// Who waits in a `TimerQueue`.
package protocol TimerQueueMember: AnyObject {
  func timeCame()
}

/// Many precise one-shot timers behind one descriptor, for those who play events in time: a `Timer` is as coarse as the
/// kernel's tick, which would bunch what thousands of streams send.
///
/// Members are retained while they wait. What is due within `slack` is called in one go.
package final class TimerQueue {
  /// How much too early a member may be called.
  package static let slack = Nanoseconds(50_000)

  private struct Entry {
    let deadline: MonotonicTime
    let member: any TimerQueueMember
  }

  private let loop: EventLoop
  private let descriptor: Int32
  private var watch: SocketWatch?
  /// A binary heap, the earliest first.
  private var heap: [Entry] = []
  /// What the descriptor is set to, if it is.
  private var armed: MonotonicTime?

  package init(loop: EventLoop) throws(LoopError) {
    self.loop = loop
    descriptor = timerfd_create(CLOCK_MONOTONIC, Int32(TFD_NONBLOCK | TFD_CLOEXEC))
    guard descriptor >= 0 else { throw .system("timerfd_create", .last) }
    watch = SocketWatch(loop: loop, descriptor: descriptor, handler: self)
    guard watch?.startReading() == true else { throw .unavailable("event") }
  }

  deinit {
    watch?.cancel()
    if descriptor >= 0 { close(descriptor) }
  }

  /// Calls `member` once after `delay`. There is no cancelling: a member that no longer cares ignores the call.
  package func schedule(_ member: any TimerQueueMember, after delay: Nanoseconds) {
    let deadline = loop.readClock() + delay
    heap.append(Entry(deadline: deadline, member: member))
    siftUp(from: heap.count - 1)
    if armed.map({ deadline < $0 }) ?? true { arm() }
  }

  private func fire() {
    armed = nil
    let limit = loop.readClock() + Self.slack
    while let first = heap.first, first.deadline <= limit {
      removeFirst()
      first.member.timeCame()
    }
    arm()
  }

  private func arm() {
    guard let first = heap.first else { return }
    guard armed != first.deadline else { return }
    armed = first.deadline
    let time = first.deadline.nanoseconds
    var setting = itimerspec()
    setting.it_value = timespec(tv_sec: Int(time / 1_000_000_000), tv_nsec: Int(time % 1_000_000_000))
    _ = unsafe timerfd_settime(descriptor, Int32(TFD_TIMER_ABSTIME), &setting, nil)
  }

  // MARK: The heap

  private func siftUp(from start: Int) {
    var child = start
    while child > 0 {
      let parent = (child - 1) / 2
      guard heap[child].deadline < heap[parent].deadline else { return }
      heap.swapAt(child, parent)
      child = parent
    }
  }

  private func removeFirst() {
    heap.swapAt(0, heap.count - 1)
    heap.removeLast()
    var parent = 0
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count {
        if heap[child].deadline < heap[least].deadline { least = child }
      }
      guard least != parent else { return }
      heap.swapAt(parent, least)
      parent = least
    }
  }
}

extension TimerQueue: SocketWatchHandler {
  package func socketBecameReadable() {
    var expirations: UInt64 = 0
    _ = unsafe Glibc.read(descriptor, &expirations, 8)
    fire()
  }

  package func socketBecameWritable() {}
}
