/// What the guard compares between the two cohorts.
package enum GuardMetric: String, CaseIterable, Sendable {
  case truncation
  case clientAborts = "client_aborts"
  case unconfirmedCloses = "unconfirmed_closes"
  case reconnects
  case timeToFirstToken = "time_to_first_token"

  /// How much worse the new variant may be: a difference of rates, for the time a part of the old variant's mean.
  package var standardMargin: Double {
    switch self {
    case .truncation: 0.005
    case .clientAborts, .reconnects: 0.01
    case .unconfirmedCloses: 0.02
    case .timeToFirstToken: 0.1
    }
  }

  /// The rate of the new variant that is too much whatever the other does.
  package var standardAbsolute: Double {
    switch self {
    case .truncation: 0.25
    case .clientAborts, .unconfirmedCloses, .reconnects: 0.5
    case .timeToFirstToken: .infinity
    }
  }

  fileprivate func events(in arm: GuardArm) -> Int {
    switch self {
    case .truncation: arm.truncated
    case .clientAborts: arm.aborted
    case .unconfirmedCloses: arm.unconfirmed
    case .reconnects: arm.reconnected
    case .timeToFirstToken: arm.firstTokens
    }
  }

  /// Observations of the metric: streams, or first tokens.
  package func samples(in arm: GuardArm) -> Int {
    self == .timeToFirstToken ? arm.firstTokens : arm.closed
  }
}

/// One comparison.
package struct GuardReport: Equatable, Sendable {
  package var metric: GuardMetric
  package var verdict: RolloutEvidence.Verdict
  /// Observations in the new and in the old variant.
  package var samples: (on: Int, off: Int)
  /// Rates, or mean milliseconds.
  package var values: (on: Double, off: Double)
  /// Confidence interval of the difference, new minus old.
  package var interval: ClosedRange<Double>
  /// The absolute limit is crossed: nothing is waited for.
  package var isHardStop: Bool

  package static func == (left: Self, right: Self) -> Bool {
    left.metric == right.metric && left.verdict == right.verdict && left.samples == right.samples
      && left.values == right.values && left.interval == right.interval && left.isHardStop == right.isHardStop
  }
}

/// The statistics: intervals at z = 3, wide enough to be looked at again and again.
enum GuardStatistics {
  static let z = 3.0

  static func compare(
    _ metric: GuardMetric, on: GuardArm, off: GuardArm, minSamples: Int, margin: Double, absolute: Double
  ) -> GuardReport {
    let samples = (on: metric.samples(in: on), off: metric.samples(in: off))
    let (values, difference, error) =
      metric == .timeToFirstToken
      ? means(on, off) : rates(metric.events(in: on), samples.on, metric.events(in: off), samples.off)
    let isKnown = values.on.isFinite && values.off.isFinite && difference.isFinite && error.isFinite
    let interval = isKnown ? (difference - z * error)...(difference + z * error) : 0...0
    let limit = metric == .timeToFirstToken ? margin * values.off : margin
    let isEnough = min(samples.on, samples.off) >= minSamples
    let isHardStop = isKnown && samples.on >= minSamples && metric != .timeToFirstToken && values.on > absolute
    return GuardReport(
      metric: metric,
      verdict: verdict(isKnown: isKnown, isEnough: isEnough, isHardStop: isHardStop, interval, limit),
      samples: samples, values: values, interval: interval, isHardStop: isHardStop)
  }

  private static func verdict(
    isKnown: Bool, isEnough: Bool, isHardStop: Bool, _ interval: ClosedRange<Double>, _ limit: Double
  ) -> RolloutEvidence.Verdict {
    if isHardStop { return .fail }
    // Too little is no fault of the metric: first tokens of nobody have no mean.
    guard isEnough else { return .inconclusive }
    guard isKnown else { return .error }
    if interval.lowerBound > limit { return .fail }
    return interval.upperBound < limit ? .pass : .inconclusive
  }

  /// Two proportions after Agresti and Caffo: one event and one non-event added to each arm keeps the interval honest
  /// near zero, where these rates are.
  private static func rates(
    _ onEvents: Int, _ onSamples: Int, _ offEvents: Int, _ offSamples: Int
  ) -> (values: (on: Double, off: Double), difference: Double, error: Double) {
    guard onEvents >= 0, offEvents >= 0, onEvents <= onSamples, offEvents <= offSamples else {
      return ((.nan, .nan), .nan, .nan)
    }
    let (n, m) = (Double(onSamples) + 2, Double(offSamples) + 2)
    let (p, q) = ((Double(onEvents) + 1) / n, (Double(offEvents) + 1) / m)
    let values = (on: Double(onEvents) / max(1, n - 2), off: Double(offEvents) / max(1, m - 2))
    return (values, p - q, (p * (1 - p) / n + q * (1 - q) / m).squareRoot())
  }

  /// Two means with unequal variances (Welch).
  private static func means(
    _ on: GuardArm, _ off: GuardArm
  ) -> (values: (on: Double, off: Double), difference: Double, error: Double) {
    let (left, right) = (moments(on), moments(off))
    let error = (left.variance / Double(on.firstTokens) + right.variance / Double(off.firstTokens)).squareRoot()
    return ((left.mean, right.mean), left.mean - right.mean, error)
  }

  /// NaN for fewer than two observations.
  private static func moments(_ arm: GuardArm) -> (mean: Double, variance: Double) {
    guard arm.firstTokens >= 2 else { return (.nan, .nan) }
    let count = Double(arm.firstTokens)
    let mean = arm.firstTokenSum / count
    return (mean, max(0, (arm.firstTokenSquares - count * mean * mean) / (count - 1)))
  }
}
