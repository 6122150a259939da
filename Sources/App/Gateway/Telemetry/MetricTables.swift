import Telemetry

/// A family with one label as the loops use it. The look-up is compiled for its types and costs an addition, where the
/// family's own, being generic in another module, asks at run time what its labels are.
struct MetricRow<Handle: MetricHandle, Label: MetricLabel>: Sendable {
  private let first: Handle

  init(_ family: Family<Handle, Label>) { first = family.first }

  subscript(_ label: Label) -> Handle { first.advanced(by: label.place) }
}

/// A family with two labels; see `MetricRow`.
struct MetricTable<Handle: MetricHandle, Row: MetricLabel, Column: MetricLabel>: Sendable {
  private let first: Handle
  private let width: Int

  init(_ family: Family<Handle, Row, Column>) {
    first = family.first
    width = Column.allCases.count
  }

  subscript(_ row: Row, _ column: Column) -> Handle { first.advanced(by: row.place * width + column.place) }
}

extension MetricLabel {
  /// `labelIndex`, read off the enum's tag: a registry checks that they are the same.
  fileprivate var place: Int {
    MemoryLayout<Self>.size == 1 ? Int(unsafe unsafeBitCast(self, to: UInt8.self)) : labelIndex
  }
}
