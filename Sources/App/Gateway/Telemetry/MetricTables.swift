import Telemetry

/// A family with one label as the loops use it. The look-up is compiled for its types and costs an addition, where the
/// family's own, being generic in another module, asks at run time what its labels are.
struct MetricRow<Handle: MetricHandle, Label: MetricLabel & RawRepresentable<String>>: Sendable {
  private let first: Handle

  init(_ family: Family<Handle, Label>) { first = family.first }

  subscript(_ label: Label) -> Handle { first.advanced(by: label.place) }
}

/// A family with two labels; see `MetricRow`.
struct MetricTable<
  Handle: MetricHandle, Row: MetricLabel & RawRepresentable<String>, Column: MetricLabel & RawRepresentable<String>
>: Sendable {
  private let first: Handle
  private let width: Int

  init(_ family: Family<Handle, Row, Column>) {
    first = family.first
    width = Column.allCases.count
  }

  subscript(_ row: Row, _ column: Column) -> Handle { first.advanced(by: row.place * width + column.place) }
}

extension MetricLabel where Self: RawRepresentable<String> {
  /// `labelIndex`, which for an enum of words is its tag: a registry checks that it counts the cases in order.
  fileprivate var place: Int {
    MemoryLayout<Self>.size == 1 ? Int(unsafe unsafeBitCast(self, to: UInt8.self)) : labelIndex
  }
}
