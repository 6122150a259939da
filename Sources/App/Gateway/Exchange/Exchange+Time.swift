import Configuration
import Loop
import Streams
import Telemetry
import Time

// The clocks of a request.
extension Exchange {
  /// Looks at the clocks.
  ///
  /// - Returns: when to look again; `nil` when the exchange is over.
  func timePassed(_ now: MonotonicTime) -> MonotonicTime? {
    guard let bodyCheck = checkBody(now) else {
      bodyIsLate()
      return nil
    }
    switch phase {
    case .over: return nil
    case .routing, .inRun: return bodyCheck
    case .asking: return machine.asker.map { min($0.timePassed(now), bodyCheck) }
    case .answering: return machine.answerer?.timePassed(now).map { min($0, bodyCheck) }
    }
  }

  /// - Returns: when to look again; `nil` when the client has sent nothing of its request for too long.
  private func checkBody(_ now: MonotonicTime) -> MonotonicTime? {
    let limit = settings.configuration.limits.bodyTimeout
    // While a backend is waited for, which takes no more, it is not the client that is silent.
    guard !hasWholeRequest, !isClientPaused, !client.headIsSent, limit > .zero else {
      return now + .seconds(hasWholeRequest ? 3600 : 1)
    }
    let due = lastActivity + limit
    return due <= now ? nil : min(due, now + .seconds(1))
  }

  private func bodyIsLate() {
    context.limitPassed(.body, route: routeName)
    perform(machine.ends())
    record.ends(by: .gateway, limit: .body)
    refuse(.bodyTimeout, 408, "body_timeout", TimeLimit.body.ending("the request's body took too long"))
  }
}
