/// A label whose values are all known at definition: an enum without payloads.
///
/// An enum with raw values of type `Int` counted from 0, or of type `String`, needs nothing but the conformance. A
/// `Registry` checks at definition that `labelIndex` is the case's place in `allCases`.
package protocol MetricLabel: CaseIterable, Sendable {
  /// The case's place in `allCases`.
  var labelIndex: Int { get }
  /// The label's value in the exposition.
  var labelText: String { get }
  /// A label of another name that series of this value have beside it; `nil`: none.
  var companion: LabelCompanion? { get }
}

/// A label that only some values of another label have. To Prometheus a label that is missing is an empty one.
package struct LabelCompanion: Sendable {
  let name: String
  let text: String

  package init(_ name: String, _ text: String) {
    self.name = name
    self.text = text
  }
}

extension MetricLabel where Self: RawRepresentable, RawValue == Int {
  package var labelIndex: Int { rawValue }
}

extension MetricLabel {
  package var labelText: String { "\(self)" }
  package var companion: LabelCompanion? { nil }
}

extension MetricLabel where Self: RawRepresentable, RawValue == String {
  package var labelText: String { rawValue }
  /// The case's tag as the compiler stores it: cases without payload are numbered in the order of declaration. A
  /// look-up in `allCases` would build an array for every observation.
  package var labelIndex: Int {
    MemoryLayout<Self>.size == 1 ? Int(unsafe unsafeBitCast(self, to: UInt8.self)) : 0
  }
}

/// A metric with one series for each combination of its labels.
///
/// `shard.increment(closes[.graceful, .confirmed])`: the look-up is integer arithmetic.
package struct Family<Handle: MetricHandle, each Label: MetricLabel>: Sendable {
  let layout: SeriesLayout
  let strides: LabelStrides
  /// The series of this family's first combination; not 0 for one value of an open label.
  let firstSeries: Int

  /// The handle of the first combination.
  package var first: Handle { Handle(layout, series: firstSeries) }

  package subscript(_ label: repeat each Label) -> Handle {
    var series = firstSeries
    var position = 0
    for value in repeat each label {
      series += strides.values[position] * value.labelIndex
      position += 1
    }
    return Handle(layout, series: series)
  }
}

/// A metric whose first label has values known only at run time (names of upstreams, products); the others are fixed.
///
/// Each shard gives the values a place in the order in which it meets them; after `openLabelValueLimit` of them the
/// rest share the series `other`, so that hostile input cannot grow the exposition.
package struct OpenFamily<Handle: MetricHandle, each Label: MetricLabel>: Sendable {
  let layout: SeriesLayout
  let strides: LabelStrides
  /// Which of the registry's open labels this is.
  let open: Int
  /// Series for each value of the open label.
  let seriesPerValue: Int

  /// The series of the open label's value in place `slot` of a shard.
  func family(slot: Int) -> Family<Handle, repeat each Label> {
    Family(layout: layout, strides: strides, firstSeries: slot * seriesPerValue)
  }
}

/// How far apart the series of neighbouring values of each label are.
struct LabelStrides: Sendable {
  static let limit = 4
  var values: [4 of Int] = [0, 0, 0, 0]
}

/// Distinct values of an open label before the rest is counted as `other`.
package let openLabelValueLimit = 200
