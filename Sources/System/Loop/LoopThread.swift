import CLibevent
import Glibc
import Synchronization

/// A thread with an event loop of its own.
package final class LoopThread: Sendable {
  /// The loop's mailbox.
  package let mailbox: Mailbox
  /// When the loop was last seen at work.
  package let heartbeat: Heartbeat
  private let thread: Mutex<pthread_t?>

  private init(mailbox: Mailbox, heartbeat: Heartbeat, thread: pthread_t) {
    self.mailbox = mailbox
    self.heartbeat = heartbeat
    self.thread = Mutex(thread)
  }

  // Crosses to the new thread once, with everything it needs.
  private final class Start: @unchecked Sendable {
    let loop: EventLoop
    let name: String
    let body: @Sendable (EventLoop) -> Void

    init(loop: EventLoop, name: String, body: @escaping @Sendable (EventLoop) -> Void) {
      self.loop = loop
      self.name = name
      self.body = body
    }
  }

  /// Starts a thread that calls `body` with its new loop, for setting up, and then runs the loop until `stop()`
  /// (unless `body` has run it itself).
  /// - Parameter name: at most 15 bytes are shown by the system's tools.
  package static func start(
    name: String, body: @escaping @Sendable (EventLoop) -> Void
  ) throws(LoopError) -> LoopThread {
    let loop = try EventLoop()
    let (mailbox, heartbeat) = (loop.mailbox, loop.heartbeat)
    mailbox.leaveThread()
    let start = unsafe Unmanaged.passRetained(Start(loop: loop, name: name, body: body))
    var thread = pthread_t()
    let code = unsafe pthread_create(&thread, nil, { argument in unsafe LoopThread.main(argument) }, start.toOpaque())
    guard code == 0 else {
      unsafe start.release()
      throw .system("pthread_create", SystemError(code: code))
    }
    return LoopThread(mailbox: mailbox, heartbeat: heartbeat, thread: thread)
  }

  /// Waits until the thread has ended. Stop its loop first.
  package func join() {
    let thread = thread.withLock { thread in
      defer { thread = nil }
      return thread
    }
    guard let thread else { return }
    _ = pthread_join(thread, nil)
  }

  deinit {
    if let thread = thread.withLock({ $0 }) { pthread_detach(thread) }
  }

  @unsafe
  private static func main(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let argument = unsafe argument else { return nil }
    let start = unsafe Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
    _ = unsafe start.name.prefix(15).withCString { unsafe fermata_set_thread_name(pthread_self(), $0) }
    let loop = start.loop
    loop.mailbox.adoptThread()
    start.body(loop)
    if !loop.hasRun { loop.run() }
    loop.abandonMembers()
    return nil
  }
}
