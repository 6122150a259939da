import EventSamples
import Flags
import Foundation
import Testing
import Time

/// One hour of a rollout, played: 120 looks of 30 s. Clients' shares of the traffic are Pareto-distributed, each client
/// has a failure rate of its own, and the fraction puts it in one arm for good.
private struct RolloutPlay {
  var metric = GuardMetric.clientAborts
  var clients = 500
  var share = 0.25
  /// The mean of the clients' own failure rates, which are beta-distributed.
  var base = 0.05
  /// What the new variant adds to each.
  var harm = 0.0
  var streamsPerSecond = 30.0
  /// The part of all traffic that one client makes; 0: what chance gives it.
  var whale = 0.0

  /// The look at which the guard acts; `nil` when it does not.
  func tripsAt(_ seed: UInt64) -> Int? {
    var dice = Dice(seed: seed)
    var weights = (0..<clients).map { _ in dice.pareto() }
    if whale > 0 { weights[0] = weights.dropFirst().reduce(0, +) * whale / (1 - whale) }
    let total = weights.reduce(0, +)
    let players = weights.map { weight in
      Player(
        hash: Int(dice.next() >> 32), streamsPerLook: streamsPerSecond * 30 * weight / total, rate: dice.beta(base))
    }
    var machine = GuardMachine()
    _ = machine.fileChanged(revision: "1", hash: "1", acknowledged: "")
    var (treated, control) = (GuardArm(), GuardArm())
    for look in 1...120 {
      for player in players {
        let isTreated = Double(player.hash) < share * 4_294_967_296
        for _ in 0..<dice.poisson(player.streamsPerLook) {
          let failed = dice.unit() < player.rate + (isTreated ? harm : 0) ? 1.0 : 0
          if isTreated {
            treated.observe(.truncation, metric == .truncation ? failed : 0, client: player.hash)
            if metric != .truncation { treated.observe(metric, failed, client: player.hash) }
          } else {
            control.observe(.truncation, metric == .truncation ? failed : 0, client: player.hash)
            if metric != .truncation { control.observe(metric, failed, client: player.hash) }
          }
        }
      }
      _ = machine.evaluate(treated: treated, control: control, at: .init(milliseconds: 0))
      if machine.effect != .none { return look }
    }
    return nil
  }

  func trips(of runs: Int) -> Int { looks(of: runs).count }

  /// The looks at which it acted, in order.
  func looks(of runs: Int) -> [Int] { (0..<runs).compactMap { tripsAt(UInt64($0) * 7919 + 1) }.sorted() }

  private struct Player {
    var hash: Int
    var streamsPerLook: Double
    var rate: Double
  }
}

/// Draws from the distributions that the play needs; their formulas avoid everything but square roots.
private struct Dice {
  private var generator: SeededGenerator

  init(seed: UInt64) { generator = SeededGenerator(seed: seed) }

  mutating func next() -> UInt64 { generator.next() }
  mutating func unit() -> Double { Double(generator.next() >> 11) * 0x1p-53 }

  /// Exponent 1.2: a few clients make most of the traffic.
  mutating func pareto() -> Double { Logarithm.exponential(-Logarithm.of(1 - unit()) / 1.2) }

  /// A beta variable of this mean with the weight of twenty observations: an order statistic of uniform ones.
  mutating func beta(_ mean: Double) -> Double {
    let successes = mean * 20
    guard successes >= 1 else { return mean * -Logarithm.of(1 - unit()) }
    return (0..<19).map { _ in unit() }.sorted()[Int(successes.rounded()) - 1]
  }

  mutating func poisson(_ mean: Double) -> Int {
    guard mean < 50 else {
      let normal = (0..<12).reduce(-6.0) { sum, _ in sum + unit() }
      return max(0, Int((mean + mean.squareRoot() * normal).rounded()))
    }
    let limit = Logarithm.exponential(-mean)
    var (count, product) = (0, unit())
    while product > limit {
      count += 1
      product *= unit()
    }
    return count
  }
}

/// `FERMATA_GUARD_RUNS` makes the plays as many as the table in docs/operations.md has.
@Suite struct `Guard, played for an hour` {
  private static let wanted = ProcessInfo.processInfo.environment["FERMATA_GUARD_RUNS"].flatMap { Int($0) }
  private let runs = Self.wanted ?? 5
  /// What the table's figures are of.
  private static let tableRuns = 1000

  @Test func `without a fault it does not act`() {
    let plays = [
      RolloutPlay(metric: .truncation, share: 0.05, base: 0.001), RolloutPlay(share: 0.5),
      RolloutPlay(clients: 2000, share: 0.01), RolloutPlay(clients: 60, share: 0.5, base: 0.2, whale: 0.5),
      RolloutPlay(clients: 24, share: 0.5), RolloutPlay(clients: 12, share: 0.5, streamsPerSecond: 40),
      RolloutPlay(clients: 100, base: 0.2), RolloutPlay(clients: 5000, share: 0.01, base: 0.2),
    ]
    for play in plays {
      let trips = play.trips(of: runs)
      #expect(trips <= runs / 200, "\(trips) of \(runs): \(play)")
    }
  }

  @Test func `a fault is found`() {
    let plays = [
      (RolloutPlay(metric: .truncation, share: 0.25, base: 0.001, harm: 0.05), 0.9),
      (RolloutPlay(metric: .truncation, share: 0.05, base: 0.001, harm: 0.05), 0.8),
      (RolloutPlay(share: 0.25, base: 0.05, harm: 0.1), 0.6),
    ]
    for (play, part) in plays {
      let trips = play.trips(of: runs)
      #expect(Double(trips) >= part * Double(runs), "\(trips) of \(runs): \(play)")
    }
  }

  /// The rows of the table, by the words that they have there.
  private static let rows: [(words: String, plays: [RolloutPlay])] = [
    (
      "no fault, 500 clients, 5 % or 50 % in, 0.1 % truncated",
      [
        RolloutPlay(metric: .truncation, share: 0.05, base: 0.001),
        RolloutPlay(metric: .truncation, share: 0.5, base: 0.001),
      ]
    ),
    ("no fault, 500 clients, 50 % in, 20 % of streams left early", [RolloutPlay(share: 0.5, base: 0.2)]),
    (
      "no fault, 5,000 clients, 1 % in, 5 % or 20 % left early",
      [RolloutPlay(clients: 5000, share: 0.01), RolloutPlay(clients: 5000, share: 0.01, base: 0.2)]
    ),
    (
      "no fault, 60 clients of which one makes half of the traffic, 50 % in, 20 % left early",
      [RolloutPlay(clients: 60, share: 0.5, base: 0.2, whale: 0.5)]
    ),
    (
      "no fault, 24 clients, 50 % in, 5 % or 20 % left early",
      [RolloutPlay(clients: 24, share: 0.5), RolloutPlay(clients: 24, share: 0.5, base: 0.2)]
    ),
    ("no fault, 100 clients, 25 % in, 20 % left early", [RolloutPlay(clients: 100, base: 0.2)]),
    (
      "5 points more truncated (0.1 % before), 25 % or 5 % in",
      [
        RolloutPlay(metric: .truncation, base: 0.001, harm: 0.05),
        RolloutPlay(metric: .truncation, share: 0.05, base: 0.001, harm: 0.05),
      ]
    ),
    (
      "2 points more truncated, 25 % or 5 % in",
      [
        RolloutPlay(metric: .truncation, base: 0.001, harm: 0.02),
        RolloutPlay(metric: .truncation, share: 0.05, base: 0.001, harm: 0.02),
      ]
    ),
    (
      "5 or 10 points more left early (5 % before), 25 % in", [RolloutPlay(harm: 0.05), RolloutPlay(harm: 0.1)]
    ),
    (
      "5 or 10 points more left early (20 % before), 25 % in",
      [RolloutPlay(base: 0.2, harm: 0.05), RolloutPlay(base: 0.2, harm: 0.1)]
    ),
  ]

  /// Prints each row as the table has it, and with as many hours as the table is of, compares both. The last rows come
  /// first: what is found ends an hour early.
  @Test(.enabled(if: Self.wanted != nil), arguments: Self.rows.indices.reversed()) func `the table is what was played`(
    _ index: Int
  ) throws {
    let (words, plays) = Self.rows[index]
    let looks = plays.map { $0.looks(of: runs) }
    let counts = looks.map { String($0.count) }.joined(separator: " and ")
    let medians = looks.map { $0.isEmpty ? "none" : String($0[$0.count / 2]) }.joined(separator: " and ")
    let row = "| \(words) | \(counts) | \(plays[0].harm > 0 ? medians + " " : "")|"
    print("of \(runs) hours: \(row)")
    fflush(nil)
    guard runs == Self.tableRuns else { return }
    let root = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../..")
    let page = try String(contentsOf: root.appending(path: "docs/operations.md"), encoding: .utf8)
    #expect(page.contains(row), "\(row)")
  }
}
