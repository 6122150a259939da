import Runs
import Streams
import Testing
import Time

@Suite struct RunMachineTests {
  enum Event: String, CaseIterable, Sendable {
    case opens, opensInPart, takesMore, takesLast, ends, givenUp, openerLeaves, readerComes, readerLeaves, isChecked
    case isCheckedWithoutPlace, nobodyIsAsked, isReadElsewhere, isUnreadElsewhere
  }

  /// A state, by the events that lead to it.
  struct Row: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let path: [Event]
    /// Where the run is, and how many read it.
    let place: String
    /// What events bring, and where the run is then; all others bring `nothing`, and leave it where it is.
    let answers: [Event: (String, String)]
    /// Whether this gateway has the run, and no copy of it.
    let isOwner: Bool
    let policy: DisconnectPolicy

    init(
      _ name: String, _ path: [Event], _ place: String, isOwner: Bool = true, policy: DisconnectPolicy = .cancel,
      _ answers: [Event: (String, String)]
    ) {
      (testDescription, self.path, self.place, self.answers) = (name, path, place, answers)
      (self.isOwner, self.policy) = (isOwner, policy)
    }
  }

  private static func at(_ seconds: Double) -> MonotonicTime {
    MonotonicTime(nanoseconds: 1_000_000_000) + .seconds(seconds)
  }

  private static let rows = [
    Row(
      "nobody has come", [], "opening 0",
      [
        .opens: ("true", "open 0"), .opensInPart: ("true", "open 0, more comes"), .takesMore: ("false", "opening 0"),
        .takesLast: ("false", "opening 0"), .ends: ("nothing", "over 0 at 5"), .givenUp: ("opening", "over 0"),
        .openerLeaves: ("fail", "opening 0"), .readerComes: ("nothing", "opening 1"),
        .isChecked: ("wakeUp", "opening 0"),
        .isCheckedWithoutPlace: ("askReplicas", "opening 0"), .nobodyIsAsked: ("fail", "opening 0"),
      ]),
    Row(
      "a reader waits", [.readerComes], "opening 1",
      [
        .opens: ("true", "open 1"), .opensInPart: ("true", "open 1, more comes"), .takesMore: ("false", "opening 1"),
        .takesLast: ("false", "opening 1"), .ends: ("nothing", "over 1 at 5"), .givenUp: ("opening", "over 1"),
        .openerLeaves: ("fail", "opening 1"), .readerComes: ("nothing", "opening 2"),
        .readerLeaves: ("nothing", "opening 0"), .isChecked: ("wakeUp", "opening 1"),
        .isCheckedWithoutPlace: ("wakeUp", "opening 1"), .nobodyIsAsked: ("fail", "opening 1"),
      ]),
    Row(
      "the only one who waited has left, and others are asked", [.readerComes, .readerLeaves, .isChecked], "opening 0",
      [
        .opens: ("true", "open 0"), .opensInPart: ("true", "open 0, more comes"), .takesMore: ("false", "opening 0"),
        .takesLast: ("false", "opening 0"), .ends: ("nothing", "over 0 at 5"), .givenUp: ("opening", "over 0"),
        .openerLeaves: ("fail", "opening 0"), .readerComes: ("nothing", "opening 1"),
        .nobodyIsAsked: ("fail", "opening 0"), .isReadElsewhere: ("wakeUp", "opening 0"),
        .isUnreadElsewhere: ("fail", "opening 0"),
      ]),
    Row(
      "it is read", [.readerComes, .opens], "open 1",
      [
        .opens: ("false", "open 1"), .opensInPart: ("false", "open 1"), .takesMore: ("true", "open 1, more comes"),
        .takesLast: ("true", "open 1"), .ends: ("nothing", "over 1 at 5"), .givenUp: ("open", "over 1"),
        .openerLeaves: ("end(requestCutShort)", "open 1"), .readerComes: ("nothing", "open 2"),
        .readerLeaves: ("nothing", "open 0"), .isChecked: ("wakeUp", "open 1"),
        .isCheckedWithoutPlace: ("wakeUp", "open 1"),
        .nobodyIsAsked: ("end(lastReaderLeft)", "open 1"),
      ]),
    Row(
      "its last reader has left", [.readerComes, .opens, .readerLeaves], "open 0",
      [
        .opens: ("false", "open 0"), .opensInPart: ("false", "open 0"), .takesMore: ("true", "open 0, more comes"),
        .takesLast: ("true", "open 0"), .ends: ("nothing", "over 0 at 5"), .givenUp: ("open", "over 0"),
        .openerLeaves: ("end(requestCutShort)", "open 0"), .readerComes: ("nothing", "open 1"),
        .isChecked: ("askReplicas", "open 0"), .isCheckedWithoutPlace: ("askReplicas", "open 0"),
        .nobodyIsAsked: ("end(lastReaderLeft)", "open 0"),
      ]),
    Row(
      "others are asked whether they read it", [.readerComes, .opens, .readerLeaves, .isChecked], "open 0",
      [
        .opens: ("false", "open 0"), .opensInPart: ("false", "open 0"), .takesMore: ("true", "open 0, more comes"),
        .takesLast: ("true", "open 0"), .ends: ("nothing", "over 0 at 5"), .givenUp: ("open", "over 0"),
        .openerLeaves: ("end(requestCutShort)", "open 0"), .readerComes: ("nothing", "open 1"),
        .nobodyIsAsked: ("end(lastReaderLeft)", "open 0"), .isReadElsewhere: ("wakeUp", "open 0"),
        .isUnreadElsewhere: ("end(lastReaderLeft)", "open 0"),
      ]),
    Row(
      "it goes on unread", [.readerComes, .opens, .readerLeaves], "open 0", policy: .continue,
      [
        .opens: ("false", "open 0"), .opensInPart: ("false", "open 0"), .takesMore: ("true", "open 0, more comes"),
        .takesLast: ("true", "open 0"), .ends: ("nothing", "over 0 at 5"), .givenUp: ("open", "over 0"),
        .openerLeaves: ("end(requestCutShort)", "open 0"), .readerComes: ("nothing", "open 1"),
        .isChecked: ("wakeUp", "open 0"), .isCheckedWithoutPlace: ("askReplicas", "open 0"),
        .nobodyIsAsked: ("end(lastReaderLeft)", "open 0"),
      ]),
    Row(
      "a copy waits for more", [.readerComes, .opensInPart], "open 1, more comes", isOwner: false,
      [
        .opens: ("false", "open 1, more comes"), .opensInPart: ("false", "open 1, more comes"),
        .takesMore: ("true", "open 1, more comes"), .takesLast: ("true", "open 1"), .ends: ("nothing", "over 1 at 5"),
        .givenUp: ("open", "over 1"), .openerLeaves: ("end(requestCutShort)", "open 1, more comes"),
        .readerComes: ("nothing", "open 2, more comes"), .readerLeaves: ("nothing", "open 0, more comes"),
        .isChecked: ("wakeUp", "open 1, more comes"), .isCheckedWithoutPlace: ("wakeUp", "open 1, more comes"),
        .nobodyIsAsked: ("end(lastReaderLeft)", "open 1, more comes"),
      ]),
    Row(
      "a copy's last reader has left", [.readerComes, .opens, .readerLeaves], "open 0", isOwner: false,
      [
        .opens: ("false", "open 0"), .opensInPart: ("false", "open 0"), .takesMore: ("true", "open 0, more comes"),
        .takesLast: ("true", "open 0"), .ends: ("nothing", "over 0 at 5"), .givenUp: ("open", "over 0"),
        .openerLeaves: ("end(requestCutShort)", "open 0"), .readerComes: ("nothing", "open 1"),
        .isChecked: ("vanish", "open 0"), .isCheckedWithoutPlace: ("vanish", "open 0"),
        .nobodyIsAsked: ("end(lastReaderLeft)", "open 0"),
      ]),
    Row(
      "it has ended", [.readerComes, .opens, .ends], "over 1 at 5",
      [
        .opens: ("false", "over 1 at 5"), .opensInPart: ("false", "over 1 at 5"), .takesMore: ("false", "over 1 at 5"),
        .takesLast: ("false", "over 1 at 5"), .givenUp: ("over", "over 1 at 5"),
        .openerLeaves: ("end(requestCutShort)", "over 1 at 5"), .readerComes: ("nothing", "over 2 at 5"),
        .readerLeaves: ("nothing", "over 0 at 5"), .isChecked: ("wakeUp", "over 1 at 5"),
        .isCheckedWithoutPlace: ("wakeUp", "over 1 at 5"),
      ]),
    Row(
      "there is none", [.givenUp], "over 0",
      [
        .opens: ("false", "over 0"), .opensInPart: ("false", "over 0"), .takesMore: ("false", "over 0"),
        .takesLast: ("false", "over 0"), .ends: ("nothing", "over 0 at 5"), .givenUp: ("over", "over 0"),
        .openerLeaves: ("end(requestCutShort)", "over 0"), .readerComes: ("nothing", "over 1"),
        .isChecked: ("wakeUp", "over 0"), .isCheckedWithoutPlace: ("wakeUp", "over 0"),
      ]),
  ]

  @Test(arguments: rows, Event.allCases) func `an event does in a state what the table says`(row: Row, event: Event) {
    var machine = RunMachine(policy: row.policy, isOwner: row.isOwner)
    for event in row.path { _ = Self.tell(event, &machine) }
    let before = Self.place(of: machine)
    #expect(before == row.place)
    let action = Self.tell(event, &machine)
    let after = Self.place(of: machine)
    let expected = row.answers[event] ?? ("nothing", row.place)
    #expect(action == expected.0)
    #expect(after == expected.1)
  }

  private static func place(of machine: borrowing RunMachine) -> String {
    let end = machine.endedAt.map { " at \(Int(($0 - at(0)).seconds))" } ?? ""
    return "\(machine.phase) \(machine.readers)\(end)\(machine.isCatchingUp ? ", more comes" : "")"
  }

  private static func tell(_ event: Event, _ machine: inout RunMachine, at now: MonotonicTime = at(5)) -> String {
    switch event {
    case .opens: return "\(machine.opens(isCatchingUp: false))"
    case .opensInPart: return "\(machine.opens(isCatchingUp: true))"
    case .takesMore: return "\(machine.takes(isCatchingUp: true))"
    case .takesLast: return "\(machine.takes(isCatchingUp: false))"
    case .givenUp: return "\(machine.givenUp())"
    case .ends: machine.ends(at: now)
    case .readerComes: machine.readerCame()
    case .readerLeaves: machine.readerLeft(at: now)
    case .openerLeaves: return describe(machine.openerLeft())
    case .isChecked: return describe(machine.checkAttendance(at: now) { true })
    case .isCheckedWithoutPlace: return describe(machine.checkAttendance(at: now) { false })
    case .nobodyIsAsked: return describe(machine.nobodyCanBeAsked())
    case .isReadElsewhere:
      return describe(machine.replicasAnswered(isRead: true, wish: nil, at: now) { true })
    case .isUnreadElsewhere:
      return describe(machine.replicasAnswered(isRead: false, wish: nil, at: now) { true })
    }
    return "nothing"
  }

  private static func describe(_ action: RunMachine.Action) -> String {
    switch action {
    case .nothing: "nothing"
    case .wakeUp: "wakeUp"
    case .vanish: "vanish"
    case .askReplicas: "askReplicas"
    case .fail: "fail"
    case .end(let reason): "end(\(reason))"
    }
  }

  @Test func `the first end counts`() {
    var machine = RunMachine(policy: .cancel, isOwner: true)
    machine.ends(at: Self.at(1))
    machine.ends(at: Self.at(2))
    _ = machine.givenUp()
    let end = machine.endedAt
    #expect(end == Self.at(1))
  }

  /// One that is open, and that nobody reads here since `at(0)`.
  private static func deserted(_ policy: DisconnectPolicy) -> RunMachine {
    var machine = RunMachine(policy: policy, isOwner: true)
    for event in [Event.opens, .readerComes, .readerLeaves] { _ = tell(event, &machine, at: at(0)) }
    return machine
  }

  @Test func `others who read it are asked again a second later`() {
    var machine = Self.deserted(.cancel)
    var actions = [Self.tell(.isChecked, &machine, at: Self.at(0)), Self.tell(.isChecked, &machine, at: Self.at(0))]
    actions.append(Self.tell(.isReadElsewhere, &machine, at: Self.at(1)))
    let next = machine.nextWakeUp(at: Self.at(1))
    actions.append(Self.tell(.isChecked, &machine, at: Self.at(1.9)))
    actions.append(Self.tell(.isChecked, &machine, at: Self.at(2)))
    actions.append(Self.tell(.isUnreadElsewhere, &machine, at: Self.at(2)))
    #expect(actions == ["askReplicas", "nothing", "wakeUp", "nothing", "askReplicas", "end(lastReaderLeft)"])
    #expect(next == Self.at(2))
  }

  @Test func `a time of grace begins when the last reader elsewhere has left`() {
    var machine = Self.deserted(.grace(.seconds(10)))
    var actions = [Self.tell(.isChecked, &machine, at: Self.at(9)), Self.tell(.isChecked, &machine, at: Self.at(10))]
    actions.append(Self.tell(.isReadElsewhere, &machine, at: Self.at(10)))
    let whileRead = machine.nextWakeUp(at: Self.at(10))
    actions.append(Self.tell(.isChecked, &machine, at: Self.at(20)))
    actions.append(Self.tell(.isUnreadElsewhere, &machine, at: Self.at(20)))
    let unread = machine.nextWakeUp(at: Self.at(20))
    actions.append(Self.tell(.isChecked, &machine, at: Self.at(30)))
    actions.append(Self.tell(.isUnreadElsewhere, &machine, at: Self.at(30)))
    #expect(
      actions == ["wakeUp", "askReplicas", "wakeUp", "askReplicas", "nothing", "askReplicas", "end(lastReaderLeft)"])
    #expect(whileRead == Self.at(20))
    #expect(unread == Self.at(30))
  }

  @Test func `what a reader elsewhere wants to become of the run counts`() {
    var machine = Self.deserted(.cancel)
    _ = Self.tell(.isChecked, &machine, at: Self.at(0))
    let answer = machine.replicasAnswered(isRead: false, wish: .continue, at: Self.at(1)) { true }
    let next = machine.nextWakeUp(at: Self.at(1))
    #expect(answer == .nothing)
    #expect(next == nil)
  }

  @Test func `a reader who comes while others are asked keeps it`() {
    var machine = Self.deserted(.cancel)
    _ = Self.tell(.isChecked, &machine, at: Self.at(0))
    machine.readerCame()
    let answer = Self.tell(.isUnreadElsewhere, &machine, at: Self.at(1))
    #expect(answer == "nothing")
  }
}
