import Configuration
import HTTP
import HTTP2
import Loop
import Streams
import Telemetry
import Time

// The clocks of a connection and of its streams.
extension HTTP2Client: DeadlineMember {
  /// How long a client may leave our settings without an answer (RFC 9113, 6.5.3).
  private static let settingsLimit = Nanoseconds.seconds(10)
  /// How long the PING behind the first GOAWAY is waited for.
  private static let leaveLimit = Nanoseconds.seconds(1)

  func deadlinePassed(at now: MonotonicTime) -> MonotonicTime? {
    var next = enforceLimits(now)
    for stream in Array(streams.values) where !isOver {
      if stream.wakeAt <= now { stream.wakeAt = stream.timePassed(now) }
      next = min(next, stream.wakeAt)
    }
    return isOver ? nil : next
  }

  /// - Returns: when to look again.
  private func enforceLimits(_ now: MonotonicTime) -> MonotonicTime {
    var next = now + .seconds(3600)
    if !session.settingsAreAcknowledged {
      let due = openedAt + Self.settingsLimit
      if due <= now { return end(.settingsTimeout, now) }
      next = min(next, due)
    }
    if let since = session.sectionBeganAt {
      let due = since + limits.headTimeout
      if due <= now {
        context.shard.increment(context.metrics.refusals[.headTimeout])
        context.limitPassed(.requestHead, route: nil)
        return end(.enhanceYourCalm, now)
      }
      next = min(next, due)
    }
    guard streams.isEmpty else { return next }
    return min(next, leaveIfIdle(now))
  }

  /// Nobody has a stream open.
  ///
  /// - Returns: when to look again.
  private func leaveIfIdle(_ now: MonotonicTime) -> MonotonicTime {
    if let since = leavingSince {
      let due = since + Self.leaveLimit
      if now < due { return due }
      // One that does not even take the second GOAWAY is closed.
      if now >= due + Self.leaveLimit {
        close()
      } else {
        session.shutDown()
        writeSoon()
      }
      return now + Self.leaveLimit
    }
    let due = idleSince + (wasServed ? limits.keepAliveTimeout : limits.headTimeout)
    if now < due { return due }
    takeLeave()
    return now + Self.leaveLimit
  }

  private func end(_ code: HTTP2ErrorCode, _ now: MonotonicTime) -> MonotonicTime {
    session.terminate(code)
    writeSoon()
    if leavingSince == nil { leavingSince = now } else { close() }
    return now + Self.leaveLimit
  }
}
