import Bytes
import Configuration
import HTTP
import HTTP2
import Loop
import Sockets
import Streams
import Time

/// One request of an HTTP/2 client, its answer until it has arrived, and what of that is not framed yet.
final class HTTP2Stream {
  let id: HTTP2StreamID
  /// Holds us in turn, until the answer has arrived or never will.
  let connection: HTTP2Client
  private let method: HTTP.Method
  var exchange: (any ClientExchange)?
  private(set) var headIsSent = false
  /// Whether the answer is complete or broken off: nothing is added to it.
  private(set) var isEnded = false
  private var isGone = false

  // The request's body.
  private var isWhole: Bool
  private var isPaused = false
  /// Bytes that came while the exchange takes none.
  private var unconsumed = 0

  // The answer's body.
  private var body = ByteBuffer()
  private var next = HTTP2BodyPart.Next.more
  private var framedBytes: UInt64 = 0
  private var framedAt: MonotonicTime
  private var lowWaterMark = 0
  /// Whether bytes stayed behind when a turn ended.
  private(set) var isHeldUp = false
  /// Whether the exchange waits to be told of room.
  private var isAwaited = false
  /// Whether the connection has us among those with something to write.
  var isUnwritten = false

  /// The close of the answer, until it is known how it went.
  private var measured: MeasuredClose?
  private var isWritten = false
  private var stall = SendWatch()
  /// When a cut becomes a reset.
  private var cutAt: MonotonicTime?
  /// Until when the client's word that it has the answer is waited for.
  private var confirmationIsDue: MonotonicTime?
  /// When we are to be looked at.
  var wakeAt: MonotonicTime

  /// How long after the client's HTTP/2 stack has everything the reset of a cut follows: browsers throw away what a page
  /// has not fetched when it comes.
  private static let cutDelay = Nanoseconds.milliseconds(200)

  init(_ id: HTTP2StreamID, of connection: HTTP2Client, method: HTTP.Method, isWhole: Bool) {
    self.id = id
    self.connection = connection
    self.method = method
    self.isWhole = isWhole
    framedAt = connection.context.loop.now
    wakeAt = connection.context.loop.now + .milliseconds(100)
  }

  private var context: LoopContext { connection.context }
  private var session: HTTP2Session { _read { yield connection.session } }

  private func wakeUp(at time: MonotonicTime) {
    wakeAt = min(wakeAt, time)
    connection.wakeUp()
  }

  // MARK: - What came

  func bodyCame(_ input: InputBuffer, _ range: Range<Int>) {
    exchange?.requestBodyReceived(input, range)
    // The connection's window is given back at once, the stream's when there is room for more.
    if isPaused { unconsumed += range.count } else { session.consume(id, range.count) }
  }

  func bodyEnded() {
    isWhole = true
    exchange?.requestBodyEnded()
  }

  /// The client reset the stream, or had to be refused for a fault.
  func wasReset() {
    measured.take()?.peerReset()
    leave()
  }

  /// All of the answer is with the connection.
  func wasWritten() {
    isWritten = true
    if isEnded { answerWasWritten() }
  }

  private func answerWasWritten() {
    _ = measured?.lastByteWasTaken()
    if next != .cut, measured?.isCounted != true {
      measured = nil
      return leave()
    }
    confirmationIsDue = context.loop.now + max(connection.roster.lingerTime, .seconds(1))
    wakeUp(at: confirmationIsDue ?? context.loop.now)
  }

  /// The client's HTTP/2 stack has everything.
  func wasConfirmed() {
    guard isEnded else { return }
    if next == .cut {
      cutAt = context.loop.now + Self.cutDelay
      wakeUp(at: context.loop.now + Self.cutDelay)
    } else {
      measured.take()?.peerWasDone()
      leave()
    }
  }

  /// The connection is gone.
  func connectionEnded(_ result: CloseResult) {
    measured.take()?.closed(isWritten ? result : .reset)
    leave()
  }

  private func leave() {
    guard !isGone else { return }
    isGone = true
    isEnded = true
    dropBody()
    let exchange = exchange.take()
    connection.streamLeft(self)
    exchange?.clientGone()
  }

  // MARK: - Time

  /// - Returns: when to look again.
  func timePassed(_ now: MonotonicTime) -> MonotonicTime {
    if let exchange { return exchange.timePassed(now) ?? now + .seconds(1) }
    if let cutAt {
      if now >= cutAt { cut() }
      return cutAt
    }
    if let confirmationIsDue {
      if now >= confirmationIsDue { isNotConfirmed() }
      return confirmationIsDue
    }
    return resetIfStalled(now)
  }

  private func isNotConfirmed() {
    if next == .cut { return cut() }
    measured.take()?.stoppedWaiting()
    leave()
  }

  private func cut() {
    session.reset(id, .internalError)
    measured.take()?.aborted()
    connection.writeSoon()
    leave()
  }

  /// The answer is complete and queued. A client may take it slowly, but not stop taking it.
  private func resetIfStalled(_ now: MonotonicTime) -> MonotonicTime {
    guard isEnded, !isGone else { return now + .seconds(1) }
    stall.measureProgress(acknowledged: framedBytes, writtenAt: framedAt, at: now)
    guard stall.isStalled(for: connection.limits.stallTimeout, at: now) else {
      return now + SendWatch.pause(of: connection.limits.stallTimeout)
    }
    context.limitPassed(.clientStallInAnswer, route: nil)
    measured.take()?.stoppedWaiting()
    session.reset(id, .internalError)
    connection.writeSoon()
    leave()
    return now
  }

  // MARK: - What is not framed

  private func keep(_ bytes: Span<UInt8>) {
    guard !bytes.isEmpty else { return }
    body.append(bytes)
    connection.holds(bytes.count)
  }

  private func dropBody() {
    connection.holds(-body.count)
    body.release()
  }

  /// What could be written of the turn has been.
  ///
  /// - Returns: whether the exchange is to be told of room.
  func turnEnded() -> Bool {
    let wasHeldUp = isHeldUp
    isHeldUp = !body.isEmpty
    // It would be read again only to be stopped.
    if isOverShare { return false }
    guard isAwaited ? body.count <= lowWaterMark : wasHeldUp && body.isEmpty else { return false }
    isAwaited = false
    return true
  }
}

extension HTTP2Stream: HTTP2Body {
  var ready: HTTP2BodyPart { HTTP2BodyPart(count: body.count, next: next) }

  func write(_ header: Span<UInt8>, count: Int, to sink: any HTTP2Sink) {
    sink.write(header)
    body.withSpan { sink.write($0.extracting(first: count)) }
    if count == body.count { body.removeAll() } else { body.removeFirst(count) }
    connection.holds(-count)
    framedBytes += UInt64(count)
    framedAt = context.loop.now
  }
}

extension HTTP2Stream: ClientStream {
  var forwarded: ForwardedClient { connection.forwarded }
  var wasServed: Bool { connection.wasServed }

  // MARK: - The request's body

  func sendContinue() {
    guard !headIsSent, !isWhole, !isEnded else { return }
    session.inform(id, status: 100)
    connection.writeSoon()
  }

  func pauseReading() { isPaused = true }

  func resumeReading() {
    isPaused = false
    session.consume(id, unconsumed)
    unconsumed = 0
    connection.writeSoon()
  }

  // MARK: - The answer

  func sendHead(_ draft: borrowing ResponseDraft, body plan: BodyPlan) {
    guard !headIsSent, !isEnded else { return }
    let framing: BodyFraming
    switch plan {
    case .none: framing = .none
    case .length(let count): framing = .length(count)
    case .open: framing = .chunked
    }
    respond(draft, framing: framing, hasBody: framing.mayHaveBytes)
  }

  private func respond(_ draft: borrowing ResponseDraft, framing: BodyFraming, hasBody: Bool) {
    headIsSent = true
    connection.wasServed = true
    session.respond(
      id, draft, framing: framing, body: hasBody ? self : nil, isEventStream: framing == .chunked,
      transportSecurity: connection.transportSecurity)
    connection.writeSoon()
  }

  func send(_ input: InputBuffer, _ range: Range<Int>) { send(input.slice(range)) }

  func send(_ out: inout ByteBuffer) {
    out.withSpan { send($0) }
    out.removeAll()
  }

  func send(_ bytes: Span<UInt8>) {
    guard headIsSent, !isEnded, !bytes.isEmpty else { return }
    keep(bytes)
    connection.writeSoon(self)
  }

  func end(_ end: BodyEnd, _ rest: inout ByteBuffer, closing: (machine: ClosingMachine, label: CloseLabel)?) {
    guard !isEnded else { return rest.removeAll() }
    rest.withSpan { if headIsSent { keep($0) } }
    rest.removeAll()
    isEnded = true
    next = end == .cut ? .cut : .end
    measured = MeasuredClose(closing, then: end == .cut ? .abort : .keep, books: connection.roster.books)
    exchange = nil
    connection.writeSoon(self)
    wakeUp(at: context.loop.now)
    if isWritten { answerWasWritten() }
  }

  func refuse(_ error: borrowing ErrorResponse) {
    error.body.withSpan { answer(error.draft, $0) }
  }

  func answer(_ draft: borrowing ResponseDraft, _ whole: Span<UInt8>) {
    guard !headIsSent, !isEnded else { return abandon() }
    let hasBody = method != .head && draft.status != 204 && !whole.isEmpty
    if hasBody { keep(whole) }
    // No length in 204 (RFC 9110, 8.6).
    respond(draft, framing: draft.status == 204 ? .none : .length(whole.count), hasBody: hasBody)
    var nothing = ByteBuffer()
    end(.complete, &nothing, closing: nil)
  }

  func abandon() {
    guard !isGone else { return }
    measured.take()?.aborted()
    session.reset(id, .internalError)
    connection.writeSoon()
    leave()
  }

  /// Ends the stream; the connection is the other streams' too.
  func close() {
    guard !isGone else { return }
    measured.take()?.peerWasDone()
    session.reset(id, .cancel)
    connection.writeSoon()
    leave()
  }

  // MARK: - Whether the client keeps up

  /// What stayed behind when a turn ended. What came in this turn is about to be written.
  var queuedBytes: Int { isHeldUp ? body.count : 0 }
  var isOverShare: Bool { connection.isFull && body.count > HTTP2Client.fairShare }
  var readAllowance: ReadAllowance? { connection.readAllowance }

  func setLowWaterMark(_ bytes: Int) {
    lowWaterMark = bytes
    isAwaited = bytes > 0
  }

  func measureProgress(with watch: inout SendWatch, _ now: MonotonicTime) {
    watch.measureProgress(acknowledged: framedBytes, writtenAt: framedAt, at: now)
  }

  /// Nothing is sent ahead: a client that has ended its side of the connection is gone.
  func probe() {}

  func exchangeNeedsTime() { wakeUp(at: context.loop.now) }
}
