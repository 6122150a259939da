import Bytes
import FermataClientCore
import HTTP
import Loop
import Sockets

/// One response, whatever carries it.
protocol TailAnswer: AnyObject {
  /// Whose response it is.
  var exchange: Int { get }
  /// Begins to read.
  func start()
  /// Closes; the session is told nothing more.
  func close()
}

/// One response: takes the body out of what comes on its connection.
final class TailResponse: TailAnswer, ConnectionHandler {
  let exchange: Int
  private let connection: any Connection
  private let method: HTTP.Method
  private unowned let session: TailSession
  private var headParser = ResponseHeadParser()
  private var body: BodyDecoder?
  private var isOver = false

  init(_ exchange: Int, connection: any Connection, method: HTTP.Method, session: TailSession) {
    self.exchange = exchange
    self.connection = connection
    self.method = method
    self.session = session
  }

  func start() {
    connection.handler = self
    connection.startReading()
  }

  func close() {
    guard !isOver else { return }
    isOver = true
    connection.close()
  }

  private func end(isWhole: Bool, _ why: String = "") {
    guard !isOver else { return }
    close()
    session.over(exchange, isWhole: isWhole, why)
  }

  func connectionReceived(_ input: InputBuffer) {
    do {
      var offset = 0
      while body == nil, offset < input.count {
        guard case .complete(let head, let consumed) = try headParser.parse(input.slice(offset..<input.count)) else {
          return
        }
        offset += consumed
        receive(head)
        if isOver { return }
      }
      try readBody(input, from: offset)
    } catch {
      end(isWhole: false, "the answer is malformed: \(error)")
    }
  }

  private func receive(_ head: consuming ResponseHead) {
    if head.isInformational { return }
    body = BodyDecoder(framing: BodyFraming.ofResponse(head, to: method), side: .response)
    var fields: [(name: String, value: String)] = []
    for index in head.fields.indices {
      fields.append((String(copying: head.fields.name(at: index)), String(copying: head.fields.value(at: index))))
    }
    session.headCame(exchange, Head(status: head.status, fields: fields))
  }

  private func readBody(_ input: InputBuffer, from offset: Int) throws(HTTP1Error) {
    guard var decoder = body else { return }
    let decoded = try input.withMutableBytes { bytes throws(HTTP1Error) in try decoder.decode(&bytes, from: offset) }
    body = decoder
    session.received(exchange, Array(copying: input.slice(decoded.payload)))
    if let fault = decoded.fault { return end(isWhole: false, "the answer is malformed: \(fault)") }
    if decoded.isComplete { end(isWhole: true) }
  }

  func connectionDrained() {}

  func connectionEnded(_ end: ConnectionEnd) {
    switch end {
    case .failed(let error): self.end(isWhole: false, "\(error)")
    case .finished:
      guard let body else { return self.end(isWhole: false, "the server closed the connection without an answer") }
      let isWhole = body.inputClosed() == .complete
      self.end(isWhole: isWhole, "the connection was closed before the answer was complete")
    }
  }
}
