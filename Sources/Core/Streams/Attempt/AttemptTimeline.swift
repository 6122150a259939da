package import Time

/// When an attempt reached each of its phases; metrics and a log line are made of it.
package struct AttemptTimeline: Equatable, Sendable {
  /// What is reached, in the order of its coming; the raw value is a metric label.
  package enum Milestone: String, CaseIterable, Sendable {
    case connect, tls, head
    case firstEvent = "first_event"
    case firstToken = "first_token"
    case lastEvent = "last_event"
  }

  package let startedAt: MonotonicTime
  /// The connection was there; `nil` when one was that had been kept.
  package var connectedAt: MonotonicTime?
  /// The TLS handshake was done.
  package var securedAt: MonotonicTime?
  package var headAt: MonotonicTime?
  /// The first event with data came.
  package var firstEventAt: MonotonicTime?
  /// The first event came that bears content in the route's dialect.
  package var firstTokenAt: MonotonicTime?
  /// The last event with data came.
  package var lastEventAt: MonotonicTime?

  package init(startedAt: MonotonicTime) {
    self.startedAt = startedAt
  }

  /// From the attempt's start, `nil` when it did not come so far.
  package subscript(milestone: Milestone) -> Nanoseconds? {
    let time =
      switch milestone {
      case .connect: connectedAt
      case .tls: securedAt
      case .head: headAt
      case .firstEvent: firstEventAt
      case .firstToken: firstTokenAt
      case .lastEvent: lastEventAt
      }
    return time.map { $0 - startedAt }
  }

  /// `self[milestone]` in milliseconds.
  package func milliseconds(_ milestone: Milestone) -> Double? { self[milestone]?.milliseconds }

  /// Events were taken in, the last of them at `now`.
  ///
  /// - Parameter bearsContent: whether one of them, or one before, bore content.
  package mutating func eventsCame(bearsContent: Bool, at now: MonotonicTime) {
    if firstEventAt == nil { firstEventAt = now }
    if bearsContent, firstTokenAt == nil { firstTokenAt = now }
    lastEventAt = now
  }
}
