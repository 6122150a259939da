internal import Streams

/// What is known of cells that are not `ok`: a file of rules, each with its reason.
///
/// A rule stands for every cell of its clients, modes, transports and behaviours.
package struct Expectations: Sendable {
  package struct Rule: Sendable {
    /// Where it stands in the file.
    package let place: String
    package let verdict: Verdict
    /// Which fault the client is blind to.
    package let fault: Fault?
    package let reason: String
    package let link: String?
  }

  private var rules: [CellID: Rule] = [:]

  package init() {}

  /// - Parameters:
  ///   - text: JSON5, an array of rules.
  ///   - cells: all that exist.
  /// - Throws: what is wrong and where; a cell that does not exist, or that has two rules.
  package init(parsing text: String, cells: Set<CellID>) throws(MatrixFileError) {
    for row in try StrictObject.rows(of: text) {
      let rule = Rule(
        place: row.place, verdict: try row.choice("verdict") ?? .failed, fault: try row.choice("fault"),
        reason: try row.text("reason"), link: try row.optionalText("link"))
      let modes: [Mode] = try row.choices("modes") ?? Mode.allCases
      let transports = try row.texts("transports")
      let (clients, behaviours) = (try row.texts("clients"), try row.texts("behaviours"))
      try row.end()
      try Self.check(rule)
      for client in clients {
        for mode in modes {
          for transport in transports {
            for behaviour in behaviours {
              let cell = CellID(client: client, mode: mode, transport: transport, behaviour: behaviour)
              guard cells.contains(cell) else {
                throw MatrixFileError("\(row.place): stale, there is no cell \(cell)")
              }
              if let other = rules.updateValue(rule, forKey: cell) {
                throw MatrixFileError("\(row.place): \(cell) has a rule at \(other.place) already")
              }
            }
          }
        }
      }
    }
  }

  private static func check(_ rule: Rule) throws(MatrixFileError) {
    guard [.own, .blind, .none].contains(rule.verdict) else {
      throw MatrixFileError("\(rule.place).verdict: expected ok*, blind or n/a")
    }
    guard (rule.verdict == .blind) == (rule.fault != nil) else {
      throw MatrixFileError("\(rule.place).fault: says what a client is blind to, of a blind cell and no other")
    }
    guard !rule.reason.isEmpty else { throw MatrixFileError("\(rule.place).reason: is empty") }
  }

  package subscript(cell: CellID) -> Rule? { rules[cell] }

  package func verdict(of cell: CellID) -> Verdict { rules[cell]?.verdict ?? .ok }

  /// The finding in the expectations' light: a fault to which this client is known to be blind is no failure.
  package func apply(to finding: Finding, of cell: CellID) -> Finding {
    guard let rule = rules[cell], rule.verdict == .blind, finding.verdict == .failed, finding.fault == rule.fault
    else { return finding }
    return Finding(.blind, fault: finding.fault, finding.note)
  }
}
