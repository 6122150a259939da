import Loop
import Testing
import Time

@Suite struct EventLoopTests {
  @Test func `a timer fires once, not before its time`() throws {
    let loop = try EventLoop()
    var count = 0
    let start = loop.readClock()
    let timer = Loop.Timer(loop: loop) {
      count += 1
      if count == 1 { loop.stop() }
    }
    timer.schedule(after: .milliseconds(30))
    loop.run()
    #expect(count == 1)
    #expect(loop.readClock() - start >= .milliseconds(25))
    #expect(!timer.isScheduled)
  }
}
