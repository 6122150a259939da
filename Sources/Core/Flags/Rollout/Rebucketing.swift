internal import JSON

/// Finds edits after which somebody who had a variant loses it although its share grew, or the other way round.
package enum Rebucketing {
  /// What the change from `old` to `new` does to the flag `key`; empty when shares only grow or shrink in place.
  package static func findings(from old: FlagSet, to new: FlagSet, key: String) -> [String] {
    guard let before = old[key], let after = new[key] else { return [] }
    let (oldShares, newShares) = (Shares.all(in: before.targeting), Shares.all(in: after.targeting))
    var findings: [String] = []
    if old.generation != new.generation, !oldShares.isEmpty {
      findings.append("the generation changes from \(old.generation.rawValue) to \(new.generation.rawValue)")
    }
    // A rule with fewer or more fractions than before is another rule; what can be compared is compared.
    for (left, right) in zip(oldShares, newShares) { findings += left.findings(to: right) }
    return findings
  }
}

/// One `fractional` of a rule.
private struct Shares {
  var bucketing: JSONValue?
  var ranges: [(variant: String, start: Int, end: Int)] = []
  var total = 0

  static func all(in rule: JSONValue?) -> [Shares] {
    switch rule {
    case .array(let elements)?: return elements.flatMap { all(in: $0) }
    case .object(let object)?:
      return object.members.flatMap { member -> [Shares] in
        guard member.name == "fractional", case .array(let arguments) = member.value else {
          return all(in: member.value)
        }
        return [Shares(arguments)]
      }
    default: return []
    }
  }

  private init(_ arguments: [JSONValue]) {
    for (index, argument) in arguments.enumerated() {
      guard case .array(let share) = argument else {
        if index == 0 { bucketing = argument }
        continue
      }
      let weight = max(0, share.count > 1 ? share[1].integer ?? 0 : 1)
      let sum = total.addingReportingOverflow(min(weight, Int(Int32.max))).partialValue
      ranges.append((share.first?.string ?? "", total, sum))
      total = sum
    }
  }

  func findings(to other: Shares) -> [String] {
    if bucketing != other.bucketing { return ["the bucketing value changes"] }
    guard total > 0, other.total > 0, total <= Int32.max, other.total <= Int32.max else { return [] }
    return ranges.compactMap { range in
      guard range.end > range.start, let later = other.ranges.first(where: { $0.variant == range.variant }),
        later.end > later.start
      else { return nil }
      let (start, end) = (range.start * other.total, range.end * other.total)
      let (newStart, newEnd) = (later.start * total, later.end * total)
      let isNested = (newStart <= start && end <= newEnd) || (start <= newStart && newEnd <= end)
      return isNested ? nil : "members of \"\(range.variant)\" would change: its share moves to another place"
    }
  }
}
