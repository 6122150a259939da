import Bytes
import HTTP
import Loop
import Sockets
import Streams
import Telemetry
import Time

/// One client's HTTP/1.1 connection: reads requests one after the other, gives each an exchange, writes its answer.
///
/// Lives on one loop. Pipelined requests wait until the answer before them is done.
final class ClientConnection: ClientStream, IdleClient, ConnectionHandler, TurnMember {
  enum State {
    /// Waits for a request's head. → exchanging, closing, closed
    case awaitingHead
    /// A request has its exchange. → awaitingHead, closing, closed
    case exchanging
    /// The last answer is on its way; waits for the peer's end. → closed
    case closing
    case closed
  }

  private let roster: ClientRoster
  let context: LoopContext
  let connection: any Connection
  /// What backends are told of the client.
  let forwarded: ForwardedClient
  /// Our place in the roster.
  var rosterIndex = -1
  /// Our place among those that are closed first when connections run short.
  private var idlePlace: ClientRoom.IdlePlace?

  var state = State.awaitingHead
  private var parser: RequestHeadParser
  /// Takes the request's body out of its framing while `hasBody`.
  private var body = BodyDecoder(framing: .none, side: .request)
  var hasBody = false
  /// That of the request which is being answered.
  private var version = HTTPVersion.http11
  private var backlog = ByteBuffer()
  var exchange: (any ClientExchange)?
  private var deadline: DeadlineHandle?
  var idleSince: MonotonicTime
  var headSince: MonotonicTime?
  var requests = 0
  var peerHasFinished = false
  /// Whether the client of this exchange, which is not read from, was found to have ended its side.
  var peerWasProbed = false

  /// The answer that is being written.
  var response: ResponseChannel
  private var closesAfterResponse = false
  /// The close of the answer that was written last, until it is known how it went.
  var measured: MeasuredClose?

  init(connection: any Connection, roster: ClientRoster) {
    self.connection = connection
    self.roster = roster
    context = roster.context
    response = ResponseChannel(connection: connection)
    forwarded = roster.forwardedClient(for: connection.peerAddress)
    parser = RequestHeadParser(limits: roster.limits.head)
    idleSince = context.loop.now
    connection.handler = self
    deadline = context.loop.deadlines.add(self, at: context.loop.now + limits.headTimeout)
  }

  var limits: LimitSettings { roster.limits }
  var lingerTime: Nanoseconds { roster.lingerTime }
  /// Whether it has had an answer on this connection.
  var wasServed: Bool { requests > (exchange == nil ? 0 : 1) }
  var isIdle: Bool { state == .awaitingHead && !parser.hasPartialInput && backlog.isEmpty }
  var queuedBytes: Int { connection.queuedBytes }
  var headIsSent: Bool { response.headIsSent }

  func look(with watch: inout SendWatch, _ now: MonotonicTime) {
    watch.look(at: connection, now)
  }

  func setLowWaterMark(_ bytes: Int) { connection.lowWaterMark = bytes }

  func exchangeNeedsTime() { wakeUp(at: context.loop.now) }

  func start() {
    becomeIdle()
    connection.startReading()
  }

  private func becomeIdle() {
    if idlePlace == nil { idlePlace = roster.room.becameIdle(self) }
  }

  private func leaveIdle() {
    if let place = idlePlace.take() { roster.room.isIdleNoMore(place) }
  }

  // MARK: - Reading

  func connectionReceived(_ input: InputBuffer) {
    switch state {
    case .awaitingHead: readHead(input, from: 0)
    case .exchanging where hasBody: readBody(input, from: 0)
    case .exchanging: keepForLater(input, from: 0)
    case .closing, .closed: break
    }
  }

  private func readHead(_ input: InputBuffer, from offset: Int) {
    measured.take()?.peerWasDone()
    leaveIdle()
    do {
      switch try parser.parse(input.slice(offset..<input.count)) {
      case .needMore:
        guard parser.hasPartialInput else { return becomeIdle() }
        guard headSince == nil else { return }
        headSince = context.loop.now
        wakeUp(at: context.loop.now + limits.headTimeout)
      case .complete(let head, let consumed):
        begin(head, input, next: offset + consumed)
      }
    } catch {
      context.shard.increment(context.metrics.refusals[.badRequest])
      refuse(ErrorResponse(error))
    }
  }

  private func begin(_ received: consuming RequestHead, _ input: InputBuffer, next start: Int) {
    var head = received
    let next = start + head.skipEmptyBody(input.slice(start..<input.count))
    state = .exchanging
    response.open()
    headSince = nil
    peerWasProbed = false
    requests += 1
    context.shard.increment(context.metrics.requests)
    version = head.version
    hasBody = head.framing.mayHaveBytes
    if hasBody { body = BodyDecoder(framing: head.framing, side: .request, limits: limits.head) }
    closesAfterResponse =
      !head.isKeepAlive || requests >= limits.requestsPerConnection || peerHasFinished || context.isDraining
    let exchange = roster.makeExchange(head, self)
    self.exchange = exchange
    wakeUp(at: context.loop.now + .milliseconds(100))
    // A request's head and body leave for the backend in one call.
    context.loop.gather.during {
      exchange.begin()
      guard next < input.count else { return }
      if hasBody, state == .exchanging { readBody(input, from: next) } else { keepForLater(input, from: next) }
    }
  }

  private func readBody(_ input: InputBuffer, from offset: Int) {
    do {
      let decoded = try input.decode(from: offset, with: &body)
      if !decoded.payload.isEmpty { exchange?.requestBodyReceived(input, decoded.payload) }
      if let fault = decoded.fault { return bodyIsBroken(fault) }
      guard decoded.isComplete, state == .exchanging else { return }
      hasBody = false
      exchange?.requestBodyEnded()
      if decoded.consumedUpTo < input.count { keepForLater(input, from: decoded.consumedUpTo) }
    } catch {
      bodyIsBroken(error)
    }
  }

  private func bodyIsBroken(_ error: HTTP1Error) {
    context.shard.increment(context.metrics.refusals[.badRequest])
    // An answer that is complete is the client's whatever it sends; nothing behind its body is looked at.
    guard let exchange else { return pauseReading() }
    exchange.clientBrokeFraming()
    if response.headIsSent { return abandon() }
    refuse(ErrorResponse(error))
  }

  /// Bytes of the next request wait, and nothing more is read until it is their turn.
  private func keepForLater(_ input: InputBuffer, from offset: Int) {
    guard state == .exchanging || state == .awaitingHead else { return }
    backlog.append(input.slice(offset..<input.count))
    pauseReading()
    // The request before it may have been answered on the spot: then it is its turn as soon as we have returned.
    if state == .awaitingHead { context.loop.callAfterThisCallback(self) }
  }

  func pauseReading() {
    connection.pauseReading()
    if state == .exchanging { wakeUp(at: context.loop.now) }
  }

  func resumeReading() {
    if backlog.isEmpty, state == .exchanging || state == .awaitingHead { connection.startReading() }
  }

  func turnCame() { readBacklog() }

  /// Reads the request that came while its predecessor was being answered.
  private func readBacklog() {
    guard state == .awaitingHead, !backlog.isEmpty else { return }
    let input = context.loop.input
    backlog.withSpan { _ = input.fill($0) }
    backlog.release()
    connection.startReading()
    readHead(input, from: 0)
  }

  // MARK: - The peer's end

  func connectionEnded(_ end: ConnectionEnd) {
    switch end {
    case .finished: peerFinished()
    case .failed: peerFailed()
    }
  }

  private func peerFinished() {
    peerHasFinished = true
    switch state {
    case .awaitingHead:
      close()
    case .exchanging:
      closesAfterResponse = true
      // Without an exchange its answer is complete and queued: it has that before the connection ends.
      guard let exchange else { return }
      // Inside a request's body there is no more to come; elsewhere it may be a client that is still listening.
      if hasBody { return exchangeWasAbandoned() }
      exchange.clientHalfClosed()
    case .closing, .closed: break
    }
  }

  func peerFailed() {
    switch state {
    case .awaitingHead:
      measured.take()?.peerReset()
      close()
    case .exchanging:
      // With a close to be measured the answer is complete, and its client did not wait for the end.
      measured.take()?.peerReset()
      exchangeWasAbandoned()
    case .closing, .closed: break
    }
  }

  private func exchangeWasAbandoned() {
    let exchange = self.exchange
    close()
    exchange?.clientGone()
  }

  func connectionDrained() {
    exchange?.clientDrained()
    noteFlush()
  }

  // MARK: - Answering

  /// Whether `Connection: close` must go with the answer.
  private var willClose: Bool { closesAfterResponse || response.framing == .untilClose || hasBody }

  func sendHead(_ draft: borrowing ResponseDraft, framing: BodyFraming) {
    response.prepare(framing: framing)
    context.clientHead.removeAll()
    HTTP1Head.write(
      draft, framing: framing, version: version, isKeepAlive: !willClose, into: &context.clientHead)
    sendHead(context.clientHead)
  }

  /// Sends an answer's head; after it nobody may change whether the connection is kept.
  private func sendHead(_ head: borrowing ByteBuffer) {
    closesAfterResponse = willClose
    response.sendHead(head)
  }

  func send(_ input: InputBuffer, _ range: Range<Int>) { response.sendBody(input, range) }
  func send(_ out: inout ByteBuffer) { response.sendBody(&out) }
  func send(_ bytes: Span<UInt8>) { response.sendBody(bytes) }
  func probe() { response.probe() }

  func sendContinue() {
    if hasBody { response.sendContinue() }
  }

  func end(_ end: BodyEnd, _ out: inout ByteBuffer, closing: (machine: ClosingMachine, label: CloseLabel)?) {
    guard state == .exchanging else { return out.removeAll() }
    if end == .cut || hasBody { closesAfterResponse = true }
    // A cut that only a reset can show gets no end of ours.
    response.finish(end, &out, isLast: closesAfterResponse && !(end == .cut && response.framing == .untilClose))
    measured = MeasuredClose(
      closing, then: end == .cut ? .abort : closesAfterResponse ? .linger : .keep, books: roster.books)
    exchange = nil
    if connection.queuedBytes == 0 {
      responseWasFlushed()
    } else {
      wakeUp(at: context.loop.now)
    }
  }

  private func noteFlush() {
    if let measured, !measured.isFlushed, connection.queuedBytes == 0 { responseWasFlushed() }
  }

  private func responseWasFlushed() {
    guard let action = measured?.lastByteWasTaken() else { return }
    switch action {
    case .keep: awaitNextRequest()
    case .linger: linger(resets: false)
    case .abort: linger(resets: response.framing == .untilClose)
    }
  }

  private func awaitNextRequest() {
    state = .awaitingHead
    idleSince = context.loop.now
    if measured?.isCounted == false { measured = nil }
    wakeUp(at: context.loop.now + (measured == nil ? limits.keepAliveTimeout : lingerTime))
    // From a client that has ended its side no more requests can come.
    if context.isDraining || peerHasFinished, backlog.isEmpty { return linger(resets: false) }
    if backlog.isEmpty {
      becomeIdle()
      return connection.startReading()
    }
    // The loop's buffer may be in use above us.
    context.loop.callAfterThisCallback(self)
  }

  // MARK: - Closing

  func refuse(_ error: borrowing ErrorResponse) {
    if state == .awaitingHead {
      response.open()
      state = .exchanging
    }
    closesAfterResponse = true
    error.body.withSpan { answer(error.draft, $0) }
  }

  func answer(_ draft: borrowing ResponseDraft, _ body: Span<UInt8>) {
    guard state == .exchanging, response.isOpen, !response.headIsSent else { return abandon() }
    response.prepare(framing: .none)
    var whole = ByteBuffer()
    // No length in 204 (RFC 9110, 8.6).
    HTTP1Head.write(
      draft, framing: draft.status == 204 ? .none : .length(body.count), isKeepAlive: !willClose, into: &whole)
    if exchange?.method != .head { whole.append(body) }
    sendHead(whole)
    var nothing = ByteBuffer()
    end(.complete, &nothing, closing: nil)
  }

  func abandon() {
    guard state != .closed else { return }
    measured.take()?.aborted()
    let exchange = self.exchange
    connection.reset()
    close()
    exchange?.clientGone()
  }

  private func linger(resets: Bool) {
    guard state != .closing, state != .closed else { return }
    state = .closing
    let close = measured.take()
    roster.room.linger(connection, timeout: lingerTime, resets: resets) { [roster] result in
      close?.closed(result)
      roster.lingerEnded()
    }
    leave()
  }

  func close() {
    guard state != .closed else { return }
    measured.take()?.peerWasDone()
    connection.close()
    leave()
  }

  private func leave() {
    if state != .closing { state = .closed }
    leaveIdle()
    response.close()
    exchange = nil
    if let handle = deadline.take() { context.loop.deadlines.remove(handle) }
    roster.clientLeft(self)
  }

  private func wakeUp(at time: MonotonicTime) {
    if let deadline { context.loop.deadlines.move(deadline, to: time) }
  }
}
