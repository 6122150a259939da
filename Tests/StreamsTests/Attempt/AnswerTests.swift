import Streams
import Testing
import Time

@Suite struct AnswerTests {
  private static func policy(_ gate: GateCondition, _ causes: Set<RetryPolicy.Cause> = [.gate]) -> WaterfallPolicy {
    var policy = WaterfallPolicy()
    policy.gate = gate
    policy.retry.nonIdempotent = causes
    return policy
  }

  private static let safe = AttemptRequest(effect: .none, expectsStream: true)
  private static let call = AttemptRequest(effect: .repeated, expectsStream: true)
  private static let put = AttemptRequest(effect: .idempotent, expectsStream: true)
  private static let all = [safe, put, call]
  private static let good = [200, 201, 202, 203, 204, 205, 206, 299]

  @Test(arguments: RequestEffect.allCases, [true, false])
  func `a lone upstream without a gate is relayed or streamed, whatever it says`(
    effect: RequestEffect, expectsStream: Bool
  ) {
    var policy = WaterfallPolicy()
    policy.isTransparent = true
    let request = AttemptRequest(effect: effect, expectsStream: expectsStream)
    for status in Self.good + [300, 304, 400, 401, 404, 405, 408, 429, 500, 503] {
      for kind in Answer.Kind.allCases {
        for isEmpty in [true, false] {
          let isStream = status < 300 && kind == .events && !(isEmpty && [202, 204, 205].contains(status))
          let meaning = Answer(status: status, kind: kind, isEmpty: isEmpty).meaning(for: request, under: policy)
          #expect(meaning == (isStream ? .stream : .relay), "\(status) \(kind) \(isEmpty)")
        }
      }
    }
  }

  @Test(arguments: GateCondition.allCases, RequestEffect.allCases)
  func `a status is the next upstream's turn where the route names it, and else the client's`(
    gate: GateCondition, effect: RequestEffect
  ) {
    var policy = Self.policy(gate)
    policy.retry.statuses = [418...418, 502...504]
    let request = AttemptRequest(effect: effect, expectsStream: true)
    for status in 300...599 {
      let isNamed = status == 418 || (502...504).contains(status)
      for kind in Answer.Kind.allCases {
        for isEmpty in [true, false] {
          let answer = Answer(status: status, kind: kind, isEmpty: isEmpty, retryAfter: .seconds(3))
          let meaning = answer.meaning(for: request, under: policy)
          #expect(meaning == (isNamed ? .next(.status(status, retryAfter: .seconds(3))) : .relay))
        }
      }
    }
  }

  @Test func `the statuses that are named by default are 408, 425, 429 and 5xx`() {
    let named = (100...599).filter { RetryPolicy().statuses.contains($0) }
    #expect(named == [408, 425, 429] + Array(500...599))
  }

  @Test(arguments: [200, 201, 202, 203, 206])
  func `an event stream goes out or is held, as the gate says`(status: Int) {
    for request in Self.all + [AttemptRequest(effect: .repeated, expectsStream: false)] {
      for gate in GateCondition.allCases {
        let meaning = Answer(status: status, kind: .events).meaning(for: request, under: Self.policy(gate))
        #expect(meaning == (gate == .head ? .stream : .gate))
      }
    }
  }

  @Test func `an event stream that is empty by its length is a call's answer, unless the route's gate is named`() {
    let answer = Answer(status: 200, kind: .events, isEmpty: true)
    for gate in GateCondition.allCases {
      #expect(answer.meaning(for: Self.safe, under: Self.policy(gate)) == .next(.emptyBody))
      for request in [Self.put, Self.call] {
        let meaning = answer.meaning(for: request, under: Self.policy(gate))
        #expect(meaning == (gate == .head ? .stream : .next(.emptyBody)))
        #expect(answer.meaning(for: request, under: Self.policy(gate, [])) == .stream)
      }
    }
  }

  @Test(arguments: GateCondition.allCases, RequestEffect.allCases)
  func `what has no body to come, what is accepted and what is encoded is relayed`(
    gate: GateCondition, effect: RequestEffect
  ) {
    let policy = Self.policy(gate, Set(RetryPolicy.Cause.allCases))
    let request = AttemptRequest(effect: effect, expectsStream: true)
    for status in [202, 204, 205] {
      for kind in Answer.Kind.allCases {
        #expect(Answer(status: status, kind: kind, isEmpty: true).meaning(for: request, under: policy) == .relay)
      }
      #expect(Answer(status: status, kind: .unasked).meaning(for: request, under: policy) == .relay)
    }
    for status in [200, 201, 203, 206] {
      for isEmpty in [true, false] {
        for kind in [Answer.Kind.accepted, .encodedEvents] {
          #expect(Answer(status: status, kind: kind, isEmpty: isEmpty).meaning(for: request, under: policy) == .relay)
        }
      }
      let plain = AttemptRequest(effect: effect, expectsStream: false)
      #expect(Answer(status: status, kind: .unasked).meaning(for: plain, under: policy) == .relay)
    }
  }

  @Test(arguments: GateCondition.allCases)
  func `another type than Accept names is the next one's turn only where the request had no effect`(
    gate: GateCondition
  ) {
    for isEmpty in [true, false] {
      let answer = Answer(status: 200, kind: .unasked, isEmpty: isEmpty)
      #expect(answer.meaning(for: Self.safe, under: Self.policy(gate)) == .next(.wrongContentType))
      for request in [Self.put, Self.call] {
        #expect(answer.meaning(for: request, under: Self.policy(gate)) == .relay)
        let named = answer.meaning(for: request, under: Self.policy(gate, [.wrongContentType]))
        #expect(named == (isEmpty ? .relay : .next(.wrongContentType)))
      }
    }
  }

  @Test func `on a stream that is open already nothing but events can be told`() {
    let policy = Self.policy(.firstToken)
    for request in Self.all {
      func meaning(_ status: Int, _ kind: Answer.Kind, isEmpty: Bool = false) -> Answer.Meaning {
        Answer(status: status, kind: kind, isEmpty: isEmpty).meaning(for: request, under: policy, isOpenEarly: true)
      }
      let isSafe = request == Self.safe
      #expect(meaning(200, .events) == .gate)
      #expect(meaning(200, .events, isEmpty: true) == .next(.emptyBody))
      for kind in [Answer.Kind.accepted, .encodedEvents, .unasked] {
        #expect(meaning(200, kind) == (isSafe ? .next(.wrongContentType) : .refuse(.wrongContentType)))
      }
      #expect(meaning(204, .accepted, isEmpty: true) == .next(.emptyBody))
      for status in [301, 400, 401, 404] {
        #expect(meaning(status, .accepted) == .refuse(.status(status, retryAfter: nil)))
      }
      #expect(meaning(503, .accepted) == .next(.status(503, retryAfter: nil)))
    }
    let open = Self.policy(.head)
    let empty = Answer(status: 200, kind: .events, isEmpty: true)
    #expect(empty.meaning(for: Self.call, under: open, isOpenEarly: true) == .refuse(.emptyBody))
  }
}

@Suite struct RetryPolicyTests {
  private static let faults: [AttemptFault] = [
    .connectFailed(""), .tlsFailed(""), .timedOut, .budgetSpent, .status(503, retryAfter: nil),
    .status(404, retryAfter: nil), .wrongContentType, .emptyBody, .noContent, .errorEvent, .cut, .malformed(""),
  ]

  /// What is repeated in every phase, as the words of the faults.
  private func repeated(
    _ effect: RequestEffect, gate: GateCondition, _ causes: Set<RetryPolicy.Cause>, expectsStream: Bool = true,
    in phase: AttemptPhase
  ) -> Set<String> {
    var policy = WaterfallPolicy()
    policy.gate = gate
    policy.retry.nonIdempotent = causes
    let request = AttemptRequest(effect: effect, expectsStream: expectsStream)
    let words = Self.faults.filter { policy.mayRepeat(request, after: $0, in: phase) }.map { fault in
      fault.status.map { "\($0)" } ?? fault.reason
    }
    return Set(words)
  }

  private let always: Set<String> = ["connect_failed", "tls_failed", "503"]
  private let bodies: Set<String> = ["timed_out", "cut", "malformed", "no_content", "error_event"]
  private let answers: Set<String> = ["wrong_content_type", "empty_body"]

  @Test(arguments: AttemptPhase.allCases, GateCondition.allCases)
  func `a request without an effect is made again after everything, but not beyond the budget`(
    phase: AttemptPhase, gate: GateCondition
  ) {
    #expect(repeated(.none, gate: gate, [], in: phase) == always.union(bodies).union(answers))
  }

  @Test(arguments: [AttemptPhase.connect, .tls], RequestEffect.allCases)
  func `before the request could be sent it has no effect`(phase: AttemptPhase, effect: RequestEffect) {
    #expect(repeated(effect, gate: .head, [], in: phase) == always.union(bodies).union(answers))
  }

  @Test func `after it was sent, a call is made again only for what the route names`() {
    let all: Set<RetryPolicy.Cause> = [.gate]
    #expect(repeated(.repeated, gate: .head, all, in: .head) == always)
    #expect(repeated(.repeated, gate: .head, [.cut], in: .head) == always.union(["cut", "malformed"]))
    #expect(repeated(.repeated, gate: .head, [.timeout], in: .head) == always.union(["timed_out"]))
    #expect(
      repeated(.repeated, gate: .head, [.wrongContentType], in: .head) == always.union(["wrong_content_type"]))
    #expect(repeated(.repeated, gate: .firstToken, [], in: .head) == always)
    let gated = repeated(.repeated, gate: .firstToken, all, in: .head)
    #expect(gated == always.union(["timed_out", "empty_body", "no_content", "error_event"]))
    // What is no stream is not the gate's business: its answer may take as long as it takes.
    let plain = repeated(.repeated, gate: .firstToken, all, expectsStream: false, in: .head)
    #expect(plain == gated.subtracting(["timed_out"]))
  }

  @Test(arguments: [AttemptPhase.firstEvent, .firstToken])
  func `what the gate finds bad is made again where the gate is named`(phase: AttemptPhase) {
    for gate in [GateCondition.firstEvent, .firstToken] {
      let named = repeated(.repeated, gate: gate, [.gate], in: phase)
      #expect(named == always.union(bodies).union(answers))
      #expect(repeated(.repeated, gate: gate, [.cut, .timeout, .wrongContentType], in: phase) == always)
    }
  }

  @Test func `PUT and DELETE are made again after a failure, and not after an answer`() {
    #expect(repeated(.idempotent, gate: .head, [], in: .head) == always.union(bodies))
  }

  @Test func `a call that another upstream is not asked for says so`() {
    for (fault, isOpen) in [(AttemptFault.cut, true), (.malformed("x"), true), (.connectFailed("x"), false)] {
      var waterfall = Waterfall.begun(effect: .repeated)
      waterfall.entered(.head)
      let step = waterfall.failed(fault, at: at(1))
      #expect(step == (isOpen ? .exhausted : .attempt(upstream: 3)))
      #expect(waterfall.mayHaveHadEffect == isOpen)
    }
    var last = Waterfall.begun([1], effect: .repeated)
    last.entered(.head)
    #expect(last.failed(.cut, at: at(1)) == .exhausted && !last.mayHaveHadEffect)
  }

  @Test func `a call is not let go for being slow where it can't be made again`() {
    func limit(_ causes: Set<RetryPolicy.Cause>, gate: GateCondition = .head, expectsStream: Bool = true) -> Int? {
      var waterfall = Waterfall.begun(gate: gate, effect: .repeated, expectsStream: expectsStream) {
        $0.budget = .zero
        $0.answerBudget = .zero
        $0.retry.nonIdempotent = causes
      }
      waterfall.entered(.head)
      return (0...1000).first { waterfall.timePassed(at: at(Double($0))) == .moveOn(.timedOut) }
    }
    #expect(limit([]) == nil)
    #expect(limit([.gate]) == nil)
    #expect(limit([.timeout]) == 30)
    #expect(limit([.gate], gate: .firstToken) == 30)
    #expect(limit([.gate], gate: .firstToken, expectsStream: false) == nil)
    #expect(limit([.timeout], expectsStream: false) == 300)
  }
}

@Suite struct StatusMeaningTests {
  @Test func `what a status says of an upstream depends on whose credentials it answers`() {
    let policy = HealthPolicy()
    for status in 300...599 {
      for hasOwn in [true, false] {
        for wait: Nanoseconds? in [nil, .zero, .seconds(9)] {
          let isClients = hasOwn && [401, 403, 429].contains(status)
          let cools = wait == .seconds(9) && [429, 503].contains(status) && !isClients
          let meaning = policy.meaning(of: status, retryAfter: wait, hasClientCredentials: hasOwn)
          #expect(
            meaning == (cools ? .coolDown(.seconds(9)) : status >= 500 ? .failure : .nothing),
            "\(status) \(hasOwn)")
        }
      }
    }
  }

  @Test func `the lists say which statuses count`() {
    var policy = HealthPolicy()
    policy.failureStatuses = [401...401]
    policy.coolDownStatuses = []
    policy.clientStatuses = [500...500]
    #expect(policy.meaning(of: 401, retryAfter: nil, hasClientCredentials: true) == .failure)
    #expect(policy.meaning(of: 500, retryAfter: nil, hasClientCredentials: false) == .nothing)
    #expect(policy.meaning(of: 503, retryAfter: .seconds(1), hasClientCredentials: false) == .nothing)
  }

  @Test func `a client's own refusals leave the upstream in, and do not count as successes that it needs`() {
    var policy = HealthPolicy()
    policy.failures = 2
    var health = UpstreamHealth(policy: policy)
    for second in 0..<10 {
      health.attemptFailed(
        .status(429, retryAfter: .seconds(60)), hasClientCredentials: true, at: at(Double(second)))
    }
    #expect(health.state(at: at(10)) == .available(weightFactor: 1) && health.counts.coolDowns == 0)
    health.attemptFailed(.status(429, retryAfter: .seconds(60)), hasClientCredentials: false, at: at(10))
    #expect(health.state(at: at(10)) == .coolingDown(until: at(70)))
    var relayed = UpstreamHealth(policy: policy)
    for _ in 0..<2 { relayed.answered(500, retryAfter: nil, hasClientCredentials: true, at: at(0)) }
    #expect(relayed.state(at: at(0)) == .ejected(until: at(10)))
    var fine = UpstreamHealth(policy: policy)
    fine.answered(404, retryAfter: nil, hasClientCredentials: false, at: at(0))
    #expect(fine.counts.successes == 1 && fine.counts.failures == 0)
  }
}
