import Configuration
import HTTP
import Loop
import Sockets
import Streams
import Telemetry
import Time

// The clocks of a client's connection.
extension HTTP1Client: DeadlineMember {
  func deadlinePassed(at now: MonotonicTime) -> MonotonicTime? {
    let next: MonotonicTime?
    switch machine.phase {
    case .awaitingHead: next = waitedForHead(now)
    case .exchanging: next = waitedForAnswer(now)
    case .answered: next = waitedForFlush(now)
    case .over: next = nil
    }
    // What was done may have changed the phase: then the next tick looks at the new one.
    return machine.phase == .over ? nil : next ?? now
  }

  private func waitedForAnswer(_ now: MonotonicTime) -> MonotonicTime? {
    let next = exchange?.timePassed(now)
    guard machine.phase == .exchanging, !connection.isReading, !machine.peerHasFinished else { return next }
    checkPeer()
    return min(next ?? now, now + Self.peerCheckInterval)
  }

  /// Nothing is read from the client, so its end has to be asked for.
  private func checkPeer() {
    switch connection.peerSign {
    case .none: break
    case .finished: perform(machine.peerEndWasSeen())
    case .gone: peerFailed()
    }
  }

  private static let peerCheckInterval = Nanoseconds.milliseconds(250)

  private func waitedForHead(_ now: MonotonicTime) -> MonotonicTime? {
    if let next = waitedForAcknowledgement(now) { return next }
    if let since = headSince {
      let due = since + limits.headTimeout
      if now < due { return due }
      let fields = context.refused(.headTimeout, 408, "head_timeout", from: forwarded.logged, limit: .requestHead)
      context.limitPassed(.requestHead, route: nil)
      refuse(
        ErrorResponse(
          status: 408, code: "head_timeout",
          message: TimeLimit.requestHead.ending("the request's head took too long"), fields: fields))
      return nil
    }
    let due = idleSince + (machine.requests == 0 ? limits.headTimeout : limits.keepAliveTimeout)
    if now < due { return due }
    close()
    return nil
  }

  /// The last answer is with the kernel. How its close went is counted when the client has it, or takes no more of it.
  private func waitedForAcknowledgement(_ now: MonotonicTime) -> MonotonicTime? {
    guard measured != nil else { return nil }
    let isComplete = connection.sendProgress.isComplete
    if !isComplete, lingerTime > .zero, measured?.isStalled(connection, for: lingerTime, at: now) == false {
      return now + SendWatch.pause(of: lingerTime)
    }
    measured.take()?.stoppedWaiting(isAcknowledged: isComplete)
    return nil
  }

  /// The answer is complete and queued. A client may take it slowly, but not stop taking it.
  private func waitedForFlush(_ now: MonotonicTime) -> MonotonicTime? {
    if measured?.isStalled(connection, for: limits.stallTimeout, at: now) == false {
      return now + SendWatch.pause(of: limits.stallTimeout)
    }
    context.limitPassed(.clientStallInAnswer, route: nil)
    measured.take()?.stoppedWaiting()
    connection.reset()
    close()
    return nil
  }
}
