import EventSamples
import Flags
import JSON
import Testing
import Time

@Suite struct `Guard` {
  private func arm(_ closed: Int, truncated: Int = 0, firstToken: Double = 100, spread: Double = 30) -> GuardArm {
    var arm = GuardArm()
    arm.closed = closed
    arm.truncated = truncated
    for index in 0..<closed {
      arm.countFirstToken(milliseconds: firstToken + (index.isMultiple(of: 2) ? spread : -spread))
    }
    return arm
  }

  private func machine(_ configure: (inout GuardPolicy) -> Void = { _ in }) -> GuardMachine {
    var policy = GuardPolicy()
    configure(&policy)
    var machine = GuardMachine(policy: policy)
    _ = machine.fileChanged(revision: "5", hash: "h5", acknowledged: "")
    return machine
  }

  /// One that has taken the new closing back.
  private func tripped() -> GuardMachine {
    var machine = machine()
    for look in 1...2 { _ = machine.look(on: arm(2000 * look, truncated: 100 * look), off: arm(2000 * look), at: now) }
    return machine
  }

  private let now = WallTime(milliseconds: 1_790_000_000_000)

  @Test func `two equal cohorts pass`() {
    var machine = machine()
    _ = machine.look(on: arm(20_000, truncated: 20), off: arm(20_000, truncated: 20), at: now)
    #expect(machine.verdict == .pass && machine.effect == .none && machine.phaseSamples == 20_000)
  }

  @Test func `too few streams say nothing, however often one looks`() {
    var machine = machine()
    for look in 1...50 {
      _ = machine.look(on: arm(look, truncated: look), off: arm(5000), at: now)
      #expect(machine.verdict != .pass && machine.effect == .none)
    }
  }

  @Test func `a worse cohort is rolled back after two looks, not after one`() throws {
    var machine = machine()
    #expect(machine.look(on: arm(2000, truncated: 100), off: arm(2000), at: now) == [.verdict(.fail)])
    #expect(machine.effect == .none)
    let transitions = machine.look(on: arm(4000, truncated: 200), off: arm(4000), at: now)
    let latch = try #require(machine.latch)
    #expect(transitions == [.tripped(latch)] && latch.effect == .rollback && latch.revision == "5")
    #expect(latch.reason.contains("truncation"))
    #expect(machine.look(on: arm(6000, truncated: 300), off: arm(6000), at: now) == [])
  }

  @Test func `one bad look between good ones does nothing`() {
    var machine = machine { $0.window = 1 }
    _ = machine.look(on: arm(2000, truncated: 100), off: arm(2000), at: now)
    _ = machine.look(on: arm(22_000, truncated: 100), off: arm(22_000), at: now)
    _ = machine.look(on: arm(24_000, truncated: 200), off: arm(24_000), at: now)
    #expect(machine.effect == .none)
  }

  @Test func `an absolute limit waits for nothing`() {
    var machine = machine()
    _ = machine.look(on: arm(300, truncated: 200), off: arm(10), at: now)
    #expect(machine.effect == .rollback)
  }

  @Test func `the policy may only hold, and a metric may only watch`() {
    var holding = machine { $0.onRegress = .hold }
    for look in 1...2 { _ = holding.look(on: arm(2000 * look, truncated: 100 * look), off: arm(2000 * look), at: now) }
    #expect(holding.effect == .hold)
    var watching = machine { $0.dryRun = [.truncation] }
    for look in 1...5 { _ = watching.look(on: arm(2000 * look, truncated: 100 * look), off: arm(2000 * look), at: now) }
    #expect(watching.effect == .none)
  }

  @Test func `slower first tokens are seen`() {
    var machine = machine()
    for look in 1...2 { _ = machine.look(on: arm(2000 * look, firstToken: 150), off: arm(2000 * look), at: now) }
    #expect(machine.effect == .rollback)
    #expect(machine.reports.first { $0.metric == .timeToFirstToken }?.verdict == .fail)
  }

  @Test func `what cannot be computed is an error, and four in a row hold`() {
    var machine = machine()
    var broken = arm(2000)
    broken.truncated = 3000
    for look in 1...3 {
      _ = machine.look(on: broken, off: arm(2000), at: now)
      #expect(machine.verdict == .error && machine.effect == .none, "look \(look)")
    }
    _ = machine.look(on: broken, off: arm(2000), at: now)
    #expect(machine.effect == .hold)
  }

  @Test func `the latch opens only for a newer file that acknowledges it`() {
    var machine = tripped()
    #expect(machine.effect == .rollback)
    #expect(machine.fileChanged(revision: "6", hash: "h6", acknowledged: "") == nil)
    #expect(machine.fileChanged(revision: "7", hash: "h7", acknowledged: "4") == nil)
    #expect(machine.effect == .rollback)
    #expect(machine.fileChanged(revision: "8", hash: "h8", acknowledged: "5") == .released(revision: "5"))
    #expect(machine.effect == .none)
  }

  @Test func `the latch survives a restart`() throws {
    let machine = tripped()
    var restarted = GuardMachine()
    restarted.restore(try JSONValue(parsing: machine.json.text()))
    #expect(restarted.latch == machine.latch)
    restarted.restore("nonsense")
    #expect(restarted.effect == .rollback)
    #expect(try JSONValue(parsing: restarted.report.text())["effect"] == "rollback")
  }

  @Test func `a good past does not hide a fault that comes late`() {
    var machine = machine { $0.window = 4 }
    var (on, off) = (GuardArm(), GuardArm())
    for _ in 0..<100 {
      on.add(arm(1000))
      off.add(arm(1000))
      _ = machine.look(on: on, off: off, at: now)
    }
    #expect(machine.verdict == .pass)
    for _ in 0..<4 {
      on.add(arm(1000, truncated: 100))
      off.add(arm(1000))
      _ = machine.look(on: on, off: off, at: now)
    }
    #expect(machine.effect == .rollback)
  }

  @Test func `no difference is rarely taken for one`() {
    var random = SeededGenerator(seed: 1)
    var tripped = 0
    for _ in 0..<20 {
      var machine = machine()
      var (on, off) = (GuardArm(), GuardArm())
      for _ in 0..<40 {
        for _ in 0..<200 {
          on.closed += 1
          off.closed += 1
          on.truncated += Int.random(in: 0..<100, using: &random) == 0 ? 1 : 0
          off.truncated += Int.random(in: 0..<100, using: &random) == 0 ? 1 : 0
        }
        _ = machine.look(on: on, off: off, at: now)
      }
      tripped += machine.effect == .none ? 0 : 1
    }
    #expect(tripped <= 1)
  }
}
