import RedisLog
import Streams
import Testing
import Time

@Suite struct RedisConnectionMachineTests {
  typealias Machine = RedisConnectionMachine

  enum Event: String, CaseIterable, Sendable {
    case wanted, opens, accepts, refuses, fails, timePasses, muchTimePasses, closes
  }

  /// A state, by the events that lead to it.
  struct Row: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let path: [Event]
    let phase: Machine.Phase
    /// What events bring, and where the connection is then; all others bring nothing, and leave it where it is.
    let answers: [Event: (Machine.Action, Machine.Phase)]

    init(_ name: String, _ path: [Event], _ phase: Machine.Phase, _ answers: [Event: (Machine.Action, Machine.Phase)]) {
      (testDescription, self.path, self.phase, self.answers) = (name, path, phase, answers)
    }
  }

  /// Always has the largest number.
  struct Largest: RandomNumberGenerator {
    mutating func next() -> UInt64 { .max }
  }

  private static let limits = RedisConnection.Limits()
  private static let steps: [RedisConnection.GreetingStep] = [.server, .ping]
  private static let fault = RedisError.connectionLost("reset")
  private static let refusal = RedisError.refused("LOADING")

  private static func at(_ seconds: Double) -> MonotonicTime {
    MonotonicTime(nanoseconds: 1_000_000_000) + .seconds(seconds)
  }

  private static let greeting: [Event: (Machine.Action, Machine.Phase)] = [
    .accepts: (.nothing, .greeting), .refuses: (.giveUp(refusal, wasReady: false), .pausing),
    .fails: (.giveUp(fault, wasReady: false), .pausing),
    .muchTimePasses: (
      .giveUp(.notConnected(limits.connectName.ending("no answer to the greeting")), wasReady: false), .pausing
    ),
    .closes: (.nothing, .closed),
  ]

  private static let rows = [
    Row("nothing was sent", [], .idle, [.wanted: (.connect, .connecting), .closes: (.nothing, .closed)]),
    Row(
      "the transport is being opened", [.wanted], .connecting,
      [
        .opens: (.greet(steps), .greeting), .fails: (.giveUp(fault, wasReady: false), .pausing),
        .closes: (.nothing, .closed),
      ]),
    Row("the greeting is out", [.wanted, .opens], .greeting, greeting),
    Row(
      "one answer is missing", [.wanted, .opens, .accepts], .greeting,
      greeting.merging([.accepts: (.carry, .ready)]) { $1 }),
    Row(
      "commands are carried", [.wanted, .opens, .accepts, .accepts], .ready,
      [
        .fails: (.giveUp(fault, wasReady: true), .pausing),
        .muchTimePasses: (.giveUp(.timedOut, wasReady: true), .pausing), .closes: (.nothing, .closed),
      ]),
    Row(
      "the next try is waited for", [.wanted, .fails], .pausing,
      [.muchTimePasses: (.connect, .connecting), .closes: (.nothing, .closed)]),
    Row("it was closed", [.wanted, .closes], .closed, [:]),
  ]

  @Test(arguments: rows, Event.allCases) func `an event does in a state what the table says`(row: Row, event: Event) {
    var machine = Machine()
    for event in row.path { _ = Self.tell(event, &machine) }
    let before = machine.phase
    #expect(before == row.phase)
    let action = Self.tell(event, &machine)
    let after = machine.phase
    let expected = row.answers[event] ?? (.nothing, row.phase)
    #expect(action == expected.0)
    #expect(after == expected.1)
  }

  private static func tell(_ event: Event, _ machine: inout Machine, at now: MonotonicTime = at(0.01)) -> Machine.Action
  {
    var chance = Largest()
    switch event {
    case .wanted: return machine.wanted(at: now)
    case .opens: return machine.opened(steps)
    case .accepts: return machine.greetingAnswered(refusal: nil, at: now, under: limits, using: &chance)
    case .refuses: return machine.greetingAnswered(refusal: "LOADING", at: now, under: limits, using: &chance)
    case .fails: return machine.failed(fault, at: now, under: limits, using: &chance)
    case .timePasses: return machine.timePassed(at: now, answerDue: at(5), under: limits, using: &chance)
    case .muchTimePasses: return machine.timePassed(at: at(10), answerDue: at(5), under: limits, using: &chance)
    case .closes: _ = machine.closes()
    }
    return .nothing
  }

  @Test func `it is closed once`() {
    var machine = Machine()
    let answers = [machine.closes(), machine.closes()]
    #expect(answers == [true, false])
  }

  @Test func `the parts of the greeting are answered in their order`() {
    var machine = Machine()
    var seen: [RedisConnection.GreetingStep?] = [machine.step]
    for event in [Event.wanted, .opens, .accepts, .accepts] {
      _ = Self.tell(event, &machine)
      seen.append(machine.step)
    }
    #expect(seen == [nil, nil, .server, .ping, nil])
  }

  @Test func `pauses are doubled up to the longest, and short again once a connection was made`() {
    var machine = Machine()
    var now = Self.at(0)
    _ = Self.tell(.wanted, &machine, at: now)
    func pause() -> Double {
      _ = Self.tell(.fails, &machine, at: now)
      let start = now
      while machine.phase == .pausing {
        now = now + .milliseconds(10)
        _ = Self.tell(.timePasses, &machine, at: now)
      }
      return (now - start).seconds
    }
    let pauses = (0..<5).map { _ in pause() }
    #expect(pauses == [0.1, 0.2, 0.4, 0.5, 0.5])
    for event in [Event.opens, .accepts, .accepts] { _ = Self.tell(event, &machine, at: now) }
    let first = pause()
    #expect(first == 0.1)
  }

  @Test func `patience is lost with a connection that was not there for long, and is back with it`() {
    var machine = Machine()
    func isLost(_ machine: borrowing Machine, _ seconds: Double) -> Bool {
      machine.hasLostPatience(at: Self.at(seconds), after: .seconds(1))
    }
    var answers = [isLost(machine, 100)]
    _ = Self.tell(.wanted, &machine, at: Self.at(0))
    answers += [isLost(machine, 0.9), isLost(machine, 1)]
    _ = Self.tell(.fails, &machine, at: Self.at(2))
    answers += [isLost(machine, 2)]
    _ = Self.tell(.timePasses, &machine, at: Self.at(3))
    _ = Self.tell(.opens, &machine, at: Self.at(3))
    answers += [isLost(machine, 3)]
    for _ in Self.steps { _ = Self.tell(.accepts, &machine, at: Self.at(3)) }
    answers += [isLost(machine, 100)]
    _ = Self.tell(.fails, &machine, at: Self.at(100))
    answers += [isLost(machine, 100.9), isLost(machine, 101)]
    #expect(answers == [false, false, true, true, true, false, false, true])
  }

  @Test func `others are given twice as long as Redis was away, and at most ten seconds`() {
    for (away, grace) in [(1.0, 2.0), (30, 10)] {
      var machine = Machine()
      _ = Self.tell(.wanted, &machine, at: Self.at(0))
      _ = Self.tell(.opens, &machine, at: Self.at(0))
      for _ in Self.steps { _ = Self.tell(.accepts, &machine, at: Self.at(5)) }
      let atFirst = machine.hasJustReturned(at: Self.at(5))
      #expect(!atFirst, "it had not been away")
      _ = Self.tell(.fails, &machine, at: Self.at(10))
      let back = 10 + away
      _ = Self.tell(.timePasses, &machine, at: Self.at(back))
      _ = Self.tell(.opens, &machine, at: Self.at(back))
      for _ in Self.steps { _ = Self.tell(.accepts, &machine, at: Self.at(back)) }
      let isGiven = machine.hasJustReturned(at: Self.at(back + grace))
      let isOver = machine.hasJustReturned(at: Self.at(back + grace + 0.001))
      #expect(isGiven && !isOver)
    }
  }
}
