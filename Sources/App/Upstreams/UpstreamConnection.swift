import Bytes
import HTTP
package import Loop
package import Sockets
import Streams
package import Time

/// One connection to a backend: sends a request, reads its response, may be kept for the next.
package final class UpstreamConnection: ConnectionHandler {
  private enum State {
    /// In the pool. → awaitingHead, closed
    case idle
    /// A request was sent. → body, switched, idle, closed
    case awaitingHead
    /// → idle, closed
    case body
    /// It carries another protocol, which its taker handles. → closed
    case switched
    case closed
  }

  private let home: any UpstreamHome
  private let room: UpstreamRoom
  package let connection: any Connection
  /// The request that it serves.
  private var request: (any SentRequest)?
  /// Who takes the response's body.
  private var sink: (any ResponseSink)?
  private var state = State.idle
  private var parser = ResponseHeadParser()
  private var decoder = BodyDecoder(framing: .none, side: .response)
  private var heads = ResponseSequence(method: .get)
  private var isReusable = false
  private var requestIsComplete = false
  private var receivedAnything = false
  /// Whether a request was served on it before.
  package private(set) var wasUsed = false
  package private(set) var idleSince: MonotonicTime

  /// - Parameters:
  ///   - room: where it counts until it is closed.
  ///   - home: takes it when its response is over.
  package init(connection: any Connection, room: UpstreamRoom, home: any UpstreamHome) {
    self.connection = connection
    self.room = room
    self.home = home
    idleSince = connection.loop.now
    connection.handler = self
    room.upstreamBegan()
    home.counted(.idle, by: 1)
  }

  package var queuedBytes: Int { connection.queuedBytes }

  /// Starts to serve `request`.
  package func serve(_ request: any SentRequest) {
    self.request = request
    state = .awaitingHead
    home.counted(.idle, by: -1)
    home.counted(.busy, by: 1)
    parser = ResponseHeadParser()
    heads = ResponseSequence(method: request.method)
    requestIsComplete = false
    receivedAnything = false
    connection.startReading()
  }

  /// Has the rest of the body go to `sink`.
  package func deliver(to sink: any ResponseSink) { self.sink = sink }

  // MARK: - Sending

  package func send(_ bytes: Span<UInt8>) { connection.write(bytes) }

  package func requestWasSent() { requestIsComplete = true }

  package func pauseReading() { connection.pauseReading() }
  package func resumeReading() { if state != .closed { connection.startReading() } }

  // MARK: - Receiving

  package func connectionReceived(_ input: InputBuffer) {
    switch state {
    case .idle:
      // Nobody asked: whatever it is, it can't be the answer to the next request.
      close()
    // A head and the body that came with it leave in one call.
    case .awaitingHead: connection.loop.gather.during { readHead(input) }
    case .body: readBody(input, from: 0)
    case .switched, .closed: break
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
          if head.status == 101, let request, request.asksToSwitch {
            state = .switched
            return request.protocolSwitched(head, input, offset..<input.count)
          }
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
    guard let request else { return close() }
    // Informational: 100 answers an expectation that we met ourselves, the others are hints that may be dropped.
    guard let framing = try heads.receive(head) else { return }
    // After a wish to switch nobody knows for sure what the other side takes the next bytes for.
    isReusable = head.isKeepAlive && framing != .untilClose && !request.asksToSwitch
    state = .body
    decoder = BodyDecoder(framing: framing, side: .response)
    request.headReceived(head, framing: framing)
    guard !framing.mayHaveBytes, state == .body else { return }
    // Bytes behind a response that has no body would be taken for the next one's head.
    if !isLast { isReusable = false }
    finish()
  }

  private func readBody(_ input: InputBuffer, from offset: Int) {
    guard offset < input.count else { return }
    do {
      let received = input.count
      // Out of its framing, in place.
      let decoded = try input.withMutableBytes { bytes throws(HTTP1Error) in
        try decoder.decode(&bytes, from: offset)
      }
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
    let (request, sink) = (self.request, self.sink)
    self.request = nil
    self.sink = nil
    wasUsed = true
    if isReusable, requestIsComplete, connection.queuedBytes == 0 {
      state = .idle
      home.counted(.busy, by: -1)
      home.counted(.idle, by: 1)
      idleSince = connection.loop.now
      home.keep(self)
    } else {
      close()
    }
    request?.upstreamLeft()
    sink?.ended(.clean)
  }

  package func connectionDrained() { request?.upstreamDrained() }

  package func connectionEnded(_ end: ConnectionEnd) {
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
    case .switched, .closed: break
    }
  }

  private func fail(_ failure: UpstreamFailure) {
    let request = self.request
    close()
    request?.upstreamFailed(failure)
  }

  private func end(_ end: UpstreamEnd) {
    let (request, sink) = (self.request, self.sink)
    close()
    request?.upstreamLeft()
    sink?.ended(end)
  }

  /// Closes at once; nobody is told.
  package func close() {
    guard state != .closed else { return }
    home.counted(state == .idle ? .idle : .busy, by: -1)
    if state == .idle { home.forget(self) }
    state = .closed
    room.upstreamEnded()
    request = nil
    sink = nil
    connection.close()
  }
}

/// Where connections to a backend wait for their next request.
package protocol UpstreamHome: AnyObject {
  /// Takes a connection whose response is over.
  func keep(_ connection: UpstreamConnection)
  /// A kept connection is closed.
  func forget(_ connection: UpstreamConnection)
  /// There are `change` more open connections of that use.
  func counted(_ use: ConnectionUse, by change: Int)
}
