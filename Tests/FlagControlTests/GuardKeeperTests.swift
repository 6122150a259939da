import FlagControl
import Flags
import Loop
import RunningGateway
import Streams
import Testing
import Time

@Suite struct `What the guard and operators have taken back` {
  private static let soft = OperatorKill(isHard: false, at: WallTime(milliseconds: 0), actor: "ann", reason: "odd")
  private static let hard = OperatorKill(isHard: true, at: WallTime(milliseconds: 1), actor: "bob", reason: "worse")
  private static let word = OperatorWord(actor: "ann", reason: "fixed")

  private func keeper(_ desk: Desk, state: String = "guard") throws -> GuardKeeper {
    GuardKeeper(settings: try desk.settings(state: state), loop: desk.loop, log: desk.log, reserve: desk.reserve)
  }

  @Test func `a kill survives a restart, and lifting it does`() throws {
    let desk = try Desk()
    #expect(try keeper(desk).setKill(Self.soft) == .done)
    let second = try keeper(desk)
    #expect(second.kill == Self.soft && second.override == ClosingOverride(kill: .announced))
    #expect(second.liftKill(Self.word) == .done && second.liftKill(Self.word) == .alreadySo)
    #expect(try keeper(desk).override == ClosingOverride())
    #expect(desk.endLog() == ["killed", "kill_restored", "kill_lifted"])
  }

  @Test func `a kill is made harder by another one, never weaker`() throws {
    let keeper = try keeper(Desk())
    var told: [ClosingOverride] = []
    keeper.onChange = { told.append($0) }
    #expect(keeper.setKill(Self.soft) == .done && keeper.setKill(Self.soft) == .alreadySo)
    #expect(keeper.setKill(Self.hard) == .done && keeper.setKill(Self.soft) == .harderStays)
    #expect(keeper.kill == Self.hard)
    #expect(told.map(\.recall) == [.announced, .hard])
  }

  @Test func `others hear of what is decided here, not of what was taken over from them`() throws {
    let keeper = try keeper(Desk())
    var shared: [Bool?] = []
    keeper.onDecision = { decision in
      guard case .kill(let kill) = decision else {
        Issue.record("no kill")
        return
      }
      shared.append(kill?.isHard)
    }
    #expect(keeper.adopt(Self.soft) && !keeper.adopt(Self.soft) && shared.isEmpty)
    #expect(keeper.override.kill == .announced)
    #expect(keeper.adopt(nil) && !keeper.adopt(nil) && keeper.override.kill == .none)
    _ = keeper.setKill(Self.hard)
    _ = keeper.liftKill(Self.word)
    #expect(shared == [true, nil])
  }

  @Test func `a state file that nobody can read is told of, and nothing is taken back`() throws {
    let desk = try Desk()
    desk.files.write("guard", "no JSON")
    #expect(try keeper(desk).override == ClosingOverride())
    #expect(desk.endLog() == ["guard_state_unreadable"])
  }

  @Test func `a state file that can't be written is told of once, and a kill holds all the same`() throws {
    let desk = try Desk()
    let keeper = try keeper(desk, state: "absent/guard")
    #expect(keeper.stateFault != nil)
    #expect(keeper.setKill(Self.soft) == .done && keeper.override.kill == .announced)
    keeper.take([])
    #expect(keeper.stateFault != nil)
    #expect(desk.endLog() == ["guard_state_not_saved", "killed"])
  }

  // MARK: - The guard

  private static func counts(_ file: String, treatedGone: Int, controlGone: Int, of all: Int = 400) -> CohortCounts {
    var counts = CohortCounts(file: file)
    for (isTreated, gone) in [(true, treatedGone), (false, controlGone)] {
      for client in 0..<all {
        let cohort = Cohort(isTreated: isTreated, client: client * 2 + (isTreated ? 1 : 0), file: file)
        counts.closed(.judged(cohort), client < gone ? .clientGone : .completed)
      }
    }
    return counts
  }

  /// Two looks at what the workers have counted, one of which the guard lets pass.
  private static func evaluateTwice(_ desk: Desk, _ keeper: GuardKeeper, _ counts: CohortCounts) {
    for _ in 0..<2 {
      desk.clock.pass(keeper.machine.policy.interval)
      keeper.take([GuardKeeper.Answer(counts: counts, sightings: [])])
    }
  }

  @Test func `a variant that is worse is taken back, until a file says that somebody knows`() throws {
    let desk = try Desk()
    let keeper = try keeper(desk)
    let file = try flagSet(flagFile(percent: 50))
    keeper.flagsChanged(file)
    var trips = 0
    keeper.onDecision = { if case .trip = $0 { trips += 1 } }
    Self.evaluateTwice(desk, keeper, Self.counts(file.hash, treatedGone: 200, controlGone: 4))
    #expect(keeper.override.isRolledBack && keeper.trips == 1 && trips == 1)
    // Another file alone does not open the latch, and a restart does not either.
    keeper.flagsChanged(try flagSet(flagFile(percent: 40)))
    #expect(keeper.override.isRolledBack)
    #expect(try self.keeper(desk).override.isRolledBack)
  }

  @Test func `streams that an older file decided are not judged`() throws {
    let desk = try Desk()
    let keeper = try keeper(desk)
    keeper.flagsChanged(try flagSet(flagFile(percent: 50)))
    Self.evaluateTwice(desk, keeper, Self.counts("older", treatedGone: 200, controlGone: 4))
    #expect(!keeper.override.isRolledBack && keeper.ownPhase.treated.streams == 0)
  }

  @Test func `the guard does not look while an operator's kill is in force`() throws {
    let desk = try Desk()
    let keeper = try keeper(desk)
    let file = try flagSet(flagFile(percent: 50))
    keeper.flagsChanged(file)
    _ = keeper.setKill(Self.soft)
    Self.evaluateTwice(desk, keeper, Self.counts(file.hash, treatedGone: 200, controlGone: 4))
    #expect(keeper.trips == 0 && keeper.checks.isEmpty)
    _ = keeper.liftKill(Self.word)
    Self.evaluateTwice(desk, keeper, Self.counts(file.hash, treatedGone: 200, controlGone: 4))
    #expect(keeper.trips == 1)
  }

  @Test func `a process that is draining takes nothing back`() throws {
    let desk = try Desk()
    let keeper = try keeper(desk)
    let file = try flagSet(flagFile(percent: 50))
    keeper.flagsChanged(file)
    keeper.rest()
    Self.evaluateTwice(desk, keeper, Self.counts(file.hash, treatedGone: 200, controlGone: 4))
    #expect(keeper.trips == 0 && !keeper.override.isRolledBack)
  }

  @Test func `what other gateways have counted is judged too`() throws {
    let desk = try Desk()
    let keeper = try keeper(desk)
    let file = try flagSet(flagFile(percent: 50))
    keeper.flagsChanged(file)
    // Too few to say anything of.
    let few = Self.counts(file.hash, treatedGone: 20, controlGone: 0, of: 40)
    Self.evaluateTwice(desk, keeper, few)
    #expect(keeper.trips == 0)
    let many = Self.counts(file.hash, treatedGone: 200, controlGone: 4)
    keeper.others = GuardArms(treated: many.treated, control: many.control)
    Self.evaluateTwice(desk, keeper, few)
    #expect(keeper.trips == 1 && keeper.ownPhase.treated.streams == 40)
  }
}
