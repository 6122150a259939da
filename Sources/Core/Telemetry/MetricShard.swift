/// The numbers of one event loop. Confined to its thread, so that counting costs an addition: no lock, no atomic, no
/// look-up. A scrape asks every loop for a `snapshot()` and merges them.
package final class MetricShard {
  private let registry: Registry
  private let bounds: [Double]
  private var counts: [Int]
  private var reals: [Double]
  private var openNames: [OpenNames]

  package init(_ registry: Registry) {
    self.registry = registry
    bounds = registry.bounds
    counts = Array(repeating: 0, count: registry.countPlaces)
    reals = Array(repeating: 0, count: registry.realPlaces)
    openNames = Array(repeating: OpenNames(), count: registry.openLabels)
  }

  package func increment(_ counter: Counter, by amount: Int = 1) {
    counts[counter.index] &+= amount
  }

  package func set(_ gauge: Gauge, to value: Double) {
    reals[gauge.index] = value
  }

  package func add(_ amount: Double, to gauge: Gauge) {
    reals[gauge.index] += amount
  }

  /// Counts `value` in the first bucket whose bound is not below it.
  package func observe(_ histogram: Histogram, _ value: Double) {
    var bucket = 0
    let last = histogram.bounds.count
    while bucket < last, !(value <= bounds[histogram.bounds.lowerBound + bucket]) { bucket += 1 }
    counts[histogram.firstBucket + bucket] &+= 1
    reals[histogram.sum] += value
  }

  /// The series of one value of an open label. Resolved once for a stream or an upstream, then used as often as
  /// wanted, **on this shard only**.
  ///
  /// - Parameter showsUnused: whether the series are there before they have a number that is not 0.
  package func resolve<Handle, each Label: MetricLabel>(
    _ family: OpenFamily<Handle, repeat each Label>, _ value: String, showsUnused: Bool = true
  ) -> Family<Handle, repeat each Label> {
    let slot = openNames[family.open].slot(of: value)
    if !showsUnused { openNames[family.open].hidesUnused.insert(slot) }
    return family.family(slot: slot)
  }

  package func value(_ counter: Counter) -> Int { counts[counter.index] }

  /// How many values fell into each bucket, the last one being that of values above all bounds.
  package func buckets(of histogram: Histogram) -> [Int] {
    Array(counts[histogram.firstBucket...histogram.firstBucket + histogram.bounds.count])
  }

  /// The name under which a value of an open label is counted: its own, or `other`.
  package func name<Handle, each Label: MetricLabel>(
    _ family: OpenFamily<Handle, repeat each Label>, _ value: String
  ) -> String {
    openNames[family.open].name(openNames[family.open].slot(of: value))
  }

  package func snapshot() -> MetricSnapshot {
    MetricSnapshot(registry: registry, counts: counts, reals: reals, openNames: openNames)
  }
}

/// The values that an open label has had, in the order of their first use. The last place is `other`.
struct OpenNames: Sendable {
  private(set) var names: [String] = []
  private var slots: [String: Int] = [:]
  /// Places whose series are not shown while they are 0.
  var hidesUnused: Set<Int> = []

  static let other = openLabelValueLimit

  mutating func slot(of name: String) -> Int {
    if let known = slots[name] { return known }
    guard names.count < openLabelValueLimit else { return Self.other }
    names.append(name)
    slots[name] = names.count - 1
    return names.count - 1
  }
}

/// A copy of a shard's numbers that may go to another thread.
package struct MetricSnapshot: Sendable {
  let registry: Registry
  var counts: [Int]
  var reals: [Double]
  var openNames: [OpenNames]

  package func value(_ counter: Counter) -> Int {
    counts[counter.index]
  }

  package func value(_ gauge: Gauge) -> Double {
    reals[gauge.index]
  }

  /// How many values the histogram has seen, and their sum.
  package func value(_ histogram: Histogram) -> (count: Int, sum: Double) {
    let buckets = histogram.firstBucket...histogram.firstBucket + histogram.bounds.count
    return (counts[buckets].reduce(0, +), reals[histogram.sum])
  }

  /// The series of one value of an open label in this snapshot.
  package mutating func resolve<Handle, each Label: MetricLabel>(
    _ family: OpenFamily<Handle, repeat each Label>, _ value: String
  ) -> Family<Handle, repeat each Label> {
    family.family(slot: openNames[family.open].slot(of: value))
  }

  /// Sets what belongs to the process and not to a loop (memory, descriptors), just before the text is written.
  package mutating func set(_ gauge: Gauge, to value: Double) {
    reals[gauge.index] = value
  }

  /// Adds the numbers of another shard of the same registry.
  package mutating func merge(_ other: MetricSnapshot) {
    precondition(other.counts.count == counts.count && other.reals.count == reals.count)
    for metric in registry.metrics {
      guard let open = metric.open else {
        for series in metric.combinations.indices { add(metric, series, from: other, series) }
        continue
      }
      let width = metric.combinations.count
      for slot in other.openNames[open.number].usedSlots {
        let name = other.openNames[open.number].name(slot)
        let target = slot == OpenNames.other ? slot : openNames[open.number].slot(of: name)
        if other.openNames[open.number].hidesUnused.contains(slot) { openNames[open.number].hidesUnused.insert(target) }
        for series in 0..<width { add(metric, target * width + series, from: other, slot * width + series) }
      }
    }
  }

  private mutating func add(_ metric: MetricDefinition, _ series: Int, from other: MetricSnapshot, _ its: Int) {
    switch metric.kind {
    case .counter:
      counts[metric.layout.countStart + series] &+= other.counts[metric.layout.countStart + its]
    case .gauge(.sum):
      reals[metric.layout.realStart + series] += other.reals[metric.layout.realStart + its]
    case .gauge(.maximum):
      let place = metric.layout.realStart + series
      reals[place] = max(reals[place], other.reals[metric.layout.realStart + its])
    case .histogram:
      let (mine, theirs) = (Histogram(metric.layout, series: series), Histogram(metric.layout, series: its))
      for bucket in 0..<metric.layout.bucketCount {
        counts[mine.firstBucket + bucket] &+= other.counts[theirs.firstBucket + bucket]
      }
      reals[mine.sum] += other.reals[theirs.sum]
    }
  }
}

extension OpenNames {
  /// The places that hold a name, and `other`'s.
  var usedSlots: [Int] { Array(names.indices) + [Self.other] }

  func name(_ slot: Int) -> String { slot == Self.other ? "other" : names[slot] }
}
