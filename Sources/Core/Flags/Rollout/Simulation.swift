internal import JSON

/// What a flag answers to many clients at once.
package struct Simulation: Equatable, Sendable {
  package struct Count: Equatable, Sendable {
    /// "" when the caller's own default holds.
    package var variant: String
    package var members: Int
  }

  /// By variant, in the order of the flag.
  package private(set) var counts: [Count] = []
  package private(set) var total = 0
  /// Clients without a targeting key: no fraction decides for them.
  package private(set) var withoutKey = 0

  package init(_ set: FlagSet, _ key: String, _ contexts: [EvaluationContext]) {
    var members: [String: Int] = [:]
    for context in contexts {
      members[set.evaluate(key, context).variant ?? "", default: 0] += 1
      if context.targetingKey?.isEmpty ?? true { withoutKey += 1 }
    }
    total = contexts.count
    let names = (set[key]?.variants.map(\.name) ?? []) + [""]
    counts = names.compactMap { name in members[name].map { Count(variant: name, members: $0) } }
  }

  package func members(of variant: String) -> Int { counts.first { $0.variant == variant }?.members ?? 0 }

  /// Made-up keys for a simulation without real ones: `client-00000` and on.
  package static func keys(count: Int) -> [EvaluationContext] {
    (0..<count).map { index in
      let digits = String(index)
      let padded = String(repeating: "0", count: max(0, 5 - digits.utf8.count)) + digits
      return EvaluationContext(targetingKey: "client-\(padded)")
    }
  }
}

/// Who would get another answer.
package struct FlagDifference: Equatable, Sendable {
  package struct Change: Equatable, Sendable {
    package var from: String
    package var to: String
    package var count: Int
  }

  /// By pair of variants; "" is the caller's own default.
  package private(set) var changes: [Change] = []
  /// Positions in the list of contexts.
  package private(set) var changed: [Int] = []
  package let total: Int

  package init(_ key: String, from old: FlagSet, to new: FlagSet, _ contexts: [EvaluationContext]) {
    total = contexts.count
    for (index, context) in contexts.enumerated() {
      let before = old.evaluate(key, context).variant ?? ""
      let after = new.evaluate(key, context).variant ?? ""
      guard before != after else { continue }
      changed.append(index)
      if let position = changes.firstIndex(where: { $0.from == before && $0.to == after }) {
        changes[position].count += 1
      } else {
        changes.append(Change(from: before, to: after, count: 1))
      }
    }
  }
}
