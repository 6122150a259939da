package import Time

/// Counts of latencies with a relative error of at most 1/32, in a fixed amount of memory.
package struct LatencyHistogram: Sendable {
  /// Values of one power of two are told apart in so many steps.
  private static let steps = 32
  private static let stepBits = 5
  private var counts = [Int](repeating: 0, count: 64 * steps)
  package private(set) var count = 0
  package private(set) var maximum = Nanoseconds.zero

  package init() {}

  package mutating func record(_ latency: Nanoseconds) {
    let value = UInt64(max(0, latency.value))
    counts[Self.bucket(of: value)] += 1
    count += 1
    if latency > maximum { maximum = latency }
  }

  package mutating func merge(_ other: Self) {
    for index in counts.indices { counts[index] += other.counts[index] }
    count += other.count
    maximum = max(maximum, other.maximum)
  }

  /// The latency that `share` (0...1) of all are not above; zero when there are none.
  package func quantile(_ share: Double) -> Nanoseconds {
    guard count > 0 else { return .zero }
    var rest = max(1, Int((Double(count) * share).rounded(.up)))
    for (index, number) in counts.enumerated() {
      rest -= number
      if rest <= 0 { return min(maximum, Nanoseconds(Int64(clamping: Self.upperBound(of: index)))) }
    }
    return maximum
  }

  private static func bucket(of value: UInt64) -> Int {
    guard value >= UInt64(steps) else { return Int(value) }
    let exponent = 63 - value.leadingZeroBitCount
    return (exponent - stepBits + 1) * steps + Int(value >> UInt64(exponent - stepBits)) - steps
  }

  private static func upperBound(of bucket: Int) -> UInt64 {
    guard bucket >= steps else { return UInt64(bucket) }
    let shift = bucket / steps - 1
    return (UInt64(bucket % steps + steps) + 1) << UInt64(shift) &- 1
  }
}
