import CLibevent
import Glibc
import Synchronization

/// The only door into a loop from another thread: closures that the loop runs in order.
///
/// One eventfd write wakes the loop for a whole batch. Letters of one sender keep their order.
package final class Mailbox: Sendable {
  // The closure changes hands with the letter: the sender gave it up (`sending`), one loop thread runs it.
  private struct Letter: @unchecked Sendable {
    let body: () -> Void
  }

  private struct State {
    var letters: [Letter] = []
    var isLoopWoken = false
    var isClosed = false
  }

  private let state = Mutex(State())
  private let thread = Atomic<UInt>(0)
  /// The eventfd; the loop watches it.
  let descriptor: Int32

  init() throws(LoopError) {
    descriptor = eventfd(0, Int32(EFD_NONBLOCK | EFD_CLOEXEC))
    guard descriptor >= 0 else { throw .system("eventfd", .last) }
  }

  deinit {
    Glibc.close(descriptor)
  }

  /// Has the loop run `body` on its thread, never before `post` returns when called from that thread.
  /// - Returns: `false` when the loop is gone and `body` was dropped.
  @discardableResult
  package func post(_ body: sending @escaping () -> Void) -> Bool {
    let letter = Letter(body: body)
    let (isTaken, mustWake) = state.withLock { state in
      guard !state.isClosed else { return (false, false) }
      state.letters.append(letter)
      defer { state.isLoopWoken = true }
      return (true, !state.isLoopWoken)
    }
    if mustWake {
      var one: UInt64 = 1
      _ = unsafe Glibc.write(descriptor, &one, 8)
    }
    return isTaken
  }

  /// Whether the caller is on the loop's thread.
  package var isOnLoopThread: Bool {
    thread.load(ordering: .relaxed) == UInt(pthread_self())
  }

  /// Makes the calling thread the loop's own.
  func adoptThread() {
    thread.store(UInt(pthread_self()), ordering: .relaxed)
  }

  /// Leaves the loop without a thread, until the one that is to run it has started.
  func leaveThread() {
    thread.store(0, ordering: .relaxed)
  }

  /// Runs what has come, on the loop.
  func deliver() {
    var counter: UInt64 = 0
    _ = unsafe Glibc.read(descriptor, &counter, 8)
    let letters = state.withLock { state in
      state.isLoopWoken = false
      let letters = state.letters
      state.letters = []
      return letters
    }
    for letter in letters { letter.body() }
  }

  /// Drops what waits and refuses what comes.
  func close() {
    let dropped = state.withLock { state in
      state.isClosed = true
      let letters = state.letters
      state.letters = []
      return letters
    }
    // Freed here, outside the lock: what a closure held may post in its deinit.
    _ = dropped
  }
}

/// A value of one loop's thread in a box that may travel through other threads, unopened.
///
/// Safe because the value can be reached on the loop's thread only; anywhere else opening it traps. Let the last copy
/// go on that thread too when the value's `deinit` touches the loop.
package struct LoopBound<Value>: @unchecked Sendable {
  private let contents: Value
  private let mailbox: Mailbox

  package init(_ value: Value, loop: EventLoop) {
    contents = value
    mailbox = loop.mailbox
  }

  package var value: Value {
    precondition(mailbox.isOnLoopThread, "a LoopBound was opened on another thread")
    return contents
  }
}
