/// What a cell shows.
package enum Verdict: String, CaseIterable, Sendable {
  /// The client's user saw the truth, and nothing was lost.
  case ok
  /// The truth, as this client can tell it: an exception, a cut.
  case own = "ok*"
  /// The client can't see it, for a reason that the expectations give.
  case blind
  /// The client has no such ability.
  case none = "n/a"
  /// The client, or the server between, is not installed.
  case missing
  case failed = "FAIL"
}

/// Why a cell is not well.
package enum Fault: String, CaseIterable, Sendable {
  /// The answer was not whole, and the client says nothing of it.
  case unseen
  /// Events at the end are missing.
  case lost
  /// Other events, another order, or events twice.
  case misread
  /// The client raised an error, or hung, where all was well.
  case alarmed
  /// The gateway or the backend did something else than this behaviour.
  case witness
}

/// What was found in one run of a cell.
package struct Finding: Sendable, Equatable {
  package var verdict: Verdict
  package var fault: Fault?
  /// One sentence.
  package var note: String

  package init(_ verdict: Verdict, fault: Fault? = nil, _ note: String = "") {
    (self.verdict, self.fault, self.note) = (verdict, fault, note)
  }

  static func failed(_ fault: Fault, _ note: String) -> Finding { Finding(.failed, fault: fault, note) }
}
