import Streams
import Testing
import Time

/// A point `seconds` after the start of a test's world.
func at(_ seconds: Double) -> MonotonicTime {
  MonotonicTime(nanoseconds: 1_000_000_000_000) + .seconds(seconds)
}

extension Waterfall {
  /// One that has begun at 0 s.
  static func begun(
    _ order: [Int] = [7, 3, 5], gate: GateCondition = .head, effect: RequestEffect = .none, expectsStream: Bool = true,
    mayReplay: Bool = true, timeouts: [Int: AttemptTimeouts] = [:], _ change: (inout WaterfallPolicy) -> Void = { _ in }
  ) -> Waterfall {
    var policy = WaterfallPolicy()
    policy.gate = gate
    policy.commitAfter = .zero
    change(&policy)
    var waterfall = Waterfall(
      order: order, policy: policy, request: AttemptRequest(effect: effect, expectsStream: expectsStream),
      mayReplay: mayReplay, startedAt: at(0))
    let first = waterfall.begin(timeouts: { timeouts[$0] }, at: at(0))
    #expect(first == (order.first.map { .attempt(upstream: $0) } ?? .exhausted))
    return waterfall
  }

  mutating func head(
    _ status: Int, isEventStream: Bool = false, isEmpty: Bool = false, retryAfter: Nanoseconds? = nil,
    at now: MonotonicTime = at(1)
  ) -> Action {
    receivedHead(
      Answer(
        status: status, kind: isEventStream ? .events : .unasked, isEmpty: isEmpty || status == 204,
        retryAfter: retryAfter), at: now)
  }
}

struct WaterfallTests {
  static let faults: [AttemptFault] = [
    .connectFailed("refused"), .tlsFailed("expired"), .timedOut, .status(408, retryAfter: nil),
    .status(425, retryAfter: nil), .status(429, retryAfter: .seconds(7)), .status(500, retryAfter: nil),
    .status(503, retryAfter: .seconds(3)), .status(599, retryAfter: nil), .wrongContentType, .emptyBody, .noContent,
    .errorEvent, .cut, .malformed("no status line"),
  ]

  @Test(arguments: AttemptPhase.allCases, faults)
  func `every fault in every phase is reported, and the next upstream is tried`(
    phase: AttemptPhase, fault: AttemptFault
  ) {
    func limit(_ phase: AttemptPhase) -> TimeLimit? { fault == .timedOut && phase < .head ? .connect : nil }
    var waterfall = Waterfall.begun(gate: .firstToken)
    waterfall.entered(phase)
    #expect(waterfall.phase == phase)
    #expect(waterfall.failed(fault, at: at(1.25)) == .attempt(upstream: 3))
    #expect(waterfall.current == 3 && waterfall.phase == .connect)
    waterfall.entered(phase)
    #expect(waterfall.failed(fault, at: at(2)) == .attempt(upstream: 5))
    #expect(waterfall.failed(fault, at: at(2)) == .exhausted)
    #expect(
      waterfall.reports == [
        AttemptReport(upstream: 7, phase: phase, fault: fault, milliseconds: 1250, limit: limit(phase)),
        AttemptReport(upstream: 3, phase: phase, fault: fault, milliseconds: 750, limit: limit(phase)),
        AttemptReport(upstream: 5, phase: .connect, fault: fault, milliseconds: 0, limit: limit(.connect)),
      ])
    #expect(waterfall.failed(fault, at: at(3)) == .nothing, "nothing comes after the end")
    #expect(waterfall.reports.count == 3)
    #expect(waterfall.retryAfter == max(1, Int(fault.retryAfter?.seconds ?? 1)))
  }

  @Test(arguments: AttemptPhase.allCases, faults)
  func `what can't be sent again is tried once`(phase: AttemptPhase, fault: AttemptFault) {
    var waterfall = Waterfall.begun(mayReplay: false)
    waterfall.entered(phase)
    #expect(waterfall.failed(fault, at: at(1)) == .exhausted)
    var other = Waterfall.begun()
    other.entered(phase)
    other.bodyOutgrewReplay()
    #expect(other.failed(fault, at: at(1)) == .exhausted)
    #expect(other.reports.count == 1)
  }

  @Test(arguments: AttemptPhase.allCases, faults)
  func `a response that goes to the client is the last one`(phase: AttemptPhase, fault: AttemptFault) {
    var waterfall = Waterfall.begun()
    waterfall.entered(phase)
    waterfall.committed()
    #expect(waterfall.phase == .streaming && waterfall.current == 7)
    #expect(waterfall.failed(fault, at: at(2)) == .nothing)
    #expect(waterfall.reports.isEmpty)
    #expect(waterfall.timePassed(at: at(1000)) == .quiet(until: at(4600)))
  }

  @Test func `phases only go on`() {
    var waterfall = Waterfall.begun()
    waterfall.entered(.head)
    waterfall.entered(.tls)
    #expect(waterfall.phase == .head)
  }

  @Test func `without an upstream nothing is tried`() {
    var waterfall = Waterfall.begun([])
    #expect(waterfall.current == nil && waterfall.reports.isEmpty && waterfall.retryAfter == 1)
    #expect(waterfall.timePassed(at: at(1)) == .quiet(until: at(3601)))
    #expect(waterfall.failed(.cut, at: at(1)) == .nothing)
  }

  @Test func `the smallest Retry-After is told, in whole seconds`() {
    var waterfall = Waterfall.begun()
    _ = waterfall.failed(.status(429, retryAfter: .seconds(20)), at: at(1))
    _ = waterfall.failed(.status(503, retryAfter: .milliseconds(4001)), at: at(2))
    _ = waterfall.failed(.cut, at: at(3))
    #expect(waterfall.retryAfter == 5)
    var other = Waterfall.begun([1])
    _ = other.failed(.status(429, retryAfter: .zero), at: at(1))
    #expect(other.retryAfter == 1)
  }

  @Test func `every fault has a word of its own`() {
    let words = Set(Self.faults.map(\.reason) + [AttemptFault.budgetSpent.reason])
    #expect(words.count == 11)
    #expect(words.allSatisfy { $0.utf8.allSatisfy { $0 == 0x5F || (0x61...0x7A).contains($0) } })
    let results = AttemptResult.allCases.map(\.word)
    #expect(results.count == 11 + 1 + Outcome.allCases.count && Set(results).count == results.count)
  }

  @Test func `what an upstream is not to blame for is not held against it`() {
    for fault in Self.faults {
      // What a status says is for the upstream's policy.
      #expect(fault.blamesUpstream == (fault.status == nil), "\(fault)")
    }
    #expect(!AttemptFault.budgetSpent.blamesUpstream)
  }
}

struct WaterfallHeadTests {
  @Test(arguments: [408, 425, 429, 500, 501, 502, 503, 504, 529, 599])
  func `a status that another upstream may do better than moves on`(status: Int) {
    for expectsStream in [true, false] {
      var waterfall = Waterfall.begun(expectsStream: expectsStream)
      #expect(
        waterfall.head(status, retryAfter: .seconds(2)) == .moveOn(.status(status, retryAfter: .seconds(2))))
    }
  }

  @Test(arguments: [300, 301, 304, 307, 400, 401, 403, 404, 409, 410, 413, 422, 451])
  func `other statuses are the client's to see`(status: Int) {
    for (expectsStream, isEventStream) in [(true, true), (true, false), (false, true), (false, false)] {
      var waterfall = Waterfall.begun(gate: .firstToken, expectsStream: expectsStream)
      #expect(waterfall.head(status, isEventStream: isEventStream) == .relay)
    }
  }

  @Test func `a good event stream is opened at once or held, as the gate says`() {
    for expectsStream in [true, false] {
      var open = Waterfall.begun(gate: .head, expectsStream: expectsStream)
      #expect(open.head(200, isEventStream: true) == .open)
      for gate in [GateCondition.firstEvent, .firstToken] {
        var held = Waterfall.begun(gate: gate, expectsStream: expectsStream)
        #expect(held.head(200, isEventStream: true) == .gate)
        #expect(held.phase == .firstEvent)
      }
    }
  }

  @Test func `what is no stream is a failure where one was asked for`() {
    var expecting = Waterfall.begun()
    #expect(expecting.head(200) == .moveOn(.wrongContentType))
    #expect(expecting.head(201) == .moveOn(.wrongContentType))
    // It stops an EventSource.
    #expect(expecting.head(204) == .relay)
    var plain = Waterfall.begun(expectsStream: false)
    #expect(plain.head(200) == .relay)
    #expect(plain.head(200, isEmpty: true) == .relay)
  }

  @Test func `an event stream without a body is empty`() {
    var waterfall = Waterfall.begun()
    #expect(waterfall.head(200, isEventStream: true, isEmpty: true) == .moveOn(.emptyBody))
  }

  @Test func `a lone upstream without a gate is passed on as it is`() {
    for status in [200, 204, 301, 404, 408, 429, 500, 503] {
      var waterfall = Waterfall.begun([1]) { $0.isTransparent = true }
      #expect(waterfall.head(status) == .relay, "\(status)")
      let isStream = status < 300 && status != 204
      #expect(waterfall.head(status, isEventStream: true) == (isStream ? .open : .relay))
    }
    var waterfall = Waterfall.begun([1]) {
      $0.isTransparent = true
      $0.commitAfter = .seconds(1)
    }
    waterfall.entered(.head)
    #expect(waterfall.timePassed(at: at(29)) == .quiet(until: at(30)), "never opened early, nor held to a budget")
    #expect(waterfall.failed(.cut, at: at(31)) == .exhausted)
  }

  @Test func `once the stream is open, no status can be told any more`() {
    for status in [301, 400, 401, 404] {
      var waterfall = Waterfall.begun()
      waterfall.openedEarly()
      let verdict = waterfall.head(status)
      #expect(verdict == .moveOn(.status(status, retryAfter: nil)))
      #expect(waterfall.failed(.status(status, retryAfter: nil), at: at(1)) == .exhausted, "nobody else is asked")
    }
    var waterfall = Waterfall.begun(expectsStream: false)
    waterfall.openedEarly()
    #expect(waterfall.head(204) == .moveOn(.emptyBody))
    #expect(waterfall.head(200) == .moveOn(.wrongContentType))
    #expect(waterfall.head(503) == .moveOn(.status(503, retryAfter: nil)))
    #expect(waterfall.head(200, isEventStream: true) == .open)
    #expect(waterfall.failed(.wrongContentType, at: at(1)) == .attempt(upstream: 3))
  }
}

struct WaterfallTimeTests {
  /// When the first limit is passed, looking every 100 ms.
  private func limit(_ waterfall: inout Waterfall) -> Double? {
    for tick in 0...8000 where waterfall.timePassed(at: at(Double(tick) / 10)) == .moveOn(.timedOut) {
      return Double(tick) / 10
    }
    return nil
  }

  private static let own: AttemptTimeouts = {
    var own = AttemptTimeouts()
    own.connect = .seconds(1)
    own.head = .seconds(2)
    own.firstEvent = .seconds(3)
    own.firstToken = .seconds(4)
    own.answer = .seconds(100)
    return own
  }()

  @Test(arguments: [
    (GateCondition.head, [1.0, 1, 2, 60, 60]), (.firstEvent, [1, 1, 2, 3, 60]), (.firstToken, [1, 1, 2, 3, 4]),
  ])
  func `each phase has its limit from the attempt's start`(gate: GateCondition, limits: [Double]) {
    for (phase, expected) in zip(AttemptPhase.allCases, limits) {
      var waterfall = Waterfall.begun(gate: gate, timeouts: [7: Self.own])
      waterfall.entered(phase)
      #expect(limit(&waterfall) == expected, "\(phase)")
    }
  }

  @Test func `the last candidate has what is left of the budget, but must connect in time`() {
    for phase in AttemptPhase.allCases {
      for (mayReplay, order) in [(true, [1]), (false, [1, 2])] {
        var waterfall = Waterfall.begun(
          order, gate: .firstToken, mayReplay: mayReplay, timeouts: [1: Self.own]
        ) { $0.budget = .seconds(20) }
        waterfall.entered(phase)
        #expect(limit(&waterfall) == (phase < .head ? 1 : 20))
      }
    }
    var waterfall = Waterfall.begun([1, 2], gate: .firstToken, timeouts: [1: Self.own]) { $0.budget = .seconds(20) }
    #expect(waterfall.timePassed(at: at(0)) == .quiet(until: at(1)))
    _ = waterfall.failed(.timedOut, at: at(15))
    waterfall.entered(.head)
    #expect(waterfall.timePassed(at: at(16)) == .quiet(until: at(20)))
    #expect(waterfall.timePassed(at: at(20)) == .moveOn(.timedOut))
    #expect(waterfall.failed(.timedOut, at: at(20)) == .exhausted)
    #expect(waterfall.reports.map(\.fault) == [.timedOut, .budgetSpent])
  }

  @Test func `nobody is tried once the budget is spent`() {
    var waterfall = Waterfall.begun { $0.budget = .seconds(10) }
    waterfall.entered(.head)
    #expect(waterfall.timePassed(at: at(10)) == .moveOn(.timedOut))
    #expect(waterfall.failed(.timedOut, at: at(10)) == .exhausted)
    #expect(waterfall.reports.first?.fault == .budgetSpent)
    var other = Waterfall.begun { $0.budget = .seconds(10) }
    #expect(other.failed(.cut, at: at(11)) == .exhausted)
    #expect(other.reports.first?.fault == .cut)
  }

  @Test func `a last candidate that took longer than its own limits is to blame for the spent budget`() {
    var waterfall = Waterfall.begun([1])
    waterfall.entered(.head)
    #expect(waterfall.timePassed(at: at(59)) == .quiet(until: at(60)))
    #expect(waterfall.failed(.timedOut, at: at(60)) == .exhausted)
    #expect(waterfall.reports.first?.fault == .timedOut)
  }

  @Test func `without limits nothing is due`() {
    var own = AttemptTimeouts()
    (own.connect, own.head, own.firstEvent, own.firstToken) = (.zero, .zero, .zero, .zero)
    var waterfall = Waterfall.begun(gate: .firstToken, timeouts: [7: own]) { $0.budget = .zero }
    #expect(limit(&waterfall) == nil)
  }

  @Test func `an answer that is no stream is made before its head, and has more time`() {
    var waterfall = Waterfall.begun(gate: .firstToken, expectsStream: false, timeouts: [7: Self.own])
    waterfall.entered(.head)
    #expect(limit(&waterfall) == 100)
    #expect(waterfall.head(200, isEventStream: true, at: at(90)) == .gate)
    #expect(waterfall.timePassed(at: at(92.9)) == .quiet(until: at(93)), "its events are waited for from here")
    #expect(waterfall.timePassed(at: at(93)) == .moveOn(.timedOut))
    var last = Waterfall.begun([1], expectsStream: false)
    last.entered(.head)
    #expect(limit(&last) == 600)
  }

  @Test func `the stream is opened once the client has waited long enough, said once`() {
    for gate in GateCondition.allCases {
      var waterfall = Waterfall.begun(gate: gate) { $0.commitAfter = .seconds(15) }
      waterfall.entered(.head)
      #expect(waterfall.timePassed(at: at(1)) == .quiet(until: at(15)))
      #expect(waterfall.timePassed(at: at(15)) == .openNow)
      #expect(waterfall.isOpenEarly == false)
      #expect(waterfall.timePassed(at: at(15)) == .quiet(until: at(30)))
      waterfall.openedEarly()
      #expect(waterfall.isOpenEarly == true)
      #expect(waterfall.timePassed(at: at(30)) == .moveOn(.timedOut))
      #expect(waterfall.failed(.timedOut, at: at(30)) == .attempt(upstream: 3))
      #expect(waterfall.timePassed(at: at(31)) == .quiet(until: at(35)))
    }
  }

  @Test func `a stream that nobody expects is not opened`() {
    var plain = Waterfall.begun(expectsStream: false) { $0.commitAfter = .seconds(15) }
    plain.entered(.head)
    #expect(plain.timePassed(at: at(16)) == .quiet(until: at(300)))
    plain.expectsStream = true
    #expect(plain.timePassed(at: at(16)) == .openNow, "the request's body may say so later")
  }

  @Test func `while the client still sends its request the upstream's time does not run`() {
    var policy = WaterfallPolicy()
    policy.gate = .firstEvent
    var waterfall = Waterfall(
      order: [1, 2], policy: policy, request: AttemptRequest(effect: .none, expectsStream: true), mayReplay: true,
      awaitsClient: true, startedAt: at(0))
    _ = waterfall.begin(timeouts: { _ in nil }, at: at(0))
    #expect(waterfall.timePassed(at: at(1)) == .quiet(until: at(5)), "it must connect")
    waterfall.entered(.head)
    #expect(waterfall.timePassed(at: at(100)) == .quiet(until: at(3700)))
    waterfall.requestWasSent(at: at(100))
    #expect(waterfall.timePassed(at: at(100)) == .quiet(until: at(115)))
    #expect(waterfall.timePassed(at: at(115)) == .openNow)
    #expect(waterfall.timePassed(at: at(115)) == .quiet(until: at(130)))
    #expect(waterfall.failed(.timedOut, at: at(130)) == .attempt(upstream: 2))
    waterfall.entered(.head)
    #expect(waterfall.timePassed(at: at(131)) == .quiet(until: at(160)))
  }
}
