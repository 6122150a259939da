import Streams
import Testing
import Time

struct TimeLimitTests {
  @Test func `whatever a peer is waited for has a limit, in every mode, on every route`() {
    for wait in PeerWait.allCases {
      for mode in Mode.allCases {
        for (isLone, isLast) in [(true, true), (false, true), (false, false)] {
          #expect(!wait.limits(isLone: isLone, isLast: isLast, mode: mode).isEmpty, "\(wait)")
        }
      }
    }
  }

  @Test func `every limit runs somewhere`() {
    var seen: Set<TimeLimit> = []
    for wait in PeerWait.allCases {
      for (isLone, isLast) in [(true, true), (false, true), (false, false)] {
        seen.formUnion(wait.limits(isLone: isLone, isLast: isLast, mode: .legacy))
        seen.formUnion(wait.limits(isLone: isLone, isLast: isLast, mode: .graceful))
      }
    }
    #expect(seen == Set(TimeLimit.allCases))
  }

  @Test func `legacy waits for its first event as long as anything comes, unless it was given a limit`() {
    var limits = Watchdogs()
    var clock = StreamClock(limits: limits.serving(.legacy), openedAt: at(0))
    for second in 1...300 {
      clock.backendSent(at: at(Double(second)))
      guard case .quiet = clock.verdict(at: at(Double(second)), keepsAlive: false) else {
        Issue.record("ended after \(second) s")
        return
      }
    }
    #expect(clock.verdict(at: at(355), keepsAlive: false) == .idleTimeout)
    limits.firstTokenInLegacy = .seconds(10)
    clock = StreamClock(limits: limits.serving(.legacy), openedAt: at(0))
    clock.backendSent(at: at(9))
    #expect(clock.verdict(at: at(10), keepsAlive: false) == .firstTokenTimeout)
    for mode in [Mode.shield, .graceful] {
      clock = StreamClock(limits: limits.serving(mode), openedAt: at(0))
      clock.backendSent(at: at(34))
      #expect(clock.verdict(at: at(35), keepsAlive: false) == .firstTokenTimeout)
    }
  }

  @Test func `the reason of an end names its limit`() {
    #expect(StreamClock.Verdict.idleTimeout.ending?.reason.text == "the backend was silent for too long (stream.idle)")
    #expect(StreamClock.Verdict.totalTimeout.ending?.limit == .total)
    #expect(StreamClock.Verdict.clientStalled.ending == nil)
  }

  @Test func `the limit behind a sentence is read back`() {
    for limit in TimeLimit.allCases { #expect(TimeLimit(endingOf: limit.ending("it took too long")) == limit) }
    for text in ["", "the backend ended", "strange (stream.nothing)", ")", "a (stream.idle) b"] {
      #expect(TimeLimit(endingOf: text) == nil)
    }
  }

  @Test func `a peer that takes a little is slow, one that takes nothing is stalled`() {
    var watch = SendWatch()
    #expect(!watch.isStalled(for: .seconds(30), at: at(100)))
    watch.measureProgress(acknowledged: 1000, writtenAt: at(0), at: at(100))
    #expect(!watch.isStalled(for: .seconds(30), at: at(129)))
    for second in stride(from: 120.0, to: 1000, by: 20) {
      watch.measureProgress(acknowledged: UInt64(second * 10), writtenAt: at(0), at: at(second))
      #expect(!watch.isStalled(for: .seconds(30), at: at(second)))
    }
    watch.measureProgress(acknowledged: 9800, writtenAt: at(985), at: at(1000))
    #expect(watch.progressAt == at(985), "what the socket took is progress too, where the kernel says nothing")
    watch.measureProgress(acknowledged: 9800, writtenAt: at(985), at: at(1014))
    #expect(!watch.isStalled(for: .seconds(30), at: at(1014)))
    #expect(watch.isStalled(for: .seconds(30), at: at(1015)))
    #expect(!watch.isStalled(for: .zero, at: at(5000)), "0: no limit")
    watch.caughtUp()
    #expect(!watch.isStalled(for: .seconds(30), at: at(5000)))
  }
}
