/// What making a request again may do (RFC 9110, 9.2).
package enum RequestEffect: CaseIterable, Sendable {
  /// Nothing: the method is safe.
  case none
  /// What making it once does: the method is idempotent.
  case idempotent
  /// A second effect: something is bought, billed or begun twice.
  case repeated
}

/// When a request is made again at another upstream.
///
/// A safe or idempotent one is after every failure. One with an effect is only where the first upstream can't have
/// begun it, or where the route names the failure here.
package struct RetryPolicy: Equatable, Sendable {
  /// A failure that leaves open whether the upstream has begun the request.
  package enum Cause: String, CaseIterable, Sendable {
    /// The response began well, and the route's gate found it bad: an error, nothing, or nothing in time.
    case gate
    /// No head came in time.
    case timeout
    /// The connection ended before the head, or what came was no HTTP.
    case cut
    /// A good status, and another content type than the client accepts.
    case wrongContentType
  }

  /// The statuses that are failures, for requests of all methods. Every other one is the client's to see.
  package var statuses: StatusSet = [408...408, 425...425, 429...429, 500...599]
  /// After which failures a request with an effect is made again all the same.
  package var nonIdempotent: Set<Cause> = [.gate]

  package init() {}
}

/// A request, as far as it matters for what its answers mean.
package struct AttemptRequest: Equatable, Sendable {
  package var effect: RequestEffect
  /// Whether an event stream is expected: `Accept` names it, or the body has `"stream": true`. Never with HEAD.
  package var expectsStream: Bool

  package init(effect: RequestEffect, expectsStream: Bool) {
    self.effect = effect
    self.expectsStream = expectsStream
  }
}

extension WaterfallPolicy {
  /// Whether `request` may be made again after `fault`, which came in `phase`.
  package func mayRepeat(_ request: AttemptRequest, after fault: AttemptFault, in phase: AttemptPhase) -> Bool {
    switch fault {
    case .budgetSpent: return false
    case .status(let status, _): return retry.statuses.contains(status)
    case .connectFailed, .tlsFailed: return true
    case .wrongContentType, .emptyBody:
      // It is an answer: where there was an effect, it has been had, once or as often.
      if request.effect == .none || phase < .head { return true }
    case .timedOut, .noContent, .errorEvent, .cut, .malformed:
      if request.effect != .repeated || phase < .head { return true }
    }
    return names(fault, in: phase, of: request)
  }

  private func names(_ fault: AttemptFault, in phase: AttemptPhase, of request: AttemptRequest) -> Bool {
    let namesGate = gate != .head && retry.nonIdempotent.contains(.gate)
    if phase > .head { return namesGate }
    switch fault {
    // Where the gate waits for an event, a stream's silence is the gate's business from the beginning.
    case .timedOut: return retry.nonIdempotent.contains(.timeout) || (namesGate && request.expectsStream)
    case .cut, .malformed: return retry.nonIdempotent.contains(.cut)
    case .wrongContentType: return retry.nonIdempotent.contains(.wrongContentType)
    default: return namesGate
    }
  }
}
