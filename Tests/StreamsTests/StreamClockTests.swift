import Streams
import Testing
import Time

struct StreamClockTests {
  private typealias Verdict = StreamClock.Verdict

  private func at(_ seconds: Double) -> MonotonicTime {
    MonotonicTime(nanoseconds: 1_000_000_000_000) + .seconds(seconds)
  }

  private func clock(_ change: (inout Watchdogs) -> Void = { _ in }) -> StreamClock {
    var limits = Watchdogs()
    limits.clientStall = .seconds(60)
    change(&limits)
    return StreamClock(limits: limits, openedAt: at(0))
  }

  private func expect(
    _ clock: StreamClock, _ verdict: Verdict, at seconds: Double, keepsAlive: Bool = false,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    #expect(clock.verdict(at: at(seconds), keepsAlive: keepsAlive) == verdict, sourceLocation: sourceLocation)
  }

  @Test func `the first event has its own limit, counted from the request`() {
    var clock = clock()
    expect(clock, .quiet(until: at(35)), at: 0)
    expect(clock, .quiet(until: at(35)), at: 34.999)
    expect(clock, .firstTokenTimeout, at: 35)
    // Bytes that are no event don't count.
    clock.backendSent(at: at(30))
    expect(clock, .firstTokenTimeout, at: 35)
    clock.firstTokenCame()
    expect(clock, .quiet(until: at(85)), at: 35)
  }

  @Test func `silence is counted from the last byte`() {
    var clock = clock()
    clock.firstTokenCame()
    expect(clock, .idleTimeout, at: 55)
    clock.backendSent(at: at(50))
    expect(clock, .quiet(until: at(105)), at: 55)
    expect(clock, .idleTimeout, at: 105)
  }

  @Test func `silence counts from the start where the first event has no limit`() {
    let clock = clock { $0.firstToken = .zero }
    expect(clock, .quiet(until: at(55)), at: 54)
    expect(clock, .idleTimeout, at: 55)
  }

  // The idle watchdog must not fire while the gateway itself does not read.
  @Test func `the backend's silence is not counted while we don't read`() {
    var clock = clock { $0.clientStall = .seconds(30) }
    clock.firstTokenCame()
    clock.backendPaused()
    clock.clientBlocked(at: at(10))
    expect(clock, .quiet(until: at(40)), at: 39)
    clock.clientProgressed(at: at(39))
    expect(clock, .quiet(until: at(69)), at: 60)
    clock.backendResumed(at: at(65))
    clock.clientCaughtUp(at: at(65))
    expect(clock, .quiet(until: at(120)), at: 96)
    expect(clock, .idleTimeout, at: 120)
    var waiting = self.clock()
    waiting.backendPaused()
    expect(waiting, .quiet(until: at(135)), at: 100)
  }

  @Test func `a client that takes nothing is stalled from when it was first blocked`() {
    var clock = clock {
      $0.idle = .zero
      $0.clientStall = .seconds(30)
    }
    clock.firstTokenCame()
    clock.clientBlocked(at: at(10))
    clock.clientBlocked(at: at(30))
    expect(clock, .quiet(until: at(40)), at: 39)
    expect(clock, .clientStalled, at: 40)
    // Older progress than the block is none.
    clock.clientProgressed(at: at(5))
    expect(clock, .quiet(until: at(40)), at: 39)
    expect(clock, .clientStalled, at: 40)
    clock.clientProgressed(at: at(20))
    expect(clock, .quiet(until: at(50)), at: 40)
    clock.clientCaughtUp(at: at(45))
    clock.clientProgressed(at: at(45))
    expect(clock, .quiet(until: at(130)), at: 100)
  }

  @Test func `a comment is due when the client has heard nothing, and not while it takes nothing`() {
    var clock = clock()
    clock.firstTokenCame()
    expect(clock, .quiet(until: at(12)), at: 11, keepsAlive: true)
    expect(clock, .keepaliveIsDue, at: 12, keepsAlive: true)
    expect(clock, .quiet(until: at(55)), at: 12, keepsAlive: false)
    clock.sent(at: at(12))
    expect(clock, .quiet(until: at(24)), at: 13, keepsAlive: true)
    clock.clientBlocked(at: at(20))
    expect(clock, .quiet(until: at(42)), at: 30, keepsAlive: true)
    // What it took then was something to hear.
    clock.clientCaughtUp(at: at(40))
    expect(clock, .quiet(until: at(52)), at: 50, keepsAlive: true)
    expect(clock, .keepaliveIsDue, at: 52, keepsAlive: true)
  }

  @Test func `the gateway's own comments don't hide the backend's silence`() {
    var clock = clock()
    clock.firstTokenCame()
    for second in stride(from: 12.0, to: 55, by: 12) {
      expect(clock, .keepaliveIsDue, at: second, keepsAlive: true)
      clock.sent(at: at(second))
    }
    expect(clock, .idleTimeout, at: 55, keepsAlive: true)
  }

  @Test func `the total goes before everything`() {
    var clock = clock {
      $0.total = .seconds(35)
      $0.clientStall = .seconds(30)
    }
    clock.clientBlocked(at: at(0))
    expect(clock, .totalTimeout, at: 35, keepsAlive: true)
    expect(clock, .clientStalled, at: 34, keepsAlive: true)
  }

  @Test func `limits of zero or less are none`() {
    for none in [Nanoseconds.zero, .seconds(-1)] {
      var clock = clock {
        $0.firstToken = none
        $0.idle = none
        $0.keepalive = none
        $0.total = none
        $0.clientStall = none
      }
      clock.clientBlocked(at: at(1))
      expect(clock, .quiet(until: at(1e6 + 3600)), at: 1e6, keepsAlive: true)
    }
  }

  @Test func `the longest limit there is never comes`() {
    let clock = clock {
      $0.firstToken = Nanoseconds(.max)
      $0.total = Nanoseconds(.max)
      $0.idle = Nanoseconds(.max)
      $0.clientStall = Nanoseconds(.max)
    }
    expect(clock, .quiet(until: at(1e6 + 3600)), at: 1e6)
  }

  @Test func `the next look is early enough for every clock that may start meanwhile`() {
    var clock = clock {
      $0.firstToken = .seconds(35)
      $0.idle = .seconds(5)
      $0.clientStall = .seconds(9)
    }
    // Its first event may come at once: then 5 s of silence are too long.
    expect(clock, .quiet(until: at(5)), at: 0)
    clock.firstTokenCame()
    clock.backendSent(at: at(1))
    expect(clock, .quiet(until: at(6)), at: 5)
    clock.backendPaused()
    expect(clock, .quiet(until: at(11)), at: 6)
    clock.clientBlocked(at: at(7))
    expect(clock, .quiet(until: at(16)), at: 15)
    expect(clock, .clientStalled, at: 16)
  }

  @Test func `what is said to be due next is due then, and not before`() {
    var clock = clock { $0.total = .seconds(300) }
    clock.firstTokenCame()
    var now = 0.0
    var verdicts: [Verdict] = []
    while verdicts.count < 12 {
      let verdict = clock.verdict(at: at(now), keepsAlive: true)
      guard case .quiet(let next) = verdict else {
        verdicts.append(verdict)
        if verdict != .keepaliveIsDue { break }
        clock.sent(at: at(now))
        continue
      }
      #expect(next > at(now))
      now = (next - at(0)).seconds
    }
    #expect(verdicts == [.keepaliveIsDue, .keepaliveIsDue, .keepaliveIsDue, .keepaliveIsDue, .idleTimeout])
  }
}
