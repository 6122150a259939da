import FermataClientCore

/// How it all ended.
struct TailConclusion: Equatable {
  enum Kind: String {
    case completed
    case noStream = "no_stream"
    /// The server told an outcome other than `completed`.
    case ended
    case missing
    case unchecked
  }

  let kind: Kind
  let text: String

  init(_ kind: Kind, _ text: String) {
    self.kind = kind
    self.text = text
  }

  var exitStatus: Int32 {
    switch kind {
    case .completed: ExitStatus.success
    case .noStream: ExitStatus.failure
    case .ended: 4
    case .missing: 5
    case .unchecked: 6
    }
  }

  /// There never was a stream.
  static func noStream(_ error: FermataError?) -> Self {
    guard let error else { return Self(.noStream, "the answer is no event stream") }
    guard let status = error.status else { return Self(.noStream, error.message) }
    let isSuccess = (200..<300).contains(status)
    return Self(.noStream, isSuccess ? "the answer is no event stream" : "the server answered with status \(status)")
  }

  /// - Parameter lastStatus: of the last response.
  static func of(_ result: StreamResult, lastStatus: Int?) -> Self {
    if let end = result.end, let said = end["outcome"]?.string { return checked(result, said, end) }
    if lastStatus == 204 { return nothingMore(result) }
    let isWhole = ["completed", "ended", "upstream_error"].contains(result.outcome)
    guard isWhole else { return Self(.missing, "cut after \(result.events) events: \(why(result))") }
    // A cut shows in the framing, so this is an operator's doing: `fermata flags kill --hard`.
    let isTakenBack = result.mode == "graceful"
    let why = isTakenBack ? "stream_end was taken back," : "without stream_end"
    return Self(.unchecked, "\(result.events) events; \(why) nothing can be checked")
  }

  private static func why(_ result: StreamResult) -> String { result.error?.message ?? result.reason }

  private static func nothingMore(_ result: StreamResult) -> Self {
    let text = "\(result.events) events; the server has nothing more"
    switch result.outcome {
    case "completed", "ended": return Self(.completed, text)
    case "missing_events": return Self(.missing, "\(result.reason): \(text)")
    default: return Self(.ended, "\(result.outcome): \(text)")
    }
  }

  private static func checked(_ result: StreamResult, _ said: String, _ end: [String: JSONValue]) -> Self {
    let reason = end["reason"]?.string ?? ""
    // The reader ended, the run goes on: it was asked for again in vain, or could not be.
    if end["resumable"] == .bool(true), Machine.resumedEnds.contains(said) {
      return Self(.missing, "cut after \(result.events) events: \(said): \(why(result))")
    }
    guard let events = end["events"]?.integer, let last = end["lastEventId"]?.string else {
      return Self(.unchecked, "\(said): \(reason); \(result.events) events, the server does not count")
    }
    // Behind an id that the caller gave nobody knows how many came before.
    if said == "completed", result.isComplete, !result.isVerified {
      return Self(.unchecked, "completed: \(result.events) events, which can't be compared with the server's count")
    }
    guard result.isVerified else {
      let text = "\(said), but \(result.events) of \(events) events came, the last with the id "
      return Self(.missing, "\(text)\"\(result.lastEventID)\" instead of \"\(last)\"")
    }
    let counts = "\(result.events) of \(events) events"
    if said == "completed" { return Self(.completed, "completed: \(counts)") }
    return Self(.ended, "\(said): \(reason); \(counts)")
  }
}
