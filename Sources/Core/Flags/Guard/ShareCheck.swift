/// Whether the clients that got the new variant are as many as the file says: if not, the bucketing or the key is
/// broken, and more weight would not do what it says.
package enum ShareCheck {
  /// - Parameters:
  ///   - on: distinct clients that got the new variant by the fraction.
  ///   - total: distinct clients that the fraction decided for.
  ///   - share: parts of 10,000 that the file gives it.
  /// - Returns: whether `on` is within four standard deviations; true when there are too few to say.
  package static func holds(on: Int, total: Int, share: Int) -> Bool {
    let p = Double(share) / Double(RolloutPhase.wholeShare)
    let n = Double(total)
    // The approximation by a normal distribution needs some expected members in either arm.
    guard n * min(p, 1 - p) >= 10 else { return share > 0 || on == 0 }
    return abs(Double(on) - n * p) <= 4 * (n * p * (1 - p)).squareRoot()
  }
}
