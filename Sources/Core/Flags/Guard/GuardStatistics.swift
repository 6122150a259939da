/// One arm's ratio, with what is known of its error.
package struct RatioEstimate: Equatable, Sendable {
  /// Observations.
  package var samples = 0
  /// Buckets that have any.
  package var occupied = 0
  /// Sum of the numerators by sum of the denominators; 0 without observations.
  package var ratio = 0.0
  /// The variance of `ratio`.
  package var variance = 0.0
  /// Buckets of equal size that would count as much: far fewer than `occupied` when few clients make most of the traffic
  /// (Kish's effective sample size).
  package var effective = 0.0
  /// The smallest ratio that is left when one bucket is taken out: no single client makes it.
  package var withoutLargest = 0.0

  /// The ratio of sums, and its variance by the delete-one-bucket jackknife (Cochran, Sampling Techniques, 6.16).
  ///
  /// A rate's variance is never below that of a binomial proportion with one event and one non-event added (Agresti and
  /// Caffo, 2000): near zero all buckets agree, and the jackknife would claim certainty.
  package init(_ cells: [(numerator: Double, denominator: Double)], isRate: Bool) {
    let numerators = cells.reduce(0) { $0 + $1.numerator }
    let denominators = cells.reduce(0) { $0 + $1.denominator }
    samples = Int(denominators)
    occupied = cells.count
    guard denominators > 0 else { return }
    ratio = numerators / denominators
    guard occupied > 1 else {
      variance = .infinity
      return
    }
    let others = cells.map { (numerators - $0.numerator) / (denominators - $0.denominator) }
    let mean = others.reduce(0, +) / Double(occupied)
    let squares = others.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
    variance = squares * Double(occupied - 1) / Double(occupied)
    withoutLargest = others.min() ?? 0
    effective = denominators * denominators / cells.reduce(0) { $0 + $1.denominator * $1.denominator }
    if isRate {
      let adjusted = (numerators + 1) / (denominators + 2)
      variance = max(variance, adjusted * (1 - adjusted) / (denominators + 2))
    }
  }
}

extension RatioEstimate {
  /// Degrees of freedom of the variance. A client that makes half of the traffic leaves few, however many others there
  /// are: it makes the mean too, so that it hardly differs from it, and the variance seems small. The factor is from
  /// simulation of 5,000 clients of which 1 % are in, without a fault: at 4 it trips in 15 plays of 4,000, at 3 in 12. At
  /// 2 in none of 1,000, but there it finds up to 82 faults of 1,000 less than at 3.
  var degrees: Int { max(1, Int(min(Double(occupied), 3 * effective)) - 1) }
}

/// Student's t.
enum StudentT {
  /// The value that a t variable of `degrees` exceeds as rarely as a normal one exceeds `z`: Fisher's expansion
  /// (Abramowitz and Stegun 26.7.5). Good to three digits for z = 3 from 5 degrees on.
  static func quantile(z: Double, degrees: Int) -> Double {
    let n = Double(max(1, degrees))
    let z2 = z * z
    let first = (z2 + 1) / 4
    let second = ((5 * z2 + 16) * z2 + 3) / 96
    let third = (((3 * z2 + 19) * z2 + 17) * z2 - 15) / 384
    let fourth = ((((79 * z2 + 776) * z2 + 1482) * z2 - 1920) * z2 - 945) / 92_160
    return z * (1 + first / n + second / (n * n) + third / (n * n * n) + fourth / (n * n * n * n))
  }
}
