import Loop
import Testing
import Time

private final class Waiter: TimerQueueMember {
  let called: () -> Void

  init(_ called: @escaping () -> Void) {
    self.called = called
  }

  func timeCame() { called() }
}

@Suite struct TimerQueueTests {
  @Test func `members are called in the order of their times, not of their calls`() throws {
    let loop = try EventLoop()
    let queue = try TimerQueue(loop: loop)
    var order: [Int] = []
    for place in 0..<100 {
      let number = (place * 37) % 100
      queue.schedule(Waiter { order.append(number) }, after: Nanoseconds(Int64(number) * 200_000))
    }
    queue.schedule(Waiter { loop.stop() }, after: .milliseconds(40))
    loop.run()
    #expect(order == Array(0..<100))
  }

  @Test func `a member may wait again from within its call`() throws {
    let loop = try EventLoop()
    let queue = try TimerQueue(loop: loop)
    let start = loop.readClock()
    var rounds = 0
    var waiter: Waiter?
    waiter = Waiter {
      rounds += 1
      guard rounds < 20, let waiter else { return loop.stop() }
      queue.schedule(waiter, after: .milliseconds(1))
    }
    queue.schedule(waiter!, after: .zero)
    loop.run()
    waiter = nil
    let elapsed = loop.readClock() - start
    #expect(rounds == 20 && elapsed >= .milliseconds(17))
  }
}
