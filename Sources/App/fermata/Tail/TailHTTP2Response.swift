import Bytes
import FermataClientCore
import HTTP
import HTTP2
import Loop
import Sockets

/// One response over an HTTP/2 connection of its own.
final class TailHTTP2Response: TailAnswer, ConnectionHandler, HTTP2Sink {
  let exchange: Int
  private let connection: any Connection
  private let http2: HTTP2ClientSession
  private unowned let session: TailSession
  private var frames = ByteBuffer()
  private var isOver = false

  /// - Throws: when there is no memory for it, or the request is none.
  init(
    _ exchange: Int, _ request: HTTP2Request, connection: any Connection, session: TailSession
  ) throws(HTTP2SessionError) {
    self.exchange = exchange
    self.connection = connection
    self.session = session
    http2 = try HTTP2ClientSession()
    _ = try http2.request(request)
  }

  func start() {
    connection.handler = self
    flush()
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

  /// A request of `tail` has none.
  var takesBody: Bool { true }

  func write(_ bytes: Span<UInt8>) { frames.append(bytes) }

  private func flush() {
    do throws(HTTP2SessionError) {
      try http2.write(to: self)
    } catch {
      return end(isWhole: false, "\(error)")
    }
    guard !frames.isEmpty else { return }
    connection.write(frames.span)
    frames.removeAll()
  }

  func connectionReceived(_ input: InputBuffer) {
    do throws(HTTP2SessionError) {
      try http2.receive(input.bytes)
    } catch {
      return end(isWhole: false, "the answer is malformed: \(error)")
    }
    while !isOver, let event = http2.nextEvent() { take(event, input) }
    if !isOver { flush() }
  }

  private func take(_ event: HTTP2ClientEvent, _ input: InputBuffer) {
    switch event {
    case .head(_, let status, let fields):
      var list: [(name: String, value: String)] = []
      for index in fields.indices {
        list.append((String(copying: fields.name(at: index)), String(copying: fields.value(at: index))))
      }
      session.headCame(exchange, Head(status: status, fields: list))
    case .data(_, let range): session.received(exchange, Array(copying: input.slice(range)))
    case .ended: end(isWhole: true)
    case .reset(_, let code): end(isWhole: false, "the stream was reset: \(code)")
    // What has begun goes on.
    case .goAway: break
    case .over: end(isWhole: false, "the server ended the connection before the answer was complete")
    }
  }

  func connectionDrained() {}

  func connectionEnded(_ end: ConnectionEnd) {
    switch end {
    case .failed(let error): self.end(isWhole: false, "\(error)")
    case .finished: self.end(isWhole: false, "the connection was closed before the answer was complete")
    }
  }
}
