package import Time

/// A response, as far as its head says what it is.
package struct Answer: Equatable, Sendable {
  /// Its content type, in the eyes of the client that asked.
  package enum Kind: CaseIterable, Sendable {
    /// An event stream whose events can be read.
    case events
    /// An event stream with a content coding: its events can't be told apart.
    case encodedEvents
    /// Another type, which `Accept` names, or any where there is no `Accept`.
    case accepted
    /// Another type, or none, where `Accept` names others.
    case unasked
  }

  package var status: Int
  package var kind: Kind
  /// Whether the head says already that there is no body.
  package var isEmpty: Bool
  /// Its `Retry-After`, from now.
  package var retryAfter: Nanoseconds?

  package init(status: Int, kind: Kind, isEmpty: Bool = false, retryAfter: Nanoseconds? = nil) {
    self.status = status
    self.kind = kind
    self.isEmpty = isEmpty
    self.retryAfter = retryAfter
  }

  /// Statuses that are an answer without a body.
  private static let complete: StatusSet = [202...202, 204...205]

  /// What an answer means.
  package enum Meaning: Equatable, Sendable {
    /// It goes to the client as it is.
    case relay
    /// An event stream: it goes to the client from here on, as its mode wants it.
    case stream
    /// An event stream that may be good: its body is held until the route's gate knows.
    case gate
    /// It is of no use, and the next upstream is asked, if there is one.
    case next(AttemptFault)
    /// It is of no use, and the request may not be made again.
    case refuse(AttemptFault)
  }

  /// What it means for `request` on a route with `policy`. The table in docs/configuration.md says the same.
  ///
  /// - Parameter isOpenEarly: whether the client's stream was opened before: then nothing but events can be told.
  package func meaning(
    for request: AttemptRequest, under policy: WaterfallPolicy, isOpenEarly: Bool = false
  ) -> Meaning {
    func fail(_ fault: AttemptFault) -> Meaning {
      policy.mayRepeat(request, after: fault, in: .head) ? .next(fault) : .refuse(fault)
    }
    let isGood = (200..<300).contains(status)
    if !policy.isTransparent {
      if policy.retry.statuses.contains(status) { return fail(.status(status, retryAfter: retryAfter)) }
      if isOpenEarly, !isGood { return fail(.status(status, retryAfter: retryAfter)) }
    }
    guard isGood else { return .relay }
    // Accepted, No Content, Reset Content: there is nothing to come. To an EventSource 204 says stop (HTML, 9.2.3).
    let saysNothing = isEmpty && Self.complete.contains(status)
    if kind == .events, !saysNothing {
      return meaningOfEvents(for: request, under: policy, isOpenEarly: isOpenEarly)
    }
    if isOpenEarly { return fail(isEmpty ? .emptyBody : .wrongContentType) }
    return isAnswer(to: request, under: policy) ? .relay : fail(.wrongContentType)
  }

  private func meaningOfEvents(
    for request: AttemptRequest, under policy: WaterfallPolicy, isOpenEarly: Bool
  ) -> Meaning {
    if isEmpty {
      if !policy.isTransparent, policy.mayRepeat(request, after: .emptyBody, in: .head) { return .next(.emptyBody) }
      // A call's answer may be empty; so may that of the only one who can be asked.
      return isOpenEarly ? .refuse(.emptyBody) : .stream
    }
    return policy.gate == .head ? .stream : .gate
  }

  /// Whether it is an answer though it is no event stream.
  private func isAnswer(to request: AttemptRequest, under policy: WaterfallPolicy) -> Bool {
    if policy.isTransparent || !request.expectsStream || kind != .unasked { return true }
    if Self.complete.contains(status) { return true }
    // A call was made, and this is what became of it. That it was hoped for otherwise is no reason to make it again.
    if request.effect != .none, isEmpty { return true }
    return !policy.mayRepeat(request, after: .wrongContentType, in: .head)
  }
}
