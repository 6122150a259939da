package import Streams
package import Telemetry

extension AttemptFault.Kind: MetricLabel {}
extension AttemptPhase: MetricLabel {}

/// How an attempt ended, as the labels of a series: its result, and of one that timed out also what it waited for.
package struct AttemptLabel: MetricLabel {
  let result: AttemptResult
  /// Of `timed_out` alone.
  let phase: AttemptPhase?

  /// - Parameter phase: how far it had come.
  init(_ result: AttemptResult, in phase: AttemptPhase) {
    self.result = result
    if case .failed(.timedOut) = result { self.phase = phase } else { self.phase = nil }
  }

  package static let allCases = AttemptResult.allCases.flatMap { result in
    if case .failed(.timedOut) = result { return AttemptPhase.allCases.map { AttemptLabel(result, in: $0) } }
    return [AttemptLabel(result, in: .streaming)]
  }

  package var labelIndex: Int {
    let kinds = AttemptFault.Kind.allCases.count
    let others = AttemptPhase.allCases.count - 1
    switch result {
    case .failed(let kind):
      let limit = AttemptFault.Kind.timedOut.labelIndex
      return kind.labelIndex + (phase?.labelIndex ?? (kind.labelIndex > limit ? others : 0))
    case .relayed: return kinds + others
    case .ended(let outcome): return kinds + others + 1 + outcome.labelIndex
    }
  }

  package var labelText: String { result.word }

  package var companion: LabelCompanion? { phase.map { LabelCompanion("phase", $0.rawValue) } }
}
