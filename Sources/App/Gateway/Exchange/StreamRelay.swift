import Bytes
import Configuration
import HTTP
import Loop
import Streams
import Telemetry
import Time
import Upstreams

/// A backend's event stream on its direct way to the one client that asked for it: a `BackendFeed` and a
/// `ClientDelivery`.
final class StreamRelay: BackendResponder {
  /// Holds us in turn, until the stream is over.
  let host: any ResponderHost
  private(set) var upstreamRequest: UpstreamRequest?
  private var feed: BackendFeed
  private let delivery: ClientDelivery
  private let context: LoopContext
  private let settings: StreamSettings
  /// Where the shadow reads on when the client leaves early; `nil`: it does not.
  private let tails: ShadowTails?
  private var isOver = false
  /// Whether the backend is not read, because the client is behind.
  private var isPaused = false

  init(
    _ feed: BackendFeed, from upstreamRequest: UpstreamRequest, to delivery: ClientDelivery, _ settings: StreamSettings,
    tails: ShadowTails?, for host: any ResponderHost
  ) {
    self.feed = feed
    self.upstreamRequest = upstreamRequest
    self.delivery = delivery
    self.settings = settings
    self.tails = tails
    self.host = host
    context = host.context
  }

  var openStream: ClientDelivery? { delivery }
  var backend: BackendStanding? { feed.standing }
  var mayEndWithHalfClose: Bool { true }

  /// The head is sent: begins the body.
  ///
  /// - Parameter isEarly: no backend has answered well yet.
  func open(isEarly: Bool) {
    delivery.open()
    if isEarly { feed.paused() }
  }

  // MARK: - The backend

  /// The path that every event takes.
  func received(_ input: InputBuffer, _ range: Range<Int>) {
    guard !isOver else { return }
    let scratch = context.loop.scratch
    feed.sent(at: context.loop.now)
    let result = feed.parser.receive(input.slice(range), for: delivery.reader, into: &scratch.buffer)
    if feed.parser.hasTerminal { delivery.terminalCame() }
    noteProgress()
    let queued: Int
    switch result {
    case .verbatim: queued = delivery.send(input, range)
    case .buffered: queued = delivery.send(&scratch.buffer)
    case .failed(let outcome):
      delivery.client.send(&scratch.buffer)
      return finish(outcome, reason: EndReason.eventTooLarge.text)
    }
    if queued > 0, delivery.client.isBehind(by: settings.highWater) { pauseBackend() }
  }

  private func noteProgress() {
    let progress = feed.noteProgress()
    guard progress.isNews else { return }
    if progress.isFirstEvent { delivery.firstEventCame() }
    upstreamRequest?.eventsCame(bearsContent: progress.isFirstContent)
  }

  private func pauseBackend() {
    guard !isPaused, let upstreamRequest else { return }
    isPaused = true
    upstreamRequest.pauseResponse()
    feed.paused()
    delivery.block(until: settings.lowWater)
  }

  func ended(_ end: UpstreamEnd) {
    guard !isOver else { return }
    // First the outcome: it sees a terminal that the backend left without its blank line.
    let outcome = feed.parser.outcome(of: end)
    finish(outcome, reason: feed.reason(of: end, outcome).text, upstreamIsComplete: end == .clean)
  }

  /// A backend has answered, but the stream was opened before: only what comes next matters now.
  func requestSucceeded(_ head: consuming ResponseHead, framing: BodyFraming, isStream: Bool) {
    guard isStream else {
      return finish(.upstreamError, reason: EndReason.backendAnswered(status: head.status).text)
    }
    feed.resumed(at: context.loop.now)
  }

  func requestFailed(_ failure: UpstreamRequestFailure) { finish(.upstreamError, reason: failure.summary) }

  func requestHasNoRoom() { finish(.gatewayError, reason: EndReason.noRoomForBody.text) }

  // MARK: - Endings

  func finish(_ outcome: Outcome, reason: String) { finish(outcome, reason: reason, upstreamIsComplete: false) }

  private func finish(_ outcome: Outcome, reason: String, upstreamIsComplete: Bool) {
    guard !isOver else { return }
    upstreamRequest?.lastEventCame(at: feed.lastSign)
    leave(.ended(outcome))
    let end = StreamEnd(
      stream: delivery.id, time: context.loop.wallTime(), outcome: outcome, reason: reason)
    let ending = Ending(streamEnd: end, upstreamIsComplete: upstreamIsComplete, recall: delivery.recall)
    if upstreamIsComplete, feed.parser.hasPartialEvent { context.shard.increment(context.metrics.unterminated) }
    let scratch = context.loop.scratch
    let bodyEnd = delivery.reader.finish(ending, tail: feed.parser, into: &scratch.buffer)
    delivery.end(bodyEnd, &scratch.buffer, outcome, reason: reason)
  }

  private func leave(_ result: AttemptResult) {
    isOver = true
    upstreamRequest.take()?.finish(result)
    host.responderLeft()
  }

  // MARK: - The client

  func clientDrained() {
    delivery.drained()
    guard isPaused else { return }
    isPaused = false
    delivery.unblock()
    feed.resumed(at: context.loop.now)
    upstreamRequest?.resumeResponse()
  }

  func clientGone(isWhole: Bool) {
    guard !isOver else { return }
    let tail = isWhole ? takeTail() : nil
    leave(.ended(.clientGone))
    delivery.clientGone()
    tail?.begin(isPaused: isPaused)
  }

  /// What the shadow is to see of what the backend sends after its client has left.
  private func takeTail() -> ShadowTail? {
    guard let tails, delivery.mode == .legacy, delivery.marks.contains(.completion), upstreamRequest?.isActive == true,
      tails.admits, let upstreamRequest = upstreamRequest.take()
    else { return nil }
    return ShadowTail(of: delivery, feed, upstreamRequest, tails: tails, context: context)
  }

  /// Looks at the clocks of both sides.
  ///
  /// - Returns: when to look again; `nil` when the stream is over.
  func timePassed(_ now: MonotonicTime) -> MonotonicTime? {
    guard !isOver else { return nil }
    guard let upstreamRequest, upstreamRequest.isActive else {
      context.shard.increment(context.metrics.orphans)
      finish(.gatewayError, reason: EndReason.noAttempt.text)
      return nil
    }
    let nextOfAttempt = upstreamRequest.timePassed(now)
    guard !isOver else { return nil }
    // Legacy passes a piece of an event on, and a comment line would break it.
    let mayKeepAlive = !delivery.reader.isVerbatim || feed.parser.isBetweenEvents
    let client = delivery.verdict(at: now, mayKeepAlive: mayKeepAlive)
    let backend = feed.verdict(at: now)
    if client == .clientStalled, backend != .totalTimeout {
      leave(.ended(.clientStalled))
      delivery.breakOff()
      return nil
    }
    if let ending = backend.ending {
      context.routes.passed(ending.limit, on: delivery.route)
      finish(ending.outcome, reason: ending.reason.text)
      return nil
    }
    var next = nextOfAttempt
    if case .quiet(let until) = backend { next = min(next, until) }
    switch client {
    case .keepaliveIsDue: return delivery.keepAlive(at: now) { feed.parser.completeLine(into: &$0) }
    case .quiet(let until): return min(next, until)
    case .clientStalled, .firstTokenTimeout, .idleTimeout, .totalTimeout: return next
    }
  }
}
