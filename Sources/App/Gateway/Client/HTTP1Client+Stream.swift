import Bytes
import HTTP
import Loop
import Sockets
import Streams
import Time

// The request that the connection serves now, as its exchange sees it.
extension HTTP1Client: ClientStream {
  var wasServed: Bool { machine.wasServed }

  // MARK: - The request's body

  func sendContinue() {
    if machine.inputUse == .body { response.sendContinue() }
  }

  func pauseReading() {
    connection.pauseReading()
    if machine.phase == .exchanging || machine.phase == .answered { wakeUp(at: context.loop.now) }
  }

  func resumeReading() {
    if backlog.isEmpty, machine.phase != .over { connection.startReading() }
  }

  // MARK: - The answer

  var headIsSent: Bool { response.headIsSent }
  /// Whether the end of the connection is what ends the answer's body.
  private var endsBody: Bool { response.framing == .untilClose }
  /// Whether `Connection: close` must go with the answer.
  private var willClose: Bool { machine.willClose(endsBody: endsBody, mayContinue: mayContinue) }
  /// A gateway that leaves says so with the next answer, unless another request of the client's is here already.
  private var mayContinue: Bool { !context.isLeaving || !backlog.isEmpty }

  func sendHead(_ draft: borrowing ResponseDraft, body: BodyPlan) {
    let framing = BodyFraming(body, for: version)
    response.prepare(framing: framing)
    context.clientHead.removeAll()
    HTTP1Head.write(
      draft, framing: framing, version: version, isKeepAlive: !willClose, into: &context.clientHead)
    if let transportSecurity { context.clientHead.addTransportSecurity(transportSecurity) }
    sendHead(context.clientHead)
  }

  /// Sends an answer's head; after it nobody may change whether the connection is kept.
  private func sendHead(_ head: borrowing ByteBuffer) {
    machine.headWasSent(endsBody: endsBody, mayContinue: mayContinue)
    response.sendHead(head)
  }

  func send(_ input: InputBuffer, _ range: Range<Int>) { response.sendBody(input, range) }
  func send(_ out: inout ByteBuffer) { response.sendBody(&out) }
  func send(_ bytes: Span<UInt8>) { response.sendBody(bytes) }

  func end(_ end: BodyEnd, _ out: inout ByteBuffer, closing: (machine: ClosingMachine, label: CloseLabel)?) {
    guard let next = machine.answerEnded(isCut: end == .cut, endsBody: endsBody) else { return out.removeAll() }
    response.finish(end, &out, isLast: next == .linger || next == .abort(resets: false))
    measured = MeasuredClose(closing, then: next.closing, books: roster.books)
    exchange = nil
    if connection.queuedBytes == 0 {
      answerWasTaken()
    } else {
      wakeUp(at: context.loop.now)
    }
  }

  func refuse(_ error: borrowing ErrorResponse) {
    if machine.refused() { response.open() }
    error.body.withSpan { answer(error.draft, $0) }
  }

  func answer(_ draft: borrowing ResponseDraft, _ body: Span<UInt8>) {
    guard machine.phase == .exchanging, response.isOpen, !response.headIsSent else { return abandon() }
    response.prepare(framing: .none)
    var whole = ByteBuffer()
    // No length in 204 (RFC 9110, 8.6).
    HTTP1Head.write(
      draft, framing: draft.status == 204 ? .none : .length(body.count), isKeepAlive: !willClose, into: &whole)
    if let transportSecurity { whole.addTransportSecurity(transportSecurity) }
    if exchange?.method != .head { whole.append(body) }
    sendHead(whole)
    var nothing = ByteBuffer()
    end(.complete, &nothing, closing: nil)
  }

  // MARK: - Whether the client keeps up

  var queuedBytes: Int { connection.queuedBytes }

  func setLowWaterMark(_ bytes: Int) { connection.lowWaterMark = bytes }

  func measureProgress(with watch: inout SendWatch, _ now: MonotonicTime) {
    watch.measureProgress(of: connection, now)
  }

  func probe() { response.probe() }

  func exchangeNeedsTime() { wakeUp(at: context.loop.now) }
}

extension ClientConnectionMachine.AfterAnswer {
  fileprivate var closing: ClosingMachine.AfterFlush {
    switch self {
    case .keep: .keep
    case .linger: .linger
    case .abort: .abort
    }
  }
}

extension ByteBuffer {
  /// Adds the field to a head that is complete (RFC 6797, 6.1).
  fileprivate mutating func addTransportSecurity(_ value: String) {
    truncate(to: count - 2)
    append("Strict-Transport-Security: " as StaticString)
    append(value)
    append("\r\n\r\n" as StaticString)
  }
}
