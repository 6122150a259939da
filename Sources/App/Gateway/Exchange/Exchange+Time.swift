import Loop
import Streams
import Telemetry
import Time

// The clocks of a request that no stream or run has yet taken over.
extension Exchange {
  /// Looks at the clocks.
  ///
  /// - Returns: when to look again; `nil` when the exchange is over.
  func timePassed(_ now: MonotonicTime) -> MonotonicTime? {
    guard let bodyLook = lookAtBody(now) else {
      bodyIsLate()
      return nil
    }
    return backendLook(now).map { min($0, bodyLook) }
  }

  private func backendLook(_ now: MonotonicTime) -> MonotonicTime? {
    switch phase {
    case .over: return nil
    case .inRun: return entry?.timePassed(now)
    case .streaming: return relay?.timePassed(now)
    case .dispatching: return dispatch?.timePassed(now)
    case .relaying: return relayed(now)
    }
  }

  /// - Returns: when to look again; `nil` when the client has sent nothing of its request for too long.
  private func lookAtBody(_ now: MonotonicTime) -> MonotonicTime? {
    let limit = limits.bodyTimeout
    // While a backend is waited for, which takes no more, it is not the client that is silent.
    guard !hasWholeRequest, !isClientPaused, !client.headIsSent, limit > .zero else {
      return now + .seconds(hasWholeRequest ? 3600 : 1)
    }
    let due = lastActivity + limit
    return due <= now ? nil : min(due, now + .seconds(1))
  }

  private func bodyIsLate() {
    context.limitPassed(.body, route: routeName)
    entry.take()?.clientGone(isWhole: false)
    refuse(.bodyTimeout, 408, "body_timeout", TimeLimit.body.ending("the request's body took too long"))
  }

  /// Looks at the clocks of an answer that is no stream: its client's, if that is behind, or its backend's.
  private func relayed(_ now: MonotonicTime) -> MonotonicTime? {
    if isUpstreamPaused {
      client.look(with: &sendWatch, now)
      guard sendWatch.isStalled(for: limits.stallTimeout, at: now) else {
        return now + SendWatch.pause(of: limits.stallTimeout)
      }
      context.limitPassed(.clientStallInAnswer, route: routeName)
      end(.ended(.clientStalled))
      client.abandon()
      return nil
    }
    sendWatch.caughtUp()
    let due = lastActivity + limits.bodyTimeout
    if now < due || limits.bodyTimeout <= .zero { return max(due, now + .seconds(1)) }
    context.limitPassed(.body, route: routeName, .warning)
    end(.failed(.timedOut))
    client.end(.cut, &context.loop.scratch.buffer)
    return nil
  }

  private var limits: LimitSettings { settings.configuration.limits }
}
