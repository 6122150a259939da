/// Natural logarithm and its inverse. Core has no C library, and the guard needs them once a stream at most.
package enum Logarithm {
  private static let ln2 = 0.693_147_180_559_945_3

  /// The natural logarithm of a finite positive number, to 15 digits; that of the smallest one for any other.
  package static func of(_ value: Double) -> Double {
    let value = value.isFinite && value > 0 ? value : .leastNormalMagnitude
    // ln(2^e * s) = e ln 2 + 2 artanh((s - 1) / (s + 1)), and s is in 1..<2.
    let ratio = (value.significand - 1) / (value.significand + 1)
    let square = ratio * ratio
    var power = ratio
    var sum = 0.0
    for degree in stride(from: 1.0, through: 33, by: 2) {
      sum += power / degree
      power *= square
    }
    return Double(value.exponent) * ln2 + 2 * sum
  }

  /// e to the power of `value`, to 15 digits; `value` is taken as within -700...700.
  package static func exponential(_ value: Double) -> Double {
    let value = min(700, max(-700, value.isNaN ? 0 : value))
    let twos = (value / ln2).rounded()
    let rest = value - twos * ln2
    var term = 1.0
    var sum = 1.0
    for degree in 1...20 {
      term *= rest / Double(degree)
      sum += term
    }
    return sum * Double(sign: .plus, exponent: Int(twos), significand: 1)
  }
}
