import Flags
import JSON

/// What several gateways have counted, judged as if one had: arms are added up before anything is compared. A client that
/// uses two gateways is in the same bucket at both, and so stays one throw of the die.
struct TogetherReport {
  let arms: GuardArms
  let policy: GuardPolicy
  let reports: [GuardReport]

  /// `nil` where there is one gateway alone, or one that does not say what it has counted.
  ///
  /// - Parameter guards: what the gateways that serve the file say of their guards.
  init?(_ guards: [JSONValue]) {
    let parts = guards.compactMap { GuardArms($0["own"]?["arms"]) }
    guard parts.count == guards.count, parts.count > 1 else { return nil }
    arms = parts.reduce(into: GuardArms()) { $0.add($1) }
    policy = GuardPolicy(strictestOf: guards.compactMap { $0["policy"] })
    reports = policy.reports(treated: arms.treated, control: arms.control)
  }

  var verdict: GuardVerdict { policy.overall(reports) }

  var json: JSONValue {
    [
      "verdict": .string(verdict.rawValue), "streams": JSONValue(arms.treated.streams),
      "identities": JSONValue(arms.treated.identities), "controlStreams": JSONValue(arms.control.streams),
      "controlIdentities": JSONValue(arms.control.identities),
      "metrics": .array(
        reports.map { report in
          [
            "metric": .string(report.metric.rawValue), "verdict": .string(report.verdict.rawValue),
            "missing": .string(report.missing), "summary": .string(report.summary),
          ]
        }),
    ]
  }

  /// For people.
  var lines: [String] {
    ["  all gateways together: \(verdict.rawValue)"]
      + reports.map { report in
        let verdict = report.missing.isEmpty ? report.verdict.rawValue : report.missing
        return "    \(report.metric.rawValue): \(verdict); \(report.summary)"
      }
  }
}
