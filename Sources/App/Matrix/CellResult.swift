/// A cell after all its runs.
package struct CellResult: Sendable {
  package let cell: CellID
  package let expected: Verdict
  package let finding: Finding
  /// Whether its runs did not agree.
  package let isFlaky: Bool
  package let milliseconds: Int
  package let client: ClientWitness?
  package let backend: BackendWitness?
  package let gateway: GatewayWitness?
  /// Whether the client may leave before the end of the response.
  package let mayLeaveFirst: Bool
  /// Why it is not expected to be `ok`.
  package let reason: String?
  package let link: String?

  package init(
    _ cell: CellID, _ finding: Finding, isFlaky: Bool = false, milliseconds: Int = 0, client: ClientWitness? = nil,
    backend: BackendWitness? = nil, gateway: GatewayWitness? = nil, mayLeaveFirst: Bool = false,
    expectations: Expectations
  ) {
    self.cell = cell
    self.finding = isFlaky ? Finding(.failed, fault: finding.fault, finding.note) : finding
    (self.isFlaky, self.milliseconds) = (isFlaky, milliseconds)
    (self.client, self.backend, self.gateway, self.mayLeaveFirst) = (client, backend, gateway, mayLeaveFirst)
    expected = expectations.verdict(of: cell)
    reason = expectations[cell]?.reason
    link = expectations[cell]?.link
  }

  package var verdict: Verdict { finding.verdict }

  /// Whether it is as the expectations have it. What is not installed is neither as expected nor not.
  package var isAsExpected: Bool { verdict == expected || verdict == .missing }

  /// What is not as expected, for people.
  package var complaint: String? {
    guard !isAsExpected else { return nil }
    let note = finding.note.isEmpty ? "" : ": \(finding.note)"
    let flaky = isFlaky ? ", not every time" : ""
    return "\(cell): \(verdict.rawValue) instead of \(expected.rawValue)\(flaky)\(note)"
  }
}
