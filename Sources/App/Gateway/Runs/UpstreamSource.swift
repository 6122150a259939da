import Bytes
import Configuration
import HTTP
import Loop
import SSE
import Streams
import Telemetry
import Time

/// Feeds a run from the response of a backend, which a waterfall finds.
final class UpstreamSource: RunSource {
  private let context: LoopContext
  private let route: Route
  /// Holds us in turn, until `stop`. Nothing on this path is held weakly: that makes each use of it dearer.
  private var run: Run?
  /// The client that asked for the run, as long as it is there.
  var opener: (any RunClient)?

  private var upstreamRequest: UpstreamRequest?
  private let body: RequestBody?
  /// Whether the request wants a stream and nothing else, as far as it has come.
  private var wantsStream: Bool
  private var hasBody = false
  private var feed: BackendFeed
  private let memory: MemoryLog

  init(
    _ request: RequestHead, body: RequestBody?, from forwarded: ForwardedClient, stream: StreamID, log: any EventLog,
    route: Route, settings: LoopSettings, record: RequestRecord, context: LoopContext
  ) {
    self.route = route
    self.context = context
    self.body = body
    wantsStream = request.fields.acceptsEventsAlone || body?.withKept { StreamRequest.asksForStream($0) } == true
    let parser = EventFeed(id: stream, classifier: route.classifier, eventLimit: route.settings.stream.eventLimit)
    feed = BackendFeed(parser, limits: route.settings.stream.watchdogs, openedAt: context.loop.now)
    memory = log.memory
    upstreamRequest = UpstreamRequest(
      request: request, body: body, from: forwarded, route: route, settings: settings, owner: self,
      record: record, stream: stream, context: context)
  }

  var isOwner: Bool { true }
  var attempts: Int { upstreamRequest?.attempts ?? lastAttempts }
  private var lastAttempts = 0

  func begin(feeding run: Run) {
    self.run = run
    upstreamRequest?.begin()
    openForAnnouncement()
  }

  /// Clients that are told at once that their prompt was taken don't wait for the backend's head. Whatever it says then
  /// goes into the stream, so the request must be one that wants nothing else, and whole.
  private func openForAnnouncement() {
    guard let run, run.settings.announces, !run.isOpen, upstreamRequest != nil, body?.isComplete ?? true,
      wantsStream,
      run.readers.contains(where: { $0.isWaiting && $0.mode == .graceful })
    else { return }
    openEarly(run)
  }

  private func openEarly(_ run: Run) {
    feed.paused()
    upstreamRequest?.openedEarly()
    run.opened(.eventStream)
  }

  var hasTerminal: Bool { feed.parser.hasTerminal }

  func conclude() -> (events: UInt64, bytes: UInt64) {
    _ = memory.takeRest(of: feed.parser, .cut(.closedEarly))
    run?.log.grew()
    return (events, feed.parser.eventBytes)
  }

  /// Events of the run: the one that its log had no room for is none, because nobody gets it.
  private var events: UInt64 {
    guard memory.breach != nil, let log = run?.log else { return feed.parser.events }
    return min(feed.parser.events, log.last)
  }

  func stop(_ result: AttemptResult) {
    run = nil
    opener = nil
    guard let upstreamRequest = upstreamRequest.take() else { return }
    lastAttempts = upstreamRequest.attempts
    upstreamRequest.lastEventCame(at: feed.lastSign)
    upstreamRequest.finish(result)
  }

  func cancel() {}

  func holdUp() -> Bool {
    feed.paused()
    upstreamRequest?.pauseResponse()
    return true
  }

  func goOn() {
    feed.resumed(at: context.loop.now)
    upstreamRequest?.resumeResponse()
  }

  func readerLeft(_ reader: any RunClient) {
    if opener === reader { opener = nil }
  }

  // MARK: - The request's body

  /// A piece of the request's body came.
  ///
  /// - Returns: whether more of it can be taken now.
  func bodyReceived(_ input: InputBuffer, _ range: Range<Int>) -> Bool {
    // It is not kept once it is on its way; what a client wants stands in its first piece, if anywhere.
    if !hasBody, run?.settings.announces == true, !wantsStream {
      wantsStream = StreamRequest.asksForStream(input.slice(range))
    }
    hasBody = true
    return upstreamRequest?.bodyReceived(input, range) ?? true
  }

  func bodyEnded() {
    upstreamRequest?.bodyEnded()
    openForAnnouncement()
  }

  // MARK: - Time

  func timePassed(_ now: MonotonicTime) -> MonotonicTime {
    guard let run, let upstreamRequest else { return now + .seconds(1) }
    let next = upstreamRequest.timePassed(now)
    guard run.isOpen else { return min(next, now + .milliseconds(100)) }
    guard upstreamRequest.isActive else {
      context.shard.increment(context.metrics.orphans)
      run.end(.gatewayError, reason: EndReason.noAttempt.text)
      return now
    }
    let verdict = feed.verdict(at: now)
    if case .quiet(let until) = verdict { return min(until, next) }
    if let ending = verdict.ending {
      context.routes.passed(ending.limit, on: run.route.settings.name)
      run.end(ending.outcome, reason: ending.reason.text)
    }
    return now + .seconds(1)
  }
}

extension UpstreamSource: UpstreamRequestOwner {
  func requestWantsBody() { opener?.wantsBody() }

  func requestSucceeded(_ head: consuming ResponseHead, framing: BodyFraming, isStream: Bool) {
    guard let run, let upstreamRequest else { return }
    guard isStream else {
      if run.isOpen { return run.end(.upstreamError, reason: EndReason.backendAnswered(status: head.status).text) }
      self.upstreamRequest = nil
      lastAttempts = upstreamRequest.attempts
      let opener = self.opener
      stop(.relayed)
      return run.passOn(upstreamRequest, head, framing, to: opener)
    }
    if run.isOpen { return feed.resumed(at: context.loop.now) }
    let limits = route.settings.stream.watchdogs.serving(opener?.mode ?? .graceful)
    feed.answered(limits: limits, openedAt: run.startedAt, askedAt: upstreamRequest.askedAt)
    run.opened(head)
  }

  func requestFailed(_ failure: UpstreamRequestFailure) {
    lastAttempts = failure.reports.count
    upstreamRequest = nil
    guard let run else { return }
    if run.isOpen { run.end(.upstreamError, reason: failure.summary) } else { run.failed(.noResponse(failure)) }
  }

  func requestIsLate() {
    if let run, !run.isOpen, run.wantsEarlyOpening { openEarly(run) }
  }

  func requestTakesBody() { opener?.takesBody() }

  func requestHasNoRoom() {
    guard let run else { return }
    if run.isOpen { return run.end(.gatewayError, reason: EndReason.noRoomForBody.text) }
    run.failed(.noRoom)
  }

  func requestNeedsTime() { run?.wakeUp() }

  func received(_ input: InputBuffer, _ range: Range<Int>) {
    guard let run, run.isOpen else { return }
    feed.sent(at: context.loop.now)
    let delivery = memory.take(input.slice(range), of: feed.parser, into: &context.loop.scratch.buffer)
    run.log.grew()
    noteProgress()
    if case .failed(let outcome) = delivery { return run.end(outcome, reason: EndReason.eventTooLarge.text) }
    if let breach = memory.breach { return run.end(breach.outcome, reason: breach.reason) }
    run.readersAdvance()
  }

  private func noteProgress() {
    let progress = feed.noteProgress()
    if progress.isNews { upstreamRequest?.eventsCame(bearsContent: progress.isFirstContent) }
  }

  func ended(_ end: UpstreamEnd) {
    guard let run, run.isOpen else { return }
    let hadPartial = feed.parser.hasPartialEvent
    var outcome = memory.takeRest(of: feed.parser, end)
    run.log.grew()
    var reason = feed.reason(of: end, outcome).text
    if end == .clean, hadPartial { context.shard.increment(context.metrics.unterminated) }
    if let breach = memory.breach { (outcome, reason) = (breach.outcome, breach.reason) }
    run.end(
      EndRecord(
        outcome: outcome, reason: reason, events: events, bytes: feed.parser.eventBytes,
        upstreamIsComplete: end == .clean && memory.breach == nil))
  }
}
