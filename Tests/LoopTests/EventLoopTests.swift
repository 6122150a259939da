import Bytes
import Glibc
import Loop
import Testing
import Time

extension EventLoop {
  /// Runs until `condition`, asked every 2 ms, for ten seconds at most.
  func run(until condition: @escaping () -> Bool, sourceLocation: SourceLocation = #_sourceLocation) {
    let end = readClock() + .seconds(10)
    var timer: Loop.Timer?
    timer = Loop.Timer(loop: self) { [unowned self] in
      if condition() || readClock() > end { stop() } else { timer?.schedule(after: .milliseconds(2)) }
    }
    timer?.schedule(after: .zero)
    run()
    timer = nil
    #expect(condition(), sourceLocation: sourceLocation)
  }
}

@Suite struct EventLoopTests {
  let loop: EventLoop

  init() throws { loop = try EventLoop() }

  @Test func `a timer fires once, not before its time`() {
    var count = 0
    let start = loop.readClock()
    let timer = Loop.Timer(loop: loop) {
      count += 1
      loop.stop()
    }
    timer.schedule(after: .milliseconds(30))
    #expect(timer.isScheduled)
    loop.run()
    #expect(count == 1)
    #expect(!timer.isScheduled)
    // libevent's clock is the kernel's coarse one.
    #expect(loop.readClock() - start >= .milliseconds(25))
  }

  @Test func `a cancelled or forgotten timer does not fire, a rescheduled one fires once`() {
    var fired: [String] = []
    let cancelled = Loop.Timer(loop: loop) { fired.append("cancelled") }
    cancelled.schedule(after: .milliseconds(5))
    cancelled.cancel()
    var forgotten: Loop.Timer? = Loop.Timer(loop: loop) { fired.append("forgotten") }
    forgotten?.schedule(after: .milliseconds(5))
    forgotten = nil
    let moved = Loop.Timer(loop: loop) { fired.append("moved") }
    moved.schedule(after: .milliseconds(5))
    moved.schedule(after: .milliseconds(20))
    let end = Loop.Timer(loop: loop) { loop.stop() }
    end.schedule(after: .milliseconds(60))
    loop.run()
    #expect(fired == ["moved"])
  }

  @Test func `a timer may let itself go while it fires`() {
    var timer: Loop.Timer?
    timer = Loop.Timer(loop: loop) {
      timer = nil
      loop.stop()
    }
    timer?.schedule(after: .zero)
    loop.run()
    #expect(timer == nil)
  }

  @Test func `the cached time is at most a tick old`() {
    var ages: [Nanoseconds] = []
    loop.run(until: {
      let cached = loop.now
      ages.append(loop.readClock() - cached)
      return ages.count > 50
    })
    // Asking reads the clock, so what is measured is the distance between two looks; the ticks go on meanwhile.
    #expect(ages.allSatisfy { $0 >= .zero })
    let before = loop.now
    let timer = Loop.Timer(loop: loop) { loop.stop() }
    timer.schedule(after: .milliseconds(200))
    loop.run()
    let cached = loop.now
    #expect(cached > before)
    // The quickest of some: others may take the processor between two looks.
    let distances = (0..<5).map { _ in
      timer.schedule(after: .milliseconds(20))
      loop.run()
      let cached = loop.now
      return loop.readClock() - cached
    }
    #expect(distances.contains { $0 < .milliseconds(150) })
  }

  @Test func `a stop before the run ends it at once, and the loop runs again afterwards`() {
    loop.stop()
    loop.run()
    var ran = false
    let timer = Loop.Timer(loop: loop) {
      ran = true
      loop.stop()
    }
    timer.schedule(after: .zero)
    loop.run()
    #expect(ran)
  }

  @Test func `a turn member is called after the callback that asked, before anything waits`() {
    final class Member: TurnMember {
      let body: () -> Void
      init(_ body: @escaping () -> Void) { self.body = body }
      func turnCame() { body() }
    }
    var times: [Nanoseconds] = []
    for _ in 0..<5 {
      var order: [String] = []
      let timer = Loop.Timer(loop: loop) {
        loop.callAfterThisCallback(
          Member {
            order.append("first")
            // Asking again from inside makes another round.
            loop.callAfterThisCallback(
              Member {
                order.append("again")
                loop.stop()
              })
          })
        loop.callAfterThisCallback(Member { order.append("second") })
        order.append("callback")
      }
      timer.schedule(after: .zero)
      let start = loop.readClock()
      loop.run()
      #expect(order == ["callback", "first", "second", "again"])
      times.append(loop.readClock() - start)
    }
    // The quickest of some: others may take the processor meanwhile. A tick of the loop comes later.
    #expect(times.contains { $0 < .milliseconds(45) })
  }

  @Test func `wall time is the time of day`() {
    #expect(abs(loop.wallTime().milliseconds / 1000 - Int64(time(nil))) <= 1)
    #expect(EventLoop.libeventVersion.hasPrefix("2."))
  }

  @Test func `a signal arrives on the loop`() throws {
    var count = 0
    let watch = try SignalWatch(loop: loop, signal: .hangUp) {
      count += 1
      loop.stop()
    }
    kill(getpid(), SIGHUP)
    loop.run()
    #expect(count == 1)
    watch.cancel()
    // One that comes later neither arrives nor ends the process.
    kill(getpid(), SIGHUP)
    #expect(count == 1)
  }

  @Test func `a loop that is let go frees its descriptors`() throws {
    func open() -> Int { (0..<1024).count { fcntl($0, F_GETFD) >= 0 } }
    let made = try EventLoop()
    #expect(open() > 0)
    weak let observed = made
    #expect(observed != nil)
    func scope() throws {
      let other = try EventLoop()
      weak var gone: EventLoop?
      gone = other
      #expect(gone != nil)
    }
    for _ in 0..<2000 { try scope() }
    // Two thousand loops with four descriptors each would have taken all of them; other tests have some at the same time.
    #expect(open() < 1000)
  }
}
