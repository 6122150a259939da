/// What was counted for the clients of one arm: for each metric a numerator and a denominator, in 64 buckets by a hash
/// of the client's identity. Sums since the process began.
///
/// The unit of chance is the client, not the stream: a client with 3,000 streams is one throw of the die. Buckets of
/// clients let the statistics see how much clients differ, in bounded memory (5 KiB an arm).
package struct GuardArm: Equatable, Sendable {
  package static let buckets = 64
  private static let metrics = GuardMetric.allCases.count

  /// Numerator and denominator of each metric, bucket after bucket.
  private var sums: [Double]

  package init() {
    sums = [Double](repeating: 0, count: Self.buckets * Self.metrics * 2)
  }

  /// Counts one observation of a client.
  ///
  /// - Parameters:
  ///   - value: 1 or 0 for a rate, the logarithm for the time.
  ///   - client: a hash of the client's identity; the fraction's own hash will do, it is mixed again here.
  package mutating func observe(_ metric: GuardMetric, _ value: Double, client: Int) {
    let index = Self.index(Self.bucket(of: client), metric)
    sums[index] += value
    sums[index + 1] += 1
  }

  /// Adds to the numerator alone: what is learnt of a stream after it was counted.
  package mutating func addToNumerator(of metric: GuardMetric, client: Int) {
    sums[Self.index(Self.bucket(of: client), metric)] += 1
  }

  package mutating func add(_ other: GuardArm) {
    for index in sums.indices { sums[index] += other.sums[index] }
  }

  /// What was counted between two moments.
  package static func - (later: GuardArm, earlier: GuardArm) -> GuardArm {
    var difference = later
    for index in difference.sums.indices { difference.sums[index] -= earlier.sums[index] }
    return difference
  }

  /// Numerator and denominator of `metric` in each bucket that has observations.
  package func cells(of metric: GuardMetric) -> [(numerator: Double, denominator: Double)] {
    (0..<Self.buckets).compactMap { bucket in
      let index = Self.index(bucket, metric)
      return sums[index + 1] > 0 ? (sums[index], sums[index + 1]) : nil
    }
  }

  /// The same with each bucket's index, from 0.
  func numberedCells(of metric: GuardMetric) -> [(bucket: Int, numerator: Double, denominator: Double)] {
    (0..<Self.buckets).compactMap { bucket in
      let index = Self.index(bucket, metric)
      return sums[index] != 0 || sums[index + 1] != 0 ? (bucket, sums[index], sums[index + 1]) : nil
    }
  }

  mutating func add(_ numerator: Double, _ denominator: Double, to metric: GuardMetric, bucket: Int) {
    let index = Self.index(bucket, metric)
    sums[index] += numerator
    sums[index + 1] += denominator
  }

  /// Whether no denominator of `other` is smaller.
  func mayBecome(_ other: GuardArm) -> Bool {
    stride(from: 1, to: sums.count, by: 2).allSatisfy { sums[$0] <= other.sums[$0] }
  }

  /// Streams that were judged.
  package var streams: Int { Int(cells(of: .truncation).reduce(0) { $0 + $1.denominator }) }

  /// Buckets with judged streams: at least so many different clients, 64 at most.
  package var identities: Int { cells(of: .truncation).count }

  private static func index(_ bucket: Int, _ metric: GuardMetric) -> Int {
    (bucket * metrics + metric.position) * 2
  }

  /// The finaliser of SplitMix64: the fraction takes neighbouring hashes, buckets must not.
  private static func bucket(of client: Int) -> Int {
    var mixed = UInt64(truncatingIfNeeded: client) &+ 0x9E37_79B9_7F4A_7C15
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return Int((mixed ^ (mixed >> 31)) & 63)
  }
}
