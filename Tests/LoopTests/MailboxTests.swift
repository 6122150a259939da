import Glibc
import Loop
import Synchronization
import Testing
import Time

@Suite struct MailboxTests {
  @Test func `four threads post ten thousand letters each, in order`() throws {
    let loop = try EventLoop()
    let mailbox = loop.mailbox
    final class Seen: @unchecked Sendable {
      var next = [0, 0, 0, 0]
      var inOrder = true
      var total = 0
    }
    let seen = Seen()
    let bound = LoopBound(loop, loop: loop)
    var threads: [LoopThread] = []
    for sender in 0..<4 {
      threads.append(
        try LoopThread.start(name: "sender \(sender)") { own in
          for number in 0..<10_000 {
            mailbox.post {
              if seen.next[sender] != number { seen.inOrder = false }
              seen.next[sender] = number + 1
              seen.total += 1
              if seen.total == 40_000 { bound.value.stop() }
            }
          }
          own.stop()
        })
    }
    loop.run()
    for thread in threads { thread.join() }
    #expect(seen.next == [10_000, 10_000, 10_000, 10_000])
    #expect(seen.inOrder)
  }

  @Test func `a letter posted on the loop runs later, not inside`() throws {
    let loop = try EventLoop()
    nonisolated(unsafe) var order: [Int] = []
    let mailbox = loop.mailbox
    let bound = LoopBound(loop, loop: loop)
    mailbox.post {
      mailbox.post {
        order.append(2)
        bound.value.stop()
      }
      order.append(1)
    }
    loop.run()
    #expect(order == [1, 2])
  }

  @Test func `a post to a loop that is gone is refused and let go`() throws {
    final class Object {}
    let mailbox: Mailbox
    do {
      let loop = try EventLoop()
      mailbox = loop.mailbox
    }
    weak var observed: Object?
    do {
      let object = Object()
      observed = object
      nonisolated(unsafe) let held = object
      let isTaken = mailbox.post { @Sendable in _ = held }
      #expect(!isTaken)
    }
    #expect(observed == nil)
  }

  @Test func `a thread runs its loop until stopped from outside`() throws {
    final class Counter: Sendable { let count = Atomic(0) }
    let ran = Counter()
    let handed = Mutex<LoopBound<EventLoop>?>(nil)
    let thread = try LoopThread.start(name: "a name longer than fifteen bytes") { loop in
      #expect(loop.mailbox.isOnLoopThread)
      let bound = LoopBound(loop, loop: loop)
      handed.withLock { $0 = bound }
      loop.mailbox.post {
        #expect(bound.value.mailbox.isOnLoopThread)
        ran.count.add(1, ordering: .relaxed)
      }
    }
    #expect(!thread.mailbox.isOnLoopThread)
    // Until the body has run there is nothing to stop; its letter comes before ours.
    var loop: LoopBound<EventLoop>?
    while loop == nil { loop = handed.withLock { $0.take() } }
    if let loop { thread.mailbox.post { loop.value.stop() } }
    thread.join()
    thread.join()
    #expect(ran.count.load(ordering: .relaxed) == 1)
    #expect(thread.mailbox.post {} == false)
  }

  @Test func `a thread whose body has run the loop itself ends with it`() throws {
    let thread = try LoopThread.start(name: "own") { loop in
      loop.stop()
      loop.run()
    }
    thread.join()
  }

  @Test func `opening a bound value on another thread traps`() async {
    await #expect(processExitsWith: .failure) {
      let loop = try EventLoop()
      let bound = LoopBound(1, loop: loop)
      let thread = try LoopThread.start(name: "other") { _ in _ = bound.value }
      thread.join()
    }
  }
}
