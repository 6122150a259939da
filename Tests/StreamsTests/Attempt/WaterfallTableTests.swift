import Streams
import Testing
import Time

/// What every event does in every state.
@Suite struct WaterfallTableTests {
  enum Event: String, CaseIterable, Sendable {
    case begins, connects, isSent, plainHead, eventHead, errorHead, gateHolds, gateOpens, gateRefuses
    case isCommitted, fails, timePasses, limitPasses, opensEarly, bodyOutgrows
  }

  /// A state, by the events that lead to it.
  struct Row: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let path: [Event]
    let phase: AttemptPhase?
    let current: Int?
    /// What events change or bring; all others bring nothing, and leave the state as it is.
    let answers: [Event: Answered]

    init(_ name: String, _ path: [Event], _ phase: AttemptPhase?, _ current: Int?, _ answers: [Event: Answered]) {
      (testDescription, self.path, self.phase, self.current) = (name, path, phase, current)
      self.answers = answers
    }
  }

  /// What an event brings, and how far the waterfall is then.
  struct Answered: Sendable {
    let action: Waterfall.Action
    let phase: AttemptPhase?
    let current: Int?

    init(_ action: Waterfall.Action, _ phase: AttemptPhase?, _ current: Int?) {
      (self.action, self.phase, self.current) = (action, phase, current)
    }
  }

  private static let bad = AttemptFault.status(503, retryAfter: nil)
  /// Where there is nobody to be timed.
  private static let idle = Waterfall.Action.quiet(until: at(3601))

  private static func next(_ phase: AttemptPhase, _ current: Int, quiet: Double, then next: Int?) -> [Event: Answered] {
    let failed = next.map { Answered(.attempt(upstream: $0), .connect, $0) } ?? Answered(.exhausted, nil, nil)
    return [
      .plainHead: Answered(.moveOn(.wrongContentType), phase, current),
      .eventHead: Answered(.gate, max(phase, .firstEvent), current),
      .errorHead: Answered(.moveOn(bad), phase, current),
      .isCommitted: Answered(.nothing, .streaming, current),
      .fails: failed,
      .timePasses: Answered(.quiet(until: at(quiet)), phase, current),
      .limitPasses: Answered(.moveOn(.timedOut), phase, current),
      .connects: Answered(.nothing, max(phase, .head), current),
    ]
  }

  private static let gate: [Event: Answered] = [
    .gateOpens: Answered(.release, .firstEvent, 7),
    .gateRefuses: Answered(.moveOn(.errorEvent), .firstEvent, 7),
  ]

  private static let rows = [
    Row(
      "nothing was tried", [], nil, nil,
      [.begins: Answered(.attempt(upstream: 7), .connect, 7), .timePasses: Answered(idle, nil, nil)]),
    Row("the first is being reached", [.begins], .connect, 7, next(.connect, 7, quiet: 5, then: 3)),
    Row("the first has the request", [.begins, .connects], .head, 7, next(.head, 7, quiet: 15, then: 3)),
    Row(
      "the first one's response is held", [.begins, .connects, .eventHead], .firstEvent, 7,
      next(.firstEvent, 7, quiet: 15, then: 3).merging(gate) { $1 }),
    Row("the last is being reached", [.begins, .fails], .connect, 3, next(.connect, 3, quiet: 6, then: nil)),
    Row(
      "the request can't be repeated", [.begins, .connects, .bodyOutgrows], .head, 7,
      next(.head, 7, quiet: 15, then: nil)),
    Row(
      "the client's stream was opened early", [.begins, .connects, .opensEarly], .head, 7,
      next(.head, 7, quiet: 30, then: 3)),
    Row(
      "a response goes to the client", [.begins, .connects, .isCommitted], .streaming, 7,
      [.timePasses: Answered(idle, .streaming, 7)]),
    Row(
      "nobody is left", [.begins, .fails, .fails], nil, nil, [.timePasses: Answered(idle, nil, nil)]),
  ]

  @Test(arguments: rows, Event.allCases) func `an event does in a state what the table says`(row: Row, event: Event) {
    var policy = WaterfallPolicy()
    policy.gate = .firstToken
    var waterfall = Waterfall(
      order: [7, 3], policy: policy, request: AttemptRequest(effect: .none, expectsStream: true), mayReplay: true,
      startedAt: at(0))
    for (step, event) in row.path.enumerated() { _ = Self.tell(event, &waterfall, at: at(step == 0 ? 0 : 1)) }
    let before = (waterfall.phase, waterfall.current, waterfall.reports.count)
    #expect(before.0 == row.phase && before.1 == row.current)

    let action = Self.tell(event, &waterfall, at: at(1))
    let expected = row.answers[event] ?? Answered(.nothing, row.phase, row.current)
    let after = (waterfall.phase, waterfall.current, waterfall.reports.count)
    #expect(action == expected.action)
    #expect(after.0 == expected.phase && after.1 == expected.current)
    // Only the failure of an attempt is reported.
    #expect(after.2 - before.2 == (event == .fails && row.answers[.fails] != nil ? 1 : 0))
  }

  private static func tell(_ event: Event, _ waterfall: inout Waterfall, at now: MonotonicTime) -> Waterfall.Action {
    switch event {
    case .begins: return waterfall.begin(timeouts: { _ in nil }, at: now)
    case .plainHead: return waterfall.receivedHead(Answer(status: 200, kind: .unasked), at: now)
    case .eventHead: return waterfall.receivedHead(Answer(status: 200, kind: .events), at: now)
    case .errorHead: return waterfall.receivedHead(Answer(status: 503, kind: .unasked), at: now)
    case .gateHolds: return waterfall.gateSaid(.holding)
    case .gateOpens: return waterfall.gateSaid(.open)
    case .gateRefuses: return waterfall.gateSaid(.failed(.errorEvent))
    case .fails: return waterfall.failed(.cut, at: now)
    case .timePasses: return waterfall.timePassed(at: now)
    case .limitPasses: return waterfall.passed(.body)
    case .connects: waterfall.entered(.head)
    case .isSent: waterfall.requestWasSent(at: now)
    case .isCommitted: waterfall.committed()
    case .opensEarly: waterfall.openedEarly()
    case .bodyOutgrows: waterfall.bodyOutgrewReplay()
    }
    return .nothing
  }
}
