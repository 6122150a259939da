import Bytes
import HTTP
import Loop
import Sockets
import Streams
import Time

/// One connection to a backend: sends a request, reads its response, may be kept for the next.
final class UpstreamConnection: ConnectionHandler {
  private enum State {
    /// In the pool. → awaitingHead, closed
    case idle
    /// A request was sent. → body, idle, closed
    case awaitingHead
    /// → idle, closed
    case body
    case closed
  }

  /// What ended an attempt before its response's head was complete.
  enum HeadFailure {
    /// The connection ended.
    case ended(UpstreamFault, receivedNothing: Bool)
    /// The backend refuses what it was shown in TLS's handshake: it may say so after it (RFC 8446, 4.4.2.4).
    case refused(String)
    case malformed(HTTP1Error)
  }

  let pool: UpstreamPool
  let connection: any Connection
  /// Whose request it serves.
  private var dispatch: Dispatch?
  /// Who takes the response's body.
  private var sink: (any ResponseSink)?
  private var state = State.idle
  private var parser: ResponseHeadParser
  private var decoder = BodyDecoder(framing: .none, side: .response)
  private var heads = ResponseSequence(method: .get)
  private var isReusable = false
  private var requestIsComplete = false
  private var receivedAnything = false
  /// Whether a request was served on it before.
  private(set) var wasUsed = false
  private(set) var idleSince: MonotonicTime

  init(connection: any Connection, pool: UpstreamPool) {
    self.connection = connection
    self.pool = pool
    parser = ResponseHeadParser(limits: HeadLimits())
    idleSince = pool.worker.loop.now
    connection.handler = self
    pool.worker.room.upstreamBegan()
  }

  var queuedBytes: Int { connection.queuedBytes }

  /// Starts to serve `dispatch`.
  func serve(_ dispatch: Dispatch) {
    self.dispatch = dispatch
    state = .awaitingHead
    parser = ResponseHeadParser(limits: HeadLimits())
    heads = ResponseSequence(method: dispatch.method)
    requestIsComplete = false
    receivedAnything = false
    connection.startReading()
  }

  /// Has the rest of the body go to `sink`.
  func deliver(to sink: any ResponseSink) { self.sink = sink }

  // MARK: - Sending

  func send(_ bytes: Span<UInt8>) { connection.write(bytes) }

  func requestWasSent() { requestIsComplete = true }

  func pauseReading() { connection.pauseReading() }
  func resumeReading() { if state != .closed { connection.startReading() } }

  // MARK: - Receiving

  func connectionReceived(_ input: InputBuffer) {
    switch state {
    case .idle:
      // Nobody asked: whatever it is, it can't be the answer to the next request.
      close()
    // A head and the body that came with it leave in one call.
    case .awaitingHead: connection.loop.gather.during { readHead(input) }
    case .body: readBody(input, from: 0)
    case .closed: break
    }
  }

  private func readHead(_ input: InputBuffer) {
    receivedAnything = true
    var offset = 0
    do {
      while state == .awaitingHead, offset < input.count {
        switch try parser.parse(input.slice(offset..<input.count)) {
        case .needMore: return
        case .complete(let head, let consumed):
          offset += consumed
          try receive(head, isLast: offset == input.count)
        }
      }
    } catch {
      fail(.malformed(error))
      return
    }
    if state == .body { readBody(input, from: offset) }
  }

  private func receive(_ head: consuming ResponseHead, isLast: Bool) throws(HTTP1Error) {
    guard let dispatch else { return close() }
    // Informational: 100 answers an expectation that we met ourselves, the others are hints that may be dropped.
    guard let framing = try heads.receive(head) else { return }
    isReusable = head.isKeepAlive && framing != .untilClose
    state = .body
    decoder = BodyDecoder(framing: framing, side: .response)
    dispatch.headReceived(head, framing: framing)
    guard !framing.mayHaveBytes, state == .body else { return }
    // Bytes behind a response that has no body would be taken for the next one's head.
    if !isLast { isReusable = false }
    finish()
  }

  private func readBody(_ input: InputBuffer, from offset: Int) {
    guard offset < input.count else { return }
    do {
      let received = input.count
      let decoded = try input.decode(from: offset, with: &decoder)
      guard let sink else { return close() }
      guard decoded.isComplete else {
        if !decoded.payload.isEmpty { sink.received(input, decoded.payload) }
        if decoded.fault != nil { end(.cut(.badFraming)) }
        return
      }
      if decoded.consumedUpTo < received { isReusable = false }
      // The last piece and the end leave in one call.
      connection.loop.gather.during {
        if !decoded.payload.isEmpty { sink.received(input, decoded.payload) }
        if state == .body { finish() }
      }
    } catch {
      end(.cut(.badFraming))
    }
  }

  /// The response is complete.
  private func finish() {
    let (dispatch, sink) = (self.dispatch, self.sink)
    self.dispatch = nil
    self.sink = nil
    wasUsed = true
    if isReusable, requestIsComplete, connection.queuedBytes == 0 {
      state = .idle
      idleSince = pool.worker.loop.now
      pool.keep(self)
    } else {
      close()
    }
    dispatch?.upstreamLeft()
    sink?.ended(.clean)
  }

  func connectionDrained() { dispatch?.upstreamDrained() }

  func connectionEnded(_ end: ConnectionEnd) {
    let fault: UpstreamFault
    switch end {
    case .finished: fault = .closedEarly
    case .failed(.timedOut): fault = .timedOut
    case .failed(.truncated): fault = .closedEarly
    case .failed(.alert(let alert)) where state == .awaitingHead && !receivedAnything && alert.refusesIdentity:
      return fail(.refused(alert.description))
    case .failed: fault = .reset
    }
    switch state {
    case .idle: close()
    case .awaitingHead: fail(.ended(fault, receivedNothing: !receivedAnything))
    case .body:
      if case .finished = end, decoder.inputClosed() == .complete {
        isReusable = false
        finish()
      } else {
        self.end(.cut(fault))
      }
    case .closed: break
    }
  }

  private func fail(_ failure: HeadFailure) {
    let dispatch = self.dispatch
    close()
    dispatch?.upstreamFailed(failure)
  }

  private func end(_ end: UpstreamEnd) {
    let (dispatch, sink) = (self.dispatch, self.sink)
    close()
    dispatch?.upstreamLeft()
    sink?.ended(end)
  }

  /// Closes at once; nobody is told.
  func close() {
    guard state != .closed else { return }
    if state == .idle { pool.forget(self) }
    state = .closed
    pool.worker.room.upstreamEnded()
    dispatch = nil
    sink = nil
    connection.close()
  }
}
