/// A set of HTTP statuses, as settings name them: single ones and ranges.
package struct StatusSet: Equatable, Sendable, ExpressibleByArrayLiteral {
  package let ranges: [ClosedRange<Int>]

  package init(_ ranges: [ClosedRange<Int>]) { self.ranges = ranges }

  package init(arrayLiteral ranges: ClosedRange<Int>...) { self.ranges = ranges }

  package func contains(_ status: Int) -> Bool { ranges.contains { $0.contains(status) } }
}
