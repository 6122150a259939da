/// How many answers had each status, for lists; statuses that no answer had are not in it.
package struct StatusCounts: Equatable, Sendable {
  private var counts: [StatusLabel: Int] = [:]

  package init() {}

  package subscript(_ label: StatusLabel) -> Int {
    get { counts[label] ?? 0 }
    set { counts[label] = newValue == 0 ? nil : newValue }
  }

  package mutating func add(_ other: StatusCounts) {
    for (label, count) in other.counts { self[label] += count }
  }

  /// What came since `earlier`, an older state of the same counts.
  package func since(_ earlier: StatusCounts) -> StatusCounts {
    var rest = self
    for (label, count) in earlier.counts { rest[label] -= count }
    return rest
  }

  package var sum: Int { counts.values.reduce(0, +) }
}
