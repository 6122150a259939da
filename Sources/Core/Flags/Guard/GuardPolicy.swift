package import Time

/// How the guard judges.
package struct GuardPolicy: Sendable {
  /// Time between two looks.
  package var interval = Nanoseconds.seconds(30)
  /// Streams that each arm needs before anything is said of it.
  package var minSamples = 100
  /// Looks that are summed up: a fault that comes late must not drown in a long good past.
  package var window = 20
  /// Looks in a row that find a metric worse before the guard acts.
  package var failLimit = 2
  package var onRegress = RolloutPhase.Regress.rollback
  /// Metrics that are judged and shown but never acted on.
  package var dryRun: Set<GuardMetric> = []
  package var margins: [GuardMetric: Double] = [:]
  package var absolutes: [GuardMetric: Double] = [:]

  package init() {}

  /// Compares the arms by every metric.
  func reports(treated: GuardArm, control: GuardArm) -> [GuardReport] {
    GuardMetric.allCases.map { metric in
      GuardReport(
        metric, treated: treated, control: control, minSamples: minSamples,
        margin: margins[metric] ?? metric.standardMargin, absolute: absolutes[metric] ?? metric.standardAbsolute)
    }
  }

  /// One word on all metrics that are acted on.
  func overall(_ reports: [GuardReport]) -> GuardVerdict {
    .overall(reports.filter { !dryRun.contains($0.metric) }.map(\.verdict))
  }
}
