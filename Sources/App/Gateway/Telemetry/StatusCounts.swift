import JSON
import Telemetry

/// How many answers had each status, for lists; statuses that no answer had are not in it.
package struct StatusCounts: Equatable, Sendable {
  private var counts: [StatusLabel: Int] = [:]

  package init() {}

  package subscript(_ label: StatusLabel) -> Int {
    get { counts[label] ?? 0 }
    set { counts[label] = newValue == 0 ? nil : newValue }
  }

  mutating func add(_ other: StatusCounts) {
    for (label, count) in other.counts { self[label] += count }
  }

  /// What came since `earlier`, an older state of the same counts.
  func since(_ earlier: StatusCounts) -> StatusCounts {
    var rest = self
    for (label, count) in earlier.counts { rest[label] -= count }
    return rest
  }

  var sum: Int { counts.values.reduce(0, +) }

  /// From the lowest status to the highest.
  var json: JSONValue {
    .object(
      JSONObject(
        StatusLabel.allCases.filter { self[$0] > 0 }.map { .init(name: $0.rawValue, value: JSONValue(self[$0])) }))
  }
}
