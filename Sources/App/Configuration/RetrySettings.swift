import JSON
import Streams

extension RetryPolicy {
  /// Reads `statuses` and `nonIdempotent`.
  mutating func read(_ reader: JSONReader) {
    statuses = reader.statuses("statuses") ?? statuses
    let words = Cause.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", ")
    if let causes = reader.elements(
      "nonIdempotent", expected: "one of \(words)",
      { value, _ in
        value.string.flatMap { Cause(rawValue: $0) }
      })
    {
      nonIdempotent = Set(causes)
    }
  }

  var document: JSONValue {
    [
      "statuses": statuses.document,
      "nonIdempotent": .array(
        Cause.allCases.filter(nonIdempotent.contains).map { .string($0.rawValue) }),
    ]
  }
}

extension StatusSet {
  var document: JSONValue {
    .array(
      ranges.map { range in
        range.count == 1
          ? JSONValue(range.lowerBound) : .string("\(range.lowerBound)-\(range.upperBound)")
      })
  }

  /// `204`, or `"200-399"`.
  static func range(_ value: JSONValue) -> ClosedRange<Int>? {
    let bounds: [Int]
    switch value {
    case .string(let text): bounds = text.split(separator: "-", maxSplits: 1).compactMap { Int($0) }
    default: bounds = value.integer.map { [$0] } ?? []
    }
    guard let low = bounds.first, let high = bounds.last, 100 <= low, low <= high, high <= 599 else { return nil }
    if case .string(let text) = value, text != (bounds.count == 1 ? "\(low)" : "\(low)-\(high)") { return nil }
    return low...high
  }
}

extension JSONReader {
  /// A list of statuses and ranges of them.
  func statuses(_ name: String) -> StatusSet? {
    elements(name, expected: "a status such as 503, or a range such as \"500-599\"") { value, _ in
      StatusSet.range(value)
    }.map { StatusSet($0) }
  }
}
