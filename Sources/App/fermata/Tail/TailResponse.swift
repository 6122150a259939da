import Bytes
import HTTP
import Loop
import SSE
import Sockets
import Time

/// One response: takes the events out of what comes on its connection.
final class TailResponse: ConnectionHandler, DeadlineMember {
  /// A server that keeps its streams alive is never silent for so long.
  private static let silenceLimit = Nanoseconds.seconds(90)
  /// The largest event that is put together.
  private static let eventLimit = 16 << 20

  private let connection: any Connection
  private let method: HTTP.Method
  private unowned let session: TailSession
  private var headParser = ResponseHeadParser()
  private var body: BodyDecoder?
  private var parser = EventParser(limit: eventLimit)
  private var deadline: DeadlineHandle?
  private var lastInput: MonotonicTime
  private var isOver = false

  init(connection: any Connection, method: HTTP.Method, session: TailSession) {
    self.connection = connection
    self.method = method
    self.session = session
    lastInput = connection.loop.now
  }

  func start() {
    connection.handler = self
    lastInput = connection.loop.readClock()
    deadline = connection.loop.deadlines.add(self, at: lastInput + Self.silenceLimit)
    connection.startReading()
  }

  /// Closes; the session is told nothing more.
  func close() {
    guard !isOver else { return }
    isOver = true
    if let deadline { connection.loop.deadlines.remove(deadline) }
    connection.close()
  }

  private func end(_ ending: TailMachine.Ending) {
    guard !isOver else { return }
    close()
    session.ended(ending)
  }

  func connectionReceived(_ input: InputBuffer) {
    lastInput = connection.loop.now
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
      end(.cut("the answer is malformed: \(error)"))
    }
  }

  private func receive(_ head: consuming ResponseHead) {
    if head.isInformational { return }
    body = BodyDecoder(framing: BodyFraming.ofResponse(head, to: method), side: .response)
    session.headCame(
      TailMachine.Head(
        status: head.status, isEventStream: head.isEventStream, streamID: head.fields.string(.xStreamID),
        mode: head.fields.string(.xStreamMode), resumePath: head.fields.string(.xStreamResume),
        retryAfter: head.fields.string(.retryAfter).flatMap { Int($0) }))
  }

  private func readBody(_ input: InputBuffer, from offset: Int) throws(HTTP1Error) {
    guard var decoder = body else { return }
    let decoded = try input.withMutableBytes { bytes throws(HTTP1Error) in try decoder.decode(&bytes, from: offset) }
    body = decoder
    readEvents(input.slice(decoded.payload))
    if let fault = decoded.fault { return end(.cut("the answer is malformed: \(fault)")) }
    if decoded.isComplete { end(.clean) }
  }

  private func readEvents(_ bytes: Span<UInt8>) {
    var offset = 0
    while !isOver {
      switch parser.next(in: bytes, at: &offset) {
      case .needsMore: return
      case .tooLarge: return end(.cut("an event is larger than \(Self.eventLimit) bytes"))
      case .event(let event) where event.isCarried: parser.withCarried { report(event, $0) }
      case .event(let event): report(event, bytes)
      }
    }
  }

  private func report(_ event: Event, _ bytes: Span<UInt8>) {
    let block = TailBlock(bytes.extracting(event.range))
    if let retry = block.retry { session.retryCame(retry) }
    guard event.isDispatched else {
      if let id = block.id { session.idCame(id) }
      return
    }
    session.eventCame(type: block.type, data: block.data.joined(separator: "\n"), id: block.id)
  }

  func connectionDrained() {}

  func connectionEnded(_ end: ConnectionEnd) {
    switch end {
    case .failed(let error): self.end(.cut("\(error)"))
    case .finished:
      guard let body else { return self.end(.cut("the server closed the connection without an answer")) }
      let isComplete = body.inputClosed() == .complete
      self.end(isComplete ? .clean : .cut("the connection was closed before the answer was complete"))
    }
  }

  func deadlinePassed(at now: MonotonicTime) -> MonotonicTime? {
    let due = lastInput + Self.silenceLimit
    if now < due { return due }
    end(.cut("nothing came for \(Int(Self.silenceLimit.seconds)) seconds"))
    return nil
  }
}

/// The fields of one block, as a client takes them (WHATWG HTML, 9.2.6).
struct TailBlock {
  /// `message` when the block names none.
  private(set) var type = "message"
  private(set) var data: [String] = []
  private(set) var id: String?
  private(set) var retry: Nanoseconds?

  init(_ block: Span<UInt8>) {
    var start = 0
    while start < block.count {
      let end = block.firstIndex(ofEither: 0x0A, or: 0x0D, from: start)
      take(block.extracting(start..<end))
      start = end + 1
    }
  }

  private mutating func take(_ line: Span<UInt8>) {
    let colon = line.firstIndex(of: UInt8(ascii: ":")) ?? line.count
    var value = line.extracting(droppingFirst: min(colon + 1, line.count))
    if value.count > 0, value[0] == 0x20 { value = value.extracting(droppingFirst: 1) }
    let name = line.extracting(first: colon)
    if name.equals("data") {
      data.append(String(copying: value))
    } else if name.equals("event") {
      type = value.isEmpty ? "message" : String(copying: value)
    } else if name.equals("id"), value.firstIndex(of: 0) == nil {
      id = String(copying: value)
    } else if name.equals("retry"), let milliseconds = value.decimalValue {
      retry = .milliseconds(milliseconds)
    }
  }
}
