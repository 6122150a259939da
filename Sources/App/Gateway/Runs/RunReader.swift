import Bytes
import Configuration
import HTTP
import Loop
import Runs
import SSE
import Sockets
import Streams
import Telemetry
import Time

/// What the reader of a run asks of the request that it answers.
protocol RunReaderHost: ResponderHost {
  /// What an answer of the gateway's own carries: its request's id, and what pages of other origins need.
  var ownFields: Fields { get }
  /// Sends the head of an event stream's response, and enters the stream in the books.
  ///
  /// - Parameter run: where the events are kept, if they are.
  func sendHead(
    of stream: ClientDelivery, _ head: borrowing ResponseHead, _ opening: StreamOpening,
    _ request: borrowing RequestHead,
    run: Run?)
  /// There is no stream and will be none.
  func runFailed(_ failure: RunFailure)
  /// The backend's response to the request is no stream: it is passed on as it is.
  func takeOver(_ upstreamRequest: UpstreamRequest, _ head: consuming ResponseHead, _ framing: BodyFraming)
}

/// One client of a run: waits for its stream, then reads the run's log, from its place to its end.
///
/// `RunEntry` hands everything that happens to the client over to it.
final class RunReader: RunClient {
  private enum State {
    /// There is no stream yet. → reading, over
    case waiting
    /// The stream is open towards the client. → over
    case reading
    case over
  }

  let run: Run
  let wish: RunWish
  private let client: any ClientStream
  private let readAllowance: ReadAllowance?
  /// Holds us in turn, until we leave.
  private let host: any RunReaderHost
  private let context: LoopContext
  private let runs: LoopRuns
  private let books: StreamBooks
  let mode: Mode
  /// What the stream opens with.
  private var opening: (request: RequestHead, decisions: StreamOpening)?
  private var state = State.waiting
  private(set) var stream: ClientDelivery?
  private var logDelivery: LogDelivery?
  private var position = LogPosition.beginning
  /// What the run had before the first of the events that it got, or that were dropped before it could.
  private var earlier: (events: UInt64, bytes: UInt64) = (0, 0)
  /// Keeps the client's own name for its stream, where all replicas know of it.
  var hold: (any ClientStreamHold)?
  /// Bytes that may wait for the client before it is waited for.
  private let highWater: Int
  /// Whether the client takes less than the log holds.
  private(set) var isBlocked = false
  private var blockedSince = MonotonicTime(nanoseconds: 0)
  private var isScheduled = false
  /// Whether its client has opened its stream anew before there was one.
  private var isReplaced = false
  /// When an id of the backend's own that the log does not have yet is looked for again.
  private var nextSearch = MonotonicTime(nanoseconds: 0)

  init(
    run: Run, wish: RunWish, host: any RunReaderHost, request: RequestHead, opening: StreamOpening,
    runs: LoopRuns, books: StreamBooks
  ) {
    self.run = run
    self.wish = wish
    self.host = host
    client = host.client
    readAllowance = client.readAllowance
    mode = opening.mode
    self.opening = (request, opening)
    self.runs = runs
    self.books = books
    context = host.context
    highWater = run.route.settings.stream.highWater
  }

  /// Whether the stream may be opened towards it before a backend has answered well.
  var opensEarly: Bool { state == .waiting && (mode == .graceful || run.route.policy.commitsInLegacy) }
  /// Whether there is nothing that it could be given now.
  var hasAll: Bool { state != .reading || isBlocked || (position == run.log.frontier && !run.log.hasEnd) }

  /// Whether it has more than the log, as far as its last id tells.
  ///
  /// - Parameter isCatchingUp: whether more is on its way to the log already. An id of the backend's own is not looked for
  ///   until then, and then every now and then: that looks at every entry.
  func isAhead(isCatchingUp: Bool, at now: MonotonicTime) -> Bool {
    guard let lastID = wish.lastID, !wish.isForeign else { return false }
    if let last = EventID(parsing: lastID.span) { return last.stream == run.stream && last.sequence > run.log.last }
    if isCatchingUp || now < nextSearch { return true }
    nextSearch = now + .milliseconds(50)
    return run.log.position(afterBackendID: lastID.span) == nil
  }

  /// What it gets next; `nil` when it does not read.
  var place: LogPosition? { state == .reading ? position : nil }
  var isWaiting: Bool { state == .waiting }
  var isOver: Bool { state == .over }
  var askedAt: MonotonicTime { host.openedAt }

  // MARK: - The stream opens

  func runOpened(_ head: ResponseHead) {
    guard state == .waiting else { return }
    var reset: StreamReset?
    var extras = GracefulExtras()
    let lastID = wish.isForeign ? nil : wish.lastID
    switch decide(lastID) {
    case .finished:
      context.shard.increment(context.metrics.resumes[.finished])
      return answerFinished()
    case .live(let place):
      position = place
      let number = lastID.flatMap { EventID(parsing: $0.span)?.sequence }
      extras.resumedAfter = number ?? 0
      host.record.resumedFrom = number
      if number == nil { extras.resumedAfterID = lastID ?? [] }
    case .reset where mode != .graceful:
      // A client that can't be told would take what follows for what comes next.
      context.shard.increment(context.metrics.resumes[.refused])
      return refuse(.gone)
    case .reset(let reason, let oldest):
      position = run.log.start
      reset = makeReset(reason, oldest)
    }
    if wish.isForeign { reset = makeReset(.unknown, run.log.oldest) }
    if wish.lastID != nil { context.shard.increment(context.metrics.resumes[reset == nil ? .live : .reset]) }
    open(head, reset, extras)
  }

  private func decide(_ lastID: [UInt8]?) -> Resume {
    guard let lastID else { return Resume.decide(nil, of: run.stream, in: run.log) }
    return Resume.decide(lastID.span, of: run.stream, in: run.log)
  }

  /// It goes on at `position`, whatever it has had.
  private func noteEarlier() {
    var number = run.memory.last
    _ = run.memory.read(from: position) { _, metadata in
      number = metadata.kind.isEvent ? metadata.number - min(metadata.number, 1) : metadata.number
      return false
    }
    let bytes = UInt64(position.blockBytes(since: .beginning))
    let had = (events: stream?.events ?? 0, bytes: stream?.eventBytes ?? 0)
    earlier = (number - min(number, had.events), bytes - min(bytes, had.bytes))
  }

  private func makeReset(_ reason: StreamReset.Reason, _ oldest: UInt64?) -> StreamReset {
    StreamReset(stream: run.stream, reason: reason, oldest: oldest, time: context.loop.wallTime())
  }

  private func open(_ head: ResponseHead, _ reset: StreamReset?, _ extras: GracefulExtras) {
    guard let (request, opening) = opening.take() else { return }
    state = .reading
    noteEarlier()
    var extras = extras
    extras.stamps = run.settings.stamps
    if run.settings.announces {
      extras.announcement = PromptReady(
        stream: run.stream, time: context.loop.wallTime(), sinceStart: context.loop.readClock() - host.openedAt,
        clientMessageID: wish.clientMessage)
    }
    // Without ids nothing could be resumed.
    let stream = opening.makeDelivery(
      of: run.stream, to: client, numbersEvents: true, extras: extras, openedAt: host.openedAt, route: run.route,
      books: books, context: context)
    self.stream = stream
    logDelivery = LogDelivery(to: stream.reader)
    host.sendHead(of: stream, head, opening, request, run: run)
    stream.open { if mode == .graceful { reset?.write(to: &$0) } }
    if isReplaced { clientStreamWasTaken() } else { advance() }
  }

  /// Everything was read already: to an EventSource 204 says that it need not come back (WHATWG HTML, 9.2.3).
  private func answerFinished() {
    var fields = host.ownFields
    fields.append("X-Stream-Id", run.stream.description)
    if let outcome = run.log.end?.outcome { fields.append("X-Stream-Outcome", outcome.rawValue) }
    host.answered(204, by: .gateway)
    leave()
    client.answer(ResponseDraft(status: 204, fields: fields))
  }

  func runFailed(_ failure: RunFailure) {
    // It came while a run that turned out to have no stream was being forgotten.
    if case .gone = failure, wish.mayAskAgain { refuse(.noStream) } else { refuse(failure) }
  }

  private func refuse(_ failure: RunFailure) {
    guard state == .waiting else { return }
    leave()
    host.runFailed(failure)
  }

  /// The backend's response is no stream: the exchange passes it on as it is.
  func takeOver(_ upstreamRequest: UpstreamRequest, _ head: consuming ResponseHead, _ framing: BodyFraming) {
    guard state == .waiting else { return upstreamRequest.cancel() }
    state = .over
    runs.forget(self)
    hold.take()?.leave()
    host.takeOver(upstreamRequest, head, framing)
  }

  func wantsBody() { client.sendContinue() }
  func takesBody() { host.takesBody() }

  // MARK: - Reading

  /// Sends what the log holds from here on, as far as the client takes it.
  func advance() {
    guard state == .reading, !isBlocked, !isScheduled, let stream else { return }
    let log = run.log
    let frontier = log.frontier
    if frontier.bytes(since: position) > Self.shareOfTurn { return waitForTurn() }
    sendNext(of: log, upTo: frontier, on: stream)
  }

  /// Bytes that a reader gets in one turn of the loop when it has more to catch up with.
  private static let shareOfTurn = 64 << 10

  private func waitForTurn() {
    isScheduled = true
    context.turns.append(self)
  }

  private func sendNext(of log: any EventLog, upTo frontier: LogPosition, on stream: ClientDelivery) {
    if position < frontier {
      let scratch = context.loop.scratch
      let room = min(highWater, readAllowance?.bytes ?? Self.shareOfTurn)
      let place = log.deliver(from: position, to: &logDelivery!, room: room, into: &scratch.buffer) {
        stream.send(&$0)
        stream.send($1)
      }
      guard let place else { return overtaken() }
      position = place
      if stream.delivered(logDelivery!.takeTally()), wish.lastID == nil { stream.firstEventCame() }
      stream.send(&scratch.buffer)
    }
    if client.isBehind(by: highWater) { return block() }
    if position < log.frontier { return waitForTurn() }
    if log.hasEnd, let end = log.end { finish(with: end) }
  }

  private func block() {
    isBlocked = true
    blockedSince = context.loop.now
    stream?.block(until: run.route.settings.stream.lowWater)
  }

  /// What came next was dropped before this client could take it.
  private func overtaken() {
    guard mode == .graceful, let stream else { return cut() }
    position = run.log.start
    noteEarlier()
    let scratch = context.loop.scratch
    makeReset(.evicted, run.log.oldest).write(to: &scratch.buffer)
    stream.send(&scratch.buffer)
    advance()
  }

  /// A client that can't be told must see that something is missing.
  private func cut() {
    guard let stream else { return }
    state = .over
    var nothing = ByteBuffer()
    stream.end(.cut, &nothing, .clientStalled, reason: EndReason.clientTooSlow.text)
    leave()
  }

  // MARK: - Endings

  private static let timeToGiveWay = Nanoseconds.seconds(5)

  func isStuck(at now: MonotonicTime) -> Bool { isBlocked && now - blockedSince >= Self.timeToGiveWay }

  private func finish(with end: EndRecord) {
    guard let stream else { return }
    finish(stream, end)
  }

  /// Ends the client's stream; the run goes on, as far as its policy lets it.
  func finish(_ outcome: Outcome, reason: String) {
    guard state == .reading, let stream else { return }
    let end = EndRecord(
      outcome: outcome, reason: reason, events: earlier.events + stream.events,
      bytes: earlier.bytes + stream.eventBytes, upstreamIsComplete: false)
    finish(stream, end)
  }

  private func finish(_ stream: ClientDelivery, _ end: EndRecord) {
    // What is in this process's memory goes with it.
    let isResumable = run.isKept && (end.outcome != .draining || run.outlivesProcess)
    let streamEnd = StreamEnd(
      stream: stream.id, run: run.ownID, time: context.loop.wallTime(), outcome: end.outcome, reason: end.reason,
      isResumable: isResumable)
    let ending = Ending(
      streamEnd: streamEnd, upstreamIsComplete: end.upstreamIsComplete, recall: stream.recall)
    let scratch = context.loop.scratch
    let bodyEnd = logDelivery?.finish(ending, counts: end, into: &scratch.buffer) ?? .cut
    state = .over
    stream.end(bodyEnd, &scratch.buffer, end.outcome, reason: end.reason)
    leave()
  }

  private func leave() {
    state = .over
    runs.forget(self)
    hold.take()?.leave()
    host.responderLeft()
    run.detach(self)
  }

  // MARK: - The client

  func clientDrained() {
    stream?.drained()
    guard isBlocked else { return }
    isBlocked = false
    stream?.unblock()
    advance()
    run.trimMemory()
  }

  func clientGone() {
    guard state != .over else { return }
    let wasReading = state == .reading
    leave()
    guard wasReading, let stream else { return }
    stream.clientGone()
  }

  /// Looks at the client's clocks.
  ///
  /// - Returns: when to look again; `nil` when the stream is over.
  func timePassed(_ now: MonotonicTime) -> MonotonicTime? {
    guard state == .reading, let stream else { return state == .over ? nil : now + .seconds(1) }
    switch stream.verdict(at: now) {
    case .quiet(let until): return until
    case .keepaliveIsDue: return stream.keepAlive(at: now) { logDelivery?.completeLine(into: &$0) }
    case .clientStalled:
      leave()
      stream.breakOff()
    case .firstTokenTimeout, .idleTimeout, .totalTimeout: break
    }
    return nil
  }
}

extension RunReader: TurnMember {
  func turnCame() {
    isScheduled = false
    guard state == .reading, !isBlocked, let stream else { return }
    sendNext(of: run.log, upTo: run.log.frontier, on: stream)
    run.trimMemory()
  }
}

extension Fields {
  /// Appends a field of the gateway's own.
  fileprivate mutating func append(_ name: String, _ value: String) {
    guard let name = FieldName(name), let value = FieldValue(value) else { return }
    append(name, value)
  }
}

extension RunReader {
  static let replacedReason = EndReason.clientCameAnew.text

  /// A stream that is waited for ends as soon as it opens.
  func clientStreamWasTaken() {
    if state == .waiting { isReplaced = true } else { finish(.replacedByNewStream, reason: Self.replacedReason) }
  }
}
