import Glibc
import Testing

/// Scenarios that are drawn from seeds, over the played world.
///
/// `FERMATA_SIMULATION_SEED` plays one of them alone; `FERMATA_SIMULATION_SEEDS` plays so many, from
/// `FERMATA_SIMULATION_FROM` on. Of each kind of failure one is told, as the fewest steps that lead to it.
@Suite(.serialized) struct SimulationTests {
  private let log = SimulatedLog()
  /// What the tree plays each time.
  private static let count: UInt64 = 100
  /// Others that have failed once, and why.
  private static let once: [(seed: UInt64, fault: String)] = [
    (632, "a client that was refused as a drain ended had its stream opened later")
  ]

  private static func number(_ name: String) -> UInt64? { getenv(name).flatMap { UInt64(String(cString: $0)) } }

  private func play(_ scenario: SimulatedScenario) throws -> [String] {
    let world = try SimulatedWorld(scenario.plan, log: log)
    for (index, step) in scenario.steps.enumerated() {
      try world.play(step, number: index)
      if !world.failures.isEmpty { break }
    }
    if world.failures.isEmpty { try world.finish() }
    let isWhole = world.failures.isEmpty
    world.close()
    // A scenario that was left in the middle leaves more than one that came to its end.
    return isWhole ? world.failures : [world.failures[0]]
  }

  /// Leaves out steps as long as it fails without them.
  private func shrink(_ scenario: SimulatedScenario) throws -> SimulatedScenario {
    var best = scenario
    var size = max(1, best.steps.count / 2)
    var left = 400
    while left > 0 {
      var index = 0
      var isSmaller = false
      while index < best.steps.count, left > 0 {
        var tried = best
        tried.steps.removeSubrange(index..<min(index + size, best.steps.count))
        left -= 1
        if try play(tried).isEmpty {
          index += size
        } else {
          (best, isSmaller) = (tried, true)
        }
      }
      if size == 1, !isSmaller { break }
      size = max(1, size / 2)
    }
    return best
  }

  private func tell(_ scenario: SimulatedScenario) throws -> String {
    let faults = try play(scenario)
    guard !faults.isEmpty else { return "" }
    let smaller = try shrink(scenario)
    let steps = smaller.steps.enumerated().map { "  \($0). \($1.deed), \($1.turns) turns" }.joined(separator: "\n")
    return """
      seed \(scenario.seed): \(faults.joined(separator: "; "))
      \(smaller.plan)
      \(steps)
      \(try play(smaller).joined(separator: "\n"))
      """.replacing("GatewayTests.", with: "").replacing("Streams.", with: "")
  }

  @Test func `whatever happens, in whatever order, what must always be so is so`() throws {
    var seeds = Array(1...Self.count) + Self.once.map(\.seed)
    if let seed = Self.number("FERMATA_SIMULATION_SEED") { seeds = [seed] }
    if let more = Self.number("FERMATA_SIMULATION_SEEDS") {
      let first = Self.number("FERMATA_SIMULATION_FROM") ?? 1
      seeds = Array(first...(first + max(1, more) - 1))
    }
    // One of each kind is enough.
    var kinds: Set<String> = []
    for seed in seeds where kinds.count < 8 {
      let scenario = SimulatedScenario(seed: seed)
      guard let fault = try play(scenario).first, kinds.insert(kind(of: fault)).inserted else { continue }
      Issue.record("\(try tell(scenario))")
    }
  }

  private func kind(of fault: String) -> String {
    String(fault.drop { $0 != ":" }.filter { !$0.isNumber }.prefix(60))
  }
}
