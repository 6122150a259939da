import Bytes
import Configuration
import HTTP
import Loop
import Sockets
import Streams
import Telemetry
import Time

/// One client's HTTP/1.1 connection: reads requests one after the other, gives each an exchange.
///
/// It serves one request at a time, so it is that request's `ClientStream` too (`HTTP1Client+Stream`): no request needs
/// another object. `ClientConnectionMachine` decides what follows what; here it is carried out. Lives on one loop.
final class HTTP1Client: Client, ConnectionHandler, TurnMember {
  let roster: ClientRoster
  let context: LoopContext
  let connection: any Connection
  /// What backends are told of the client.
  let forwarded: ForwardedClient
  /// Of a client over https, and of its listener: what browsers are told of coming over https only.
  let transportSecurity: String?
  /// Whether all that it gets is where to go on over https.
  private let isRedirected: Bool
  /// Our place in the roster.
  var rosterIndex = -1
  /// Our place among those that are closed first when connections run short.
  private var idlePlace: ClientRoom.IdlePlace?

  var machine = ClientConnectionMachine()
  private var parser = RequestHeadParser()
  /// Takes the request's body out of its framing while there is one.
  private var body = BodyDecoder(framing: .none, side: .request)
  private(set) var backlog = ByteBuffer()
  private var deadline: DeadlineHandle?
  var idleSince: MonotonicTime
  var headSince: MonotonicTime?

  // MARK: - The request that is served

  var exchange: (any ClientExchange)?
  /// Its version, and that of the answer.
  private(set) var version = HTTPVersion.http11
  /// Its answer.
  var response: ResponseChannel
  /// The close of the answer that was written last, until it is known how it went.
  var measured: MeasuredClose?

  /// - Parameter listener: where it came.
  init(connection: any Connection, listener: ListenerSettings, roster: ClientRoster) {
    self.connection = connection
    self.roster = roster
    context = roster.context
    response = ResponseChannel(connection: connection)
    forwarded = roster.forwardedClient(of: connection, at: listener)
    transportSecurity = listener.tls?.strictTransportSecurity
    isRedirected = listener.redirect == .https
    idleSince = context.loop.now
    connection.handler = self
    deadline = context.loop.deadlines.add(self, at: context.loop.now + limits.headTimeout)
  }

  var limits: LimitSettings { roster.limits }
  var lingerTime: Nanoseconds { roster.lingerTime }
  var isIdle: Bool { machine.phase == .awaitingHead && !parser.hasPartialInput && backlog.isEmpty }

  func forEachExchange(_ body: (any ClientExchange, any ClientStream) -> Void) {
    if let exchange { body(exchange, self) }
  }

  func retire() {
    if isIdle, wasServed { close() }
  }

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
    switch machine.inputUse {
    case .head: readHead(input, from: 0)
    case .body: readBody(input, from: 0)
    case .nextRequest: keepForLater(input, from: 0)
    case .nothing: break
    }
  }

  private func readHead(_ input: InputBuffer, from offset: Int) {
    measured.take()?.peerWasDone()
    leaveIdle()
    do {
      switch try parser.parse(input.slice(offset..<input.count), limits: limits.head) {
      case .needMore:
        guard parser.hasPartialInput else { return becomeIdle() }
        guard headSince == nil else { return }
        headSince = context.loop.now
        wakeUp(at: context.loop.now + limits.headTimeout)
      case .complete(let head, let consumed):
        begin(head, input, next: offset + consumed)
      }
    } catch {
      let fields = context.refused(.badRequest, error.status, error.code, from: forwarded.logged)
      refuse(ErrorResponse(error, fields: fields))
    }
  }

  private func begin(_ received: RequestHead, _ input: InputBuffer, next start: Int) {
    let (head, skipped) = received.withoutEmptyBody(input.slice(start..<input.count)) ?? (received, 0)
    let next = start + skipped
    response.open()
    headSince = nil
    context.shard.increment(context.metrics.requests)
    version = head.version
    let hasBody = head.framing.mayHaveBytes
    if hasBody { body = BodyDecoder(framing: head.framing, side: .request, limits: limits.head) }
    machine.requestCame(
      hasBody: hasBody, limit: limits.requestsPerConnection,
      // What follows a wish for another protocol may be of that one.
      mayContinue: head.isKeepAlive && !context.isLeaving && head.fields.wantedProtocol == nil)
    let exchange = roster.exchange(for: head, of: self, isRedirected: isRedirected)
    self.exchange = exchange
    wakeUp(at: context.loop.now + .milliseconds(100))
    // A request's head and body leave for the backend in one call.
    context.loop.gather.during {
      exchange.begin()
      guard next < input.count else { return }
      if machine.inputUse == .body { readBody(input, from: next) } else { keepForLater(input, from: next) }
    }
  }

  private func readBody(_ input: InputBuffer, from offset: Int) {
    do {
      // Out of its framing, in place.
      let decoded = try input.withMutableBytes { bytes throws(HTTP1Error) in
        try body.decode(&bytes, from: offset)
      }
      if !decoded.payload.isEmpty { exchange?.requestBodyReceived(input, decoded.payload) }
      if let fault = decoded.fault { return bodyIsBroken(fault) }
      guard decoded.isComplete, machine.inputUse == .body else { return }
      machine.bodyEnded()
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
    let isTold = !response.headIsSent
    let fields = exchange.clientBrokeFraming(status: error.status, code: error.code)
    if isTold { refuse(ErrorResponse(error, fields: fields)) } else { abandon() }
  }

  /// Bytes of the next request wait, and nothing more is read until it is their turn.
  private func keepForLater(_ input: InputBuffer, from offset: Int) {
    guard machine.phase != .over else { return }
    backlog.append(input.slice(offset..<input.count))
    pauseReading()
    // The request before it may have been answered on the spot: then it is its turn as soon as we have returned.
    if machine.phase == .awaitingHead { context.loop.callAfterThisCallback(self) }
  }

  func turnCame() { readBacklog() }

  /// Reads the request that came while its predecessor was being answered.
  private func readBacklog() {
    guard machine.phase == .awaitingHead, !backlog.isEmpty else { return }
    let input = context.loop.input
    backlog.withSpan { _ = input.fill($0) }
    backlog.release()
    connection.startReading()
    readHead(input, from: 0)
  }

  // MARK: - The peer's end

  func connectionEnded(_ end: ConnectionEnd) {
    switch end {
    case .finished: perform(machine.peerFinished())
    case .failed: peerFailed()
    }
  }

  func peerFailed() {
    // With a close to be measured the answer is complete, and its client did not wait for the end.
    measured.take()?.peerReset()
    perform(machine.peerFailed())
  }

  func connectionDrained() {
    exchange?.clientDrained()
    noteFlush()
  }

  private func noteFlush() {
    if let measured, !measured.isFlushed, connection.queuedBytes == 0 { answerWasTaken() }
  }

  func answerWasTaken() {
    guard measured?.lastByteWasTaken() != nil else { return }
    perform(machine.answerWasTaken(hasNext: !backlog.isEmpty, isDraining: context.isDraining))
  }

  // MARK: - What the machine decides

  /// The one place where its decisions are carried out.
  func perform(_ action: ClientConnectionMachine.Action) {
    switch action {
    case .nothing: break
    case .awaitRequest:
      awaitRequest()
      becomeIdle()
      connection.startReading()
    case .readNextRequest:
      awaitRequest()
      // The loop's buffer may be in use above us.
      context.loop.callAfterThisCallback(self)
    case .halfClosed: exchange?.clientHalfClosed()
    case .abandon:
      let exchange = self.exchange
      closeNow()
      exchange?.clientGone()
    case .close: closeNow()
    case .linger(let resets): linger(resets: resets)
    }
  }

  private func awaitRequest() {
    idleSince = context.loop.now
    if measured?.isCounted == false { measured = nil }
    wakeUp(at: context.loop.now + (measured == nil ? limits.keepAliveTimeout : lingerTime))
  }

  // MARK: - Closing

  func abandon() {
    guard machine.closes() else { return }
    measured.take()?.aborted()
    let exchange = self.exchange
    connection.reset()
    closeNow()
    exchange?.clientGone()
  }

  private func linger(resets: Bool) {
    let close = measured.take()
    roster.room.linger(connection, timeout: lingerTime, resets: resets) { [roster] result in
      close?.closed(result)
      roster.lingerEnded()
    }
    leave()
  }

  func close() {
    if machine.closes() { closeNow() }
  }

  private func closeNow() {
    measured.take()?.peerWasDone()
    connection.close()
    leave()
  }

  private func leave() {
    letGo()
    roster.clientLeft(self)
  }

  private func letGo() {
    leaveIdle()
    response.close()
    exchange = nil
    if let handle = deadline.take() { context.loop.deadlines.remove(handle) }
  }

  func becomeTunnel(_ draft: borrowing ResponseDraft, to end: TunnelEnd) {
    guard machine.phase == .exchanging, !response.headIsSent, machine.closes() else { return end.close(.failed) }
    context.clientHead.removeAll()
    HTTP1Head.write(draft, framing: .none, isKeepAlive: true, into: &context.clientHead)
    context.clientHead.addUpgrade()
    response.sendHead(context.clientHead)
    let early = backlog.toArray()
    backlog.release()
    letGo()
    roster.replace(self, by: Tunnel(of: connection, early: early, to: end, roster: roster))
  }

  func wakeUp(at time: MonotonicTime) {
    if let deadline { context.loop.deadlines.move(deadline, to: time) }
  }
}
