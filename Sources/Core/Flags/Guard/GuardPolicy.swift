package import JSON
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
  package func reports(treated: GuardArm, control: GuardArm) -> [GuardReport] {
    GuardMetric.allCases.map { metric in
      GuardReport(
        metric, treated: treated, control: control, minSamples: minSamples,
        margin: margins[metric] ?? metric.standardMargin, absolute: absolutes[metric] ?? metric.standardAbsolute)
    }
  }

  /// One word on all metrics that are acted on.
  package func overall(_ reports: [GuardReport]) -> GuardVerdict {
    .overall(reports.filter { !dryRun.contains($0.metric) }.map(\.verdict))
  }
}

/// What a gateway says of how it judges, so that others can judge the sums of several.
extension GuardPolicy {
  package var json: JSONValue {
    let metrics = GuardMetric.allCases.map { metric -> JSONObject.Member in
      let limits: JSONValue = [
        "margin": .number(margins[metric] ?? metric.standardMargin),
        "absolute": (absolutes[metric] ?? metric.standardAbsolute).isFinite
          ? .number(absolutes[metric] ?? metric.standardAbsolute) : .null,
      ]
      return JSONObject.Member(name: metric.rawValue, value: limits)
    }
    return [
      "minSamples": JSONValue(minSamples),
      "dryRun": .array(GuardMetric.allCases.filter(dryRun.contains).map { .string($0.rawValue) }),
      "limits": .object(JSONObject(metrics)),
    ]
  }

  /// Judges as strictly as the strictest of those that wrote `documents`.
  package init(strictestOf documents: [JSONValue]) {
    self.init()
    minSamples = documents.compactMap { $0["minSamples"]?.integer }.max() ?? minSamples
    let dry = documents.map { Set(($0["dryRun"]?.array ?? []).compactMap { $0.string.flatMap(GuardMetric.init) }) }
    dryRun = dry.dropFirst().reduce(dry.first ?? []) { $0.intersection($1) }
    for metric in GuardMetric.allCases {
      let limits = documents.compactMap { $0["limits"]?[metric.rawValue] }
      margins[metric] = limits.compactMap { $0["margin"]?.number }.min()
      absolutes[metric] = limits.compactMap { $0["absolute"]?.number }.min()
    }
  }
}
