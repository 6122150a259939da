import FlagControl
import Flags
import Streams
import Testing
import Time

/// Streams of all kinds of clients, played look by look: who is compared, and that nobody else is.
@Suite struct `Cohorts, played` {
  /// The same numbers from the same seed (SplitMix64).
  private struct Dice {
    var state: UInt64

    mutating func unit() -> Double {
      state &+= 0x9E37_79B9_7F4A_7C15
      var mixed = (state ^ (state >> 30)) &* 0xBF58_476D_1CE4_E5B9
      mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
      return Double((mixed ^ (mixed >> 31)) >> 11) * 0x1p-53
    }

    mutating func below(_ limit: Int) -> Int { Int(unit() * Double(limit)) }
  }

  private struct Play {
    var dice: Dice
    var counts = CohortCounts()
    var machine = GuardMachine()

    init(seed: UInt64) {
      dice = Dice(state: seed)
      _ = machine.fileChanged(revision: "1", hash: "1", acknowledged: "")
    }

    mutating func close(_ standing: CohortStanding, failing rate: Double) {
      counts.closed(standing, dice.unit() < rate ? .clientGone : .completed)
    }

    mutating func evaluate() {
      _ = machine.evaluate(treated: counts.treated, control: counts.control, at: WallTime(milliseconds: 0))
    }
  }

  private static func cohort(_ client: Int, share: Double) -> Cohort {
    // A hash's place on the circle, as the fraction takes it.
    let place = Double((client &* 2_654_435_761) % 4_294_967_296) / 4_294_967_296
    return Cohort(isTreated: place < share, client: client &* 2_654_435_761)
  }

  @Test(arguments: 1...20 as ClosedRange<UInt64>)
  func `at 50 % streams without an identity are not compared, however different they are`(_ seed: UInt64) {
    var play = Play(seed: seed)
    for _ in 0..<20 {
      for _ in 0..<600 {
        play.close(.withoutIdentity, failing: 0.3)
        play.close(.judged(Self.cohort(play.dice.below(500), share: 0.5)), failing: 0.05)
      }
      play.evaluate()
    }
    #expect(play.machine.effect == .none && !play.machine.wasWorse)
    #expect(play.counts.outside == ["no_identity": 12_000])
    #expect(play.counts.treated.streams + play.counts.control.streams == 12_000)
  }

  @Test(arguments: 1...20 as ClosedRange<UInt64>)
  func `at 1 % two busy clients of the allow-list trip nothing and are not counted`(_ seed: UInt64) {
    var play = Play(seed: seed)
    var judged = 0
    for _ in 0..<20 {
      for index in 0..<900 {
        // Each of the two has ten times the streams of a client that is compared, and hangs up half of the time.
        if index.isMultiple(of: 50) { play.close(.ownRule(isTreated: true), failing: 0.5) }
        let cohort = Self.cohort(play.dice.below(1000), share: 0.01)
        if cohort.isTreated { judged += 1 }
        play.close(.judged(cohort), failing: 0.05)
      }
      play.evaluate()
    }
    #expect(play.machine.effect == .none && !play.machine.wasWorse)
    #expect(play.counts.treated.streams == judged && play.counts.outside == ["own_rule": 360])
  }
}
