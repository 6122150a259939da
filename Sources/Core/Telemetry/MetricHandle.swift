/// Names one series of a shard: resolved once, then used by plain index.
package protocol MetricHandle: Sendable {
  /// The handle of the family's series number `series`, counted in label order.
  init(_ layout: SeriesLayout, series: Int)
  /// The handle of the same family that comes `series` places later in label order.
  func advanced(by series: Int) -> Self
}

/// Where a family's numbers stand in every shard.
package struct SeriesLayout: Sendable {
  /// The first of the family's places among the whole numbers (counters, and a histogram's buckets).
  var countStart = 0
  /// The first of its places among the real numbers (gauges, and a histogram's sum).
  var realStart = 0
  /// A histogram's upper bounds, in the registry's flat list.
  var bounds = 0..<0

  /// Places among the whole numbers that one histogram takes: its buckets and the one without a bound.
  var bucketCount: Int { bounds.count + 1 }
}

/// A number that only grows.
package struct Counter: MetricHandle {
  let index: Int

  package init(_ layout: SeriesLayout, series: Int) {
    index = layout.countStart + series
  }

  private init(index: Int) { self.index = index }

  package func advanced(by series: Int) -> Counter { Counter(index: index + series) }
}

/// A number that goes up and down.
package struct Gauge: MetricHandle {
  let index: Int

  package init(_ layout: SeriesLayout, series: Int) {
    index = layout.realStart + series
  }

  private init(index: Int) { self.index = index }

  package func advanced(by series: Int) -> Gauge { Gauge(index: index + series) }
}

/// Counts of observed values by size, and their sum.
package struct Histogram: MetricHandle {
  let firstBucket: Int
  let sum: Int
  let bounds: Range<Int>

  package init(_ layout: SeriesLayout, series: Int) {
    firstBucket = layout.countStart + series * layout.bucketCount
    sum = layout.realStart + series
    bounds = layout.bounds
  }

  private init(firstBucket: Int, sum: Int, bounds: Range<Int>) {
    self.firstBucket = firstBucket
    self.sum = sum
    self.bounds = bounds
  }

  package func advanced(by series: Int) -> Histogram {
    Histogram(firstBucket: firstBucket + series * (bounds.count + 1), sum: sum + series, bounds: bounds)
  }
}
