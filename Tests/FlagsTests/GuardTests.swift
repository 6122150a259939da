import EventSamples
import Flags
import JSON
import Testing
import Time

@Suite struct `Guard` {
  /// The streams of forty clients, spread evenly; the first `truncated` of them fail, from client `first` on.
  private func arm(
    _ streams: Int, truncated: Int = 0, firstToken: Double = 100, clients: Int = 40, first: Int = 0
  ) -> GuardArm {
    var arm = GuardArm()
    for index in 0..<streams {
      let client = (index + first) % clients
      arm.observe(.truncation, index < truncated ? 1 : 0, client: client)
      arm.observe(.clientAborts, 0, client: client)
      arm.observe(.retries, 0, client: client)
      arm.observe(.unconfirmedCloses, 0, client: client)
      let milliseconds = firstToken * ((index / clients).isMultiple(of: 2) ? 1.2 : 0.8)
      arm.observe(.timeToFirstToken, Logarithm.of(milliseconds), client: client)
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
    for look in 1...2 {
      _ = machine.evaluate(treated: arm(2000 * look, truncated: 200 * look), control: arm(2000 * look), at: now)
    }
    return machine
  }

  private func verdict(_ metric: GuardMetric, _ treated: GuardArm, _ control: GuardArm) -> GuardVerdict? {
    var machine = machine()
    _ = machine.evaluate(treated: treated, control: control, at: now)
    return machine.reports.first { $0.metric == metric }?.verdict
  }

  private let now = WallTime(milliseconds: 1_790_000_000_000)

  @Test func `two equal arms pass`() {
    var machine = machine()
    _ = machine.evaluate(treated: arm(20_000), control: arm(20_000), at: now)
    #expect(machine.verdict == .pass && machine.phaseVerdict == .pass && machine.effect == .none)
    #expect(machine.phaseTreated.streams == 20_000 && machine.phaseTreated.identities > 25)
  }

  @Test func `each verdict has its own cause`() {
    #expect(verdict(.truncation, GuardArm(), arm(5000)) == .nobodyTreated)
    #expect(verdict(.truncation, arm(5000), GuardArm()) == .noControl)
    #expect(verdict(.truncation, arm(99), arm(5000)) == .notEnough)
    #expect(verdict(.truncation, arm(500), arm(99)) == .notEnough)
    #expect(verdict(.truncation, arm(500, clients: 5), arm(5000)) == .notEnough)
    #expect(verdict(.truncation, arm(200), arm(5000)) == .noHarmSeen)
    #expect(verdict(.truncation, arm(20_000), arm(20_000)) == .pass)
    #expect(verdict(.truncation, arm(2000, truncated: 200), arm(2000)) == .worse)
    #expect(verdict(.timeToFirstToken, arm(2000, firstToken: 150), arm(2000)) == .worse)
    #expect(verdict(.timeToFirstToken, arm(2000, firstToken: 102), arm(2000)) == .pass)
  }

  @Test func `an empty arm is never a pass`() {
    var alone = machine()
    _ = alone.evaluate(treated: arm(20_000), control: GuardArm(), at: now)
    #expect(alone.verdict == .noControl)
    var unused = machine()
    _ = unused.evaluate(treated: GuardArm(), control: arm(20_000), at: now)
    #expect(unused.verdict == .nobodyTreated)
  }

  @Test func `what is missing is said with numbers`() {
    var machine = machine()
    _ = machine.evaluate(treated: arm(500, clients: 5), control: arm(5000), at: now)
    #expect(machine.reports.first?.missing == "not enough treated identities (5 of 8)")
    _ = machine.evaluate(treated: arm(34), control: arm(3310, truncated: 1), at: now)
    let report = machine.reports.first
    #expect(report?.missing == "not enough treated streams (34 of 100)")
    // Nothing of 34 streams: only a large rise would have been noticed.
    #expect((report?.noticeable ?? 0) > 0.05 && (report?.noticeable ?? 1) < 0.12)
    #expect(report?.summary.contains("0 % (of 34 streams") == true, "\(report?.summary ?? "")")
    #expect(report?.summary.hasSuffix(" points or more would have been noticed") == true, "\(report?.summary ?? "")")
  }

  @Test func `where nothing could be noticed no number says so`() {
    var machine = machine()
    let nothing = "no rise would have been noticed yet"
    // Nobody treated, no control, and so few clients that an interval is wider than any rate.
    for (treated, control) in [(GuardArm(), arm(5000)), (arm(5000), GuardArm()), (arm(2, clients: 2), arm(40))] {
      _ = machine.evaluate(treated: treated, control: control, at: now)
      for report in machine.reports where report.metric.isRate {
        #expect(report.summary.hasSuffix(nothing), "\(report.metric): \(report.summary)")
      }
    }
  }

  @Test func `too few streams say nothing, however often one looks`() {
    var machine = machine()
    for look in 1...50 {
      _ = machine.evaluate(treated: arm(look, truncated: look), control: arm(5000), at: now)
      #expect(machine.verdict != .pass && machine.effect == .none)
    }
  }

  @Test func `a worse arm is rolled back after two looks, not after one`() throws {
    var machine = machine()
    #expect(machine.evaluate(treated: arm(2000, truncated: 200), control: arm(2000), at: now) == [.verdict(.worse)])
    #expect(machine.effect == .none && machine.wasWorse)
    let transitions = machine.evaluate(treated: arm(4000, truncated: 400), control: arm(4000), at: now)
    let latch = try #require(machine.latch)
    #expect(transitions == [.tripped(latch)] && latch.effect == .rollback && latch.revision == "5")
    #expect(latch.reason.contains("truncation is worse: 10 % (of 4000 streams"), "\(latch.reason)")
    #expect(machine.evaluate(treated: arm(6000, truncated: 600), control: arm(6000), at: now) == [])
  }

  @Test func `one client that fails again and again is one throw of the die`() {
    var treated = arm(2000)
    for _ in 0..<3000 {
      treated.observe(.truncation, 1, client: 7)
      treated.observe(.clientAborts, 1, client: 7)
    }
    var machine = machine()
    for _ in 1...10 {
      _ = machine.evaluate(treated: treated, control: arm(5000), at: now)
      #expect(machine.effect == .none && machine.verdict != .worse)
    }
  }

  @Test func `an absolute limit waits for nothing, but needs to be worse than the control`() {
    var worse = machine()
    _ = worse.evaluate(treated: arm(300, truncated: 200), control: arm(10), at: now)
    #expect(worse.effect == .rollback)
    var outage = machine()
    _ = outage.evaluate(treated: arm(300, truncated: 200), control: arm(300, truncated: 250), at: now)
    #expect(outage.effect == .none, "the backend fails for everybody")
    var alone = machine()
    _ = alone.evaluate(treated: arm(300, truncated: 200), control: GuardArm(), at: now)
    #expect(alone.effect == .rollback, "with everybody in, the absolute limits are all that is left")
  }

  @Test func `the policy may only hold, and a metric may only watch`() {
    var holding = machine { $0.onRegress = .hold }
    var watching = machine { $0.dryRun = [.truncation] }
    for look in 1...5 {
      let (treated, control) = (arm(2000 * look, truncated: 200 * look), arm(2000 * look))
      _ = holding.evaluate(treated: treated, control: control, at: now)
      _ = watching.evaluate(treated: treated, control: control, at: now)
    }
    #expect(holding.effect == .hold && watching.effect == .none)
  }

  @Test func `a draining process judges nothing`() {
    var machine = machine()
    machine.rest()
    for look in 1...4 {
      let transitions = machine.evaluate(
        treated: arm(300 * look, truncated: 300 * look), control: arm(300 * look), at: now)
      #expect(transitions == [])
    }
    #expect(machine.effect == .none)
  }

  @Test func `the latch opens only for a newer file that acknowledges it`() {
    var machine = tripped()
    #expect(machine.effect == .rollback)
    #expect(machine.fileChanged(revision: "6", hash: "h6", acknowledged: "") == nil)
    #expect(machine.fileChanged(revision: "7", hash: "h7", acknowledged: "4") == nil)
    #expect(machine.effect == .rollback)
    #expect(machine.fileChanged(revision: "8", hash: "h8", acknowledged: "5") == .released(revision: "5"))
    #expect(machine.effect == .none && !machine.wasWorse)
  }

  @Test func `what was counted before a new file is not counted under it`() {
    var machine = machine()
    _ = machine.evaluate(treated: arm(500), control: arm(500), at: now)
    let sums = GuardArms(treated: arm(900, truncated: 400), control: arm(900))
    _ = machine.fileChanged(revision: "6", hash: "h6", acknowledged: "", sums: sums)
    #expect(machine.evaluate(treated: sums.treated, control: sums.control, at: now) == [.verdict(.nobodyTreated)])
    #expect(machine.phaseTreated.streams == 0)
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
    var (treated, control) = (GuardArm(), GuardArm())
    let (good, bad) = (arm(1000), arm(1000, truncated: 100))
    for _ in 0..<100 {
      treated.add(good)
      control.add(good)
      _ = machine.evaluate(treated: treated, control: control, at: now)
    }
    #expect(machine.verdict == .pass)
    for _ in 0..<4 {
      treated.add(bad)
      control.add(good)
      _ = machine.evaluate(treated: treated, control: control, at: now)
    }
    #expect(machine.effect == .rollback)
  }

  @Test func `a small fault that every window misses is seen in the whole phase`() {
    var machine = machine { $0.window = 1 }
    var (treated, control) = (GuardArm(), GuardArm())
    let good = arm(150)
    for look in 0..<60 where machine.effect == .none {
      treated.add(arm(150, truncated: 4, first: look * 4))
      control.add(good)
      _ = machine.evaluate(treated: treated, control: control, at: now)
      #expect(machine.verdict != .worse, "no window shows it")
    }
    #expect(machine.effect == .rollback)
  }

  @Test(arguments: [1e-300, 1e-9, 0.5, 1, 1.1, 2, 100, 12_345.678, 1e9, 1e300])
  func `the logarithm and the exponential undo each other`(_ value: Double) {
    #expect(abs(Logarithm.exponential(Logarithm.of(value)) / value - 1) < 1e-12)
  }

  @Test func `the logarithm has its known values`() {
    #expect(Logarithm.of(1) == 0 && abs(Logarithm.of(2.718281828459045) - 1) < 1e-15)
    #expect(abs(Logarithm.of(10) - 2.302585092994046) < 1e-14 && Logarithm.of(-1) == Logarithm.of(0))
    #expect(Logarithm.exponential(.nan) == 1 && Logarithm.exponential(0) == 1)
  }
}
