import Streams
import Testing
import Time

/// Which limit ends an attempt, and when.
struct WaterfallLimitTests {
  /// The limits of a lone upstream: `connect` and then `head` or `answer`, whatever the budget.
  @Test(arguments: [
    (true, false, 30.0, TimeLimit.head), (false, false, 300, .answer), (true, true, 300, .answer),
  ])
  func `a lone upstream has the documented time to answer`(
    _ expectsStream: Bool, _ acceptsAnswer: Bool, _ seconds: Double, _ limit: TimeLimit
  ) {
    var waterfall = Waterfall.begun([1], expectsStream: expectsStream) {
      $0.isTransparent = true
      $0.commitAfter = .seconds(15)
    }
    waterfall.acceptsAnswer = acceptsAnswer
    #expect(waterfall.timePassed(at: at(4)) == .quiet(until: at(5)), "until it is connected")
    waterfall.entered(.head)
    #expect(waterfall.timePassed(at: at(5)) == .quiet(until: at(seconds)))
    #expect(waterfall.timePassed(at: at(seconds)) == .moveOn(.timedOut))
    #expect(waterfall.failed(.timedOut, at: at(seconds)) == .exhausted)
    #expect(waterfall.reports.map(\.limit) == [limit])
  }

  @Test func `an upstream's own limits go over its route's, and 0 is none`() {
    var own = AttemptTimeouts()
    own.head = .seconds(2)
    own.answer = .zero
    for (expectsStream, until) in [(true, 2.0), (false, 3601)] {
      var waterfall = Waterfall.begun([1], expectsStream: expectsStream, timeouts: [1: own]) {
        $0.isTransparent = true
      }
      waterfall.entered(.head)
      #expect(waterfall.timePassed(at: at(1)) == .quiet(until: at(until)))
    }
  }

  @Test func `a lone upstream's time begins when it has the whole request`() {
    var policy = WaterfallPolicy()
    policy.isTransparent = true
    var waterfall = Waterfall(
      order: [1], policy: policy, request: AttemptRequest(effect: .none, expectsStream: true), mayReplay: false,
      awaitsClient: true, startedAt: at(0))
    _ = waterfall.begin(timeouts: { _ in nil }, at: at(0))
    waterfall.entered(.head)
    #expect(waterfall.timePassed(at: at(50)) == .quiet(until: at(3650)))
    waterfall.requestWasSent(at: at(50))
    #expect(waterfall.timePassed(at: at(51)) == .quiet(until: at(80)))
  }

  @Test func `a call that accepts a plain answer has its time on tiers too, and no stream is opened for it`() {
    var waterfall = Waterfall.begun([1, 2]) { $0.commitAfter = .seconds(15) }
    waterfall.acceptsAnswer = true
    waterfall.entered(.head)
    #expect(waterfall.timePassed(at: at(100)) == .quiet(until: at(300)))
    #expect(waterfall.timePassed(at: at(300)) == .moveOn(.timedOut))
    #expect(waterfall.failed(.timedOut, at: at(300)) == .attempt(upstream: 2))
    waterfall.entered(.head)
    #expect(waterfall.timePassed(at: at(301)) == .quiet(until: at(600)))
    _ = waterfall.timePassed(at: at(600))
    #expect(waterfall.failed(.timedOut, at: at(600)) == .exhausted)
    #expect(waterfall.reports.map(\.limit) == [.answer, .answerBudget])
  }

  @Test(arguments: [
    (AttemptPhase.connect, TimeLimit.connect), (.head, .head), (.firstEvent, .firstEvent), (.firstToken, .firstToken),
  ])
  func `a report names the limit of the phase that took too long`(_ phase: AttemptPhase, _ limit: TimeLimit) {
    var waterfall = Waterfall.begun(gate: .firstToken) {
      $0.timeouts.connect = .seconds(1)
      $0.timeouts.head = .seconds(2)
      $0.timeouts.firstEvent = .seconds(3)
      $0.timeouts.firstToken = .seconds(4)
      if phase == .firstEvent { $0.timeouts.head = .zero }
    }
    waterfall.entered(phase)
    var now = 0.5
    while waterfall.timePassed(at: at(now)) != .moveOn(.timedOut), now < 10 { now += 0.5 }
    _ = waterfall.failed(.timedOut, at: at(now))
    #expect(waterfall.reports.map(\.limit) == [limit])
    #expect(waterfall.failed(.cut, at: at(now)) != .exhausted)
    #expect(waterfall.reports.last?.limit == nil)
  }
}
