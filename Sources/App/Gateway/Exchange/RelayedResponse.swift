import Configuration
import HTTP
import Loop
import Streams
import Telemetry
import Time
import Upstreams

/// A backend's response that is no event stream, on its way to the client as it is.
final class RelayedResponse: BackendResponder {
  /// Holds us in turn, until the response is over.
  let host: any ResponderHost
  private(set) var upstreamRequest: UpstreamRequest?
  private let client: any ClientStream
  private let context: LoopContext
  private let route: Route
  private let limits: LimitSettings
  /// When the backend or the client last brought something.
  private var lastActivity: MonotonicTime
  private var isPaused = false
  /// Whether the client takes what is queued for it.
  private var sendWatch = SendWatch()

  init(_ upstreamRequest: UpstreamRequest, on route: Route, limits: LimitSettings, for host: any ResponderHost) {
    self.upstreamRequest = upstreamRequest
    self.route = route
    self.limits = limits
    self.host = host
    client = host.client
    context = host.context
    lastActivity = context.loop.now
  }

  var openStream: ClientDelivery? { nil }
  var backend: BackendStanding? { nil }
  var mayEndWithHalfClose: Bool { false }

  func bodyReceived(_ input: InputBuffer, _ range: Range<Int>) -> Bool {
    lastActivity = context.loop.now
    return upstreamRequest?.bodyReceived(input, range) ?? true
  }

  // MARK: - The backend's body

  func received(_ input: InputBuffer, _ range: Range<Int>) {
    guard let upstreamRequest else { return }
    lastActivity = context.loop.now
    host.record.bytesOut += range.count
    client.send(input, range)
    guard !isPaused, client.isBehind(by: route.settings.stream.highWater) else { return }
    isPaused = true
    upstreamRequest.pauseResponse()
    client.setLowWaterMark(route.settings.stream.lowWater)
    client.exchangeNeedsTime()
  }

  func ended(_ end: UpstreamEnd) {
    guard upstreamRequest != nil else { return }
    if case .cut(let fault) = end { host.record.ends(by: .backend, reason: EndReason.backendCut(fault).text) }
    leave(end == .clean ? .relayed : .failed(.cut))
    client.end(end == .clean ? .complete : .cut, &context.loop.scratch.buffer)
  }

  func requestHasNoRoom() {
    leave(.ended(.clientGone))
    host.refuseForBodies()
  }

  // The response is here: there is no other, and nothing that could fail before it.
  func requestSucceeded(_ head: consuming ResponseHead, framing: BodyFraming, isStream: Bool) {}
  func requestFailed(_ failure: UpstreamRequestFailure) {}

  private func leave(_ result: AttemptResult) {
    upstreamRequest.take()?.finish(result)
    host.responderLeft()
  }

  // MARK: - The client

  func clientDrained() {
    guard isPaused else { return }
    isPaused = false
    client.setLowWaterMark(0)
    lastActivity = context.loop.now
    upstreamRequest?.resumeResponse()
  }

  func clientGone(isWhole: Bool) {
    host.record.ends(by: .client, reason: EndReason.clientClosed.text)
    leave(.ended(.clientGone))
    host.noteAbandoned()
  }

  func finish(_ outcome: Outcome, reason: String) {}

  /// Looks at the client's clock, if the client is behind, or else at the backend's.
  func timePassed(_ now: MonotonicTime) -> MonotonicTime? {
    guard upstreamRequest != nil else { return nil }
    if isPaused {
      client.measureProgress(with: &sendWatch, now)
      guard sendWatch.isStalled(for: limits.stallTimeout, at: now) else {
        return now + SendWatch.pause(of: limits.stallTimeout)
      }
      context.limitPassed(.clientStallInAnswer, route: route.settings.name)
      host.record.ends(by: .gateway, limit: .clientStallInAnswer)
      leave(.ended(.clientStalled))
      client.abandon()
      return nil
    }
    sendWatch.caughtUp()
    let due = lastActivity + limits.bodyTimeout
    if now < due || limits.bodyTimeout <= .zero { return max(due, now + .seconds(1)) }
    context.limitPassed(.body, route: route.settings.name, .warning)
    host.record.ends(by: .gateway, limit: .body)
    leave(.failed(.timedOut))
    client.end(.cut, &context.loop.scratch.buffer)
    return nil
  }
}
