import Bytes
import HTTP
import Loop
import Streams
import Telemetry
import Time

/// A backend's event stream on its direct way to the one client that asked for it.
final class StreamRelay: BackendResponder {
  let stream: EventStream
  /// Holds us in turn, until the stream is over.
  let host: any ResponderHost
  private(set) var dispatch: Dispatch?
  private let client: any ClientStream
  private let context: LoopContext
  private let settings: StreamSettings
  private let books: StreamBooks
  /// Where the shadow reads on when the client leaves early; `nil`: it does not.
  private let tails: ShadowTails?
  private var isOver = false
  /// Whether the backend is not read, because the client is behind.
  private var isPaused = false

  init(
    _ stream: EventStream, from dispatch: Dispatch, _ settings: StreamSettings, books: StreamBooks, tails: ShadowTails?,
    for host: any ResponderHost
  ) {
    self.stream = stream
    self.dispatch = dispatch
    self.settings = settings
    self.books = books
    self.tails = tails
    self.host = host
    client = host.client
    context = host.context
  }

  var openStream: EventStream? { stream }
  var mayEndWithHalfClose: Bool { true }

  /// The head is sent: begins the body.
  ///
  /// - Parameter isEarly: no backend has answered well yet.
  func open(isEarly: Bool) {
    let scratch = context.loop.scratch
    stream.reader.open(into: &scratch.buffer)
    client.send(&scratch.buffer)
    stream.clock.sent(at: context.loop.now)
    client.exchangeNeedsTime()
    if isEarly { stream.clock.backendPaused() }
  }

  // MARK: - The backend

  /// The path that every event takes.
  func received(_ input: InputBuffer, _ range: Range<Int>) {
    guard !isOver else { return }
    let scratch = context.loop.scratch
    let now = context.loop.now
    let arrival = stream.receive(input.slice(range), at: now, into: &scratch.buffer)
    if arrival.isFirstEvent { books.firstEventCame(stream) }
    if arrival.isFirstEvent || arrival.isFirstContent { dispatch?.eventsCame(bearsContent: arrival.isFirstContent) }
    switch arrival.delivery {
    case .verbatim:
      stream.bodyBytes += UInt64(range.count)
      client.send(input, range)
    case .buffered:
      guard !scratch.buffer.isEmpty else { return }
      stream.bodyBytes += UInt64(scratch.buffer.count)
      client.send(&scratch.buffer)
    case .failed(let outcome):
      client.send(&scratch.buffer)
      return finish(outcome, reason: "an event is larger than allowed")
    }
    if stream.wasSent(to: client, at: now) > settings.highWater { pauseBackend(at: now) }
  }

  private func pauseBackend(at now: MonotonicTime) {
    guard !isPaused, let dispatch else { return }
    isPaused = true
    dispatch.pauseResponse()
    client.setLowWaterMark(settings.lowWater)
    stream.clock.backendPaused()
    stream.clock.clientBlocked(at: now)
    client.exchangeNeedsTime()
  }

  func ended(_ end: UpstreamEnd) {
    guard !isOver else { return }
    // First the outcome: it sees a terminal that the backend left without its blank line.
    let outcome = stream.outcome(of: end)
    let reason: String
    switch end {
    case .clean where stream.hasTerminal: reason = "the backend ended its stream"
    case .clean: reason = "the backend ended without its terminal"
    case .cut(let fault): reason = fault.rawValue
    }
    finish(outcome, reason: reason, upstreamIsComplete: end == .clean)
  }

  /// A backend has answered, but the stream was opened before: only what comes next matters now.
  func dispatchSucceeded(_ head: consuming ResponseHead, framing: BodyFraming, isStream: Bool) {
    guard isStream else { return finish(.upstreamError, reason: "the backend answered \(head.status)") }
    stream.clock.backendResumed(at: context.loop.now)
  }

  func dispatchFailed(_ failure: DispatchFailure) { finish(.upstreamError, reason: failure.summary) }

  func dispatchHasNoRoom() { finish(.gatewayError, reason: "the memory for requests' bodies is used up") }

  // MARK: - Endings

  func finish(_ outcome: Outcome, reason: String) { finish(outcome, reason: reason, upstreamIsComplete: false) }

  /// The reader's last bytes, the close, the books.
  private func finish(_ outcome: Outcome, reason: String, upstreamIsComplete: Bool) {
    guard !isOver else { return }
    dispatch?.lastEventCame(at: stream.clock.lastSignOfBackend)
    leave(.ended(outcome))
    let end = StreamEnd(
      stream: stream.id, time: context.loop.wallTime(), outcome: outcome, reason: reason)
    let ending = Ending(streamEnd: end, upstreamIsComplete: upstreamIsComplete, recall: books.recall)
    let hadPartial = stream.hasPartialEvent
    let scratch = context.loop.scratch
    let bodyEnd = stream.finish(ending, into: &scratch.buffer)
    stream.bodyBytes += UInt64(scratch.buffer.count)
    if upstreamIsComplete, hadPartial { context.shard.increment(context.metrics.unterminated) }
    client.end(bodyEnd, &scratch.buffer, closing: (stream.closing, stream.closeLabel(outcome, bodyEnd)))
    books.closed(stream, outcome: outcome, reason: reason)
  }

  private func leave(_ result: AttemptResult) {
    isOver = true
    dispatch.take()?.finish(result)
    host.responderLeft()
  }

  // MARK: - The client

  func clientDrained() {
    stream.clock.clientCaughtUp(at: context.loop.now)
    guard isPaused else { return }
    isPaused = false
    client.setLowWaterMark(0)
    stream.clock.backendResumed(at: context.loop.now)
    dispatch?.resumeResponse()
  }

  func clientGone(isWhole: Bool) {
    guard !isOver else { return }
    if isWhole, let tails, stream.mode == .legacy, stream.marks.contains(.completion), dispatch?.isActive == true,
      tails.admits, let dispatch = dispatch.take()
    {
      leave(.ended(.clientGone))
      books.clientLeft(stream, isStopping: context.isStopping)
      return ShadowTail(stream, dispatch, books: books, tails: tails, context: context).begin(isPaused: isPaused)
    }
    leave(.ended(.clientGone))
    books.clientLeft(stream, isStopping: context.isStopping)
  }

  /// Looks at the clocks.
  ///
  /// - Returns: when to look again; `nil` when the stream is over.
  func timePassed(_ now: MonotonicTime) -> MonotonicTime? {
    guard !isOver else { return nil }
    guard let dispatch, dispatch.isActive else {
      context.shard.increment(context.metrics.orphans)
      finish(.gatewayError, reason: "internal error: no backend connection is attached to this stream")
      return nil
    }
    let look = dispatch.timePassed(now)
    guard !isOver else { return nil }
    let clientLook = stream.look(at: client, now)
    let mayKeepAlive = stream.mayKeepAlive
    let verdict = stream.clock.verdict(at: now, keepsAlive: stream.keepsAlive && mayKeepAlive)
    switch verdict {
    case .quiet(let until):
      // No comment line inside an event: the next look is soon.
      let next = stream.keepsAlive && !mayKeepAlive ? now + .seconds(1) : until
      return min(until, look, clientLook, next)
    case .keepaliveIsDue:
      books.keptAlive()
      return stream.keepAlive(client, through: &context.loop.scratch.buffer, at: now)
    case .firstTokenTimeout, .idleTimeout, .totalTimeout:
      if let ending = verdict.ending { finish(ending.outcome, reason: ending.reason) }
    case .clientStalled:
      leave(.ended(.clientGone))
      books.clientStalled(stream)
      client.abandon()
    }
    return nil
  }
}
