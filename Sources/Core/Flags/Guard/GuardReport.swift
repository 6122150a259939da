/// The guard's word on one metric, or on all.
package enum GuardVerdict: String, Sendable, CaseIterable {
  /// The new variant is worse by more than the margin.
  case worse
  /// No stream was in the new variant's arm.
  case nobodyTreated = "nobody_treated"
  /// No stream was in the old variant's arm.
  case noControl = "no_control"
  /// Too few clients or streams to say anything.
  case notEnough = "not_enough"
  /// Enough data, and neither proof of harm nor proof of its absence.
  case noHarmSeen = "no_harm_seen"
  /// The new variant is not worse by more than the margin.
  case pass

  /// The word on several metrics: the first in the order above that one of them has.
  package static func overall(_ verdicts: [GuardVerdict]) -> GuardVerdict {
    allCases.first { verdicts.contains($0) } ?? .notEnough
  }

  /// The word of several gateways, each of which saw a part of the traffic: the worst of those that could judge. It is
  /// a pass only where all of them could.
  package static func combined(_ verdicts: [GuardVerdict]) -> GuardVerdict {
    let judged = verdicts.filter { [.worse, .noHarmSeen, .pass].contains($0) }
    guard !judged.isEmpty else { return overall(verdicts) }
    let worst = overall(judged)
    return worst == .pass && judged.count < verdicts.count ? .noHarmSeen : worst
  }
}

/// One comparison.
package struct GuardReport: Equatable, Sendable {
  package var metric: GuardMetric
  package var verdict: GuardVerdict
  package var treated: RatioEstimate
  package var control: RatioEstimate
  /// The confidence interval of treated minus control. For the time: of the difference of the logarithms.
  package var interval: ClosedRange<Double>
  /// The smallest true difference that would have been called worse. For the time: a part of the control's.
  package var noticeable: Double
  /// What is missing when the verdict is `notEnough`, else empty.
  package var missing: String
  /// The absolute limit is crossed: nothing is waited for.
  package var isHardStop: Bool
}

extension GuardReport {
  /// Each arm needs observations of so many buckets of clients before anything is said of it.
  package static let minIdentities = 8
  /// Wide enough to be looked at again and again.
  static let z = 3.0

  package init(
    _ metric: GuardMetric, treated: GuardArm, control: GuardArm, minSamples: Int, margin: Double, absolute: Double
  ) {
    let new = RatioEstimate(treated.cells(of: metric), isRate: metric.isRate)
    let old = RatioEstimate(control.cells(of: metric), isRate: metric.isRate)
    let limit = metric.isRate ? margin : Logarithm.of(1 + margin)
    let error = (new.variance + old.variance).squareRoot()
    let reach = StudentT.quantile(z: Self.z, degrees: min(new.degrees, old.degrees)) * error
    let difference = new.ratio - old.ratio
    self.metric = metric
    self.treated = new
    self.control = old
    missing = Self.missing(new, old, minSamples)
    interval = reach.isFinite ? (difference - reach)...(difference + reach) : 0...0
    noticeable = metric.isRate || !reach.isFinite ? limit + reach : Logarithm.exponential(limit + reach) - 1
    let isLarge = new.samples >= minSamples && new.occupied >= Self.minIdentities
    isHardStop = isLarge && new.withoutLargest > absolute && (control.streams == 0 || new.ratio > old.ratio)
    verdict = .worse
    if isHardStop { return }
    if treated.streams == 0 {
      verdict = .nobodyTreated
    } else if control.streams == 0 {
      verdict = .noControl
    } else if !missing.isEmpty {
      verdict = .notEnough
    } else if interval.lowerBound > limit {
      verdict = .worse
    } else {
      verdict = interval.upperBound < limit ? .pass : .noHarmSeen
    }
  }

  private static func missing(_ treated: RatioEstimate, _ control: RatioEstimate, _ minSamples: Int) -> String {
    for (name, arm) in [("treated", treated), ("control", control)] {
      if arm.samples < minSamples { return "not enough \(name) streams (\(arm.samples) of \(minSamples))" }
      if arm.occupied < minIdentities {
        return "not enough \(name) identities (\(arm.occupied) of \(minIdentities))"
      }
    }
    return ""
  }
}
