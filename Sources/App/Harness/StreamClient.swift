internal import Bytes
internal import HTTP2
package import Loop
package import Sockets
import TLS
internal import Time

/// One request on a connection of its own, on a loop, read to its end or left early.
///
/// Retains itself from `start` to its end.
package final class StreamClient: ConnectionHandler {
  private let loop: EventLoop
  private let address: SocketAddress
  /// The first and those pipelined behind it.
  private let requests: [ClientRequest]
  private let behaviour: ClientBehaviour
  private let completion: (ClientResult) -> Void
  private lazy var limit = Timer(loop: loop) { [unowned self] in finish(.timedOut) }
  private lazy var pause = Timer(loop: loop) { [unowned self] in connection?.startReading() }
  private lazy var leave = Timer(loop: loop) { [unowned self] in hangUp() }
  private var attempt: DialAttempt?
  private var connection: (any Connection)?
  private var handshake: TLSHandshake?
  private var unread: [UInt8] = []
  private var body: WireBody?
  /// Over HTTP/2.
  private var exchange: HTTP2Exchange?
  private var keeper: StreamClient?
  /// Called when more of the body has come. May take out what it has read, so that an endless body needs no endless
  /// memory.
  package var bodyCame: ((inout [UInt8]) -> Void)?
  /// What has come so far.
  package private(set) var result = ClientResult()

  /// - Parameter completion: called once, on the loop.
  package init(
    loop: EventLoop, address: SocketAddress, request: ClientRequest, behaviour: ClientBehaviour = ClientBehaviour(),
    completion: @escaping (ClientResult) -> Void
  ) {
    self.loop = loop
    self.address = address
    requests = [request] + behaviour.pipelined
    self.behaviour = behaviour
    self.completion = completion
  }

  package func start() {
    keeper = self
    result.startedAt = loop.readClock()
    limit.schedule(after: behaviour.timeout)
    attempt = Dialer(loop: loop).connect(
      to: [address], host: address.host, timeout: behaviour.timeout
    ) { [unowned self] outcome in
      connected(outcome)
    }
  }

  /// Closes now.
  package func hangUp() {
    if behaviour.resets { connection?.reset() } else { exchange?.cancel() }
    finish(.hungUp)
  }

  private func connected(_ outcome: Result<TCPConnection, DialError>) {
    attempt = nil
    switch outcome {
    case .failure(let error): finish(.unreachable("\(error)"))
    case .success(let connection):
      guard let context = behaviour.tls else { return begin(on: connection) }
      handshake = TLSConnection.connect(
        over: connection, context: context, serverName: "localhost", timeout: behaviour.timeout
      ) { [unowned self] outcome in
        handshake = nil
        switch outcome {
        case .failure(let error): finish(.unreachable("\(error)"))
        case .success(let secured):
          result.isResumed = secured.isResumed
          begin(on: secured)
        }
      }
    }
  }

  private func begin(on connection: any Connection) {
    self.connection = connection
    connection.handler = self
    if behaviour.speaksHTTP2 { return beginHTTP2(on: connection) }
    for request in requests { send(request, on: connection) }
    if behaviour.halfCloses { connection.finishWriting() }
    connection.startReading()
  }

  /// The host that requests name. The path of a socket in the file system is no host.
  private var authority: String { address.isUnix ? "localhost" : "\(address)" }

  package func connectionDrained() {}

  package func connectionReceived(_ input: InputBuffer) {
    if result.firstByteAt == nil {
      result.firstByteAt = loop.readClock()
      if let delay = behaviour.hangsUpAfter { leave.schedule(after: delay) }
    }
    result.wireBytes += input.count
    if exchange != nil {
      takeFrames(input)
    } else {
      unread += [UInt8](copying: input.bytes)
      readHead()
      readBody()
    }
    if let interval = behaviour.readInterval {
      connection?.pauseReading()
      pause.schedule(after: interval)
    }
    if let limit = behaviour.stopsReadingAfter, result.body.count >= limit { connection?.pauseReading() }
  }

  package func connectionEnded(_ end: ConnectionEnd) {
    switch end {
    case .failed: finish(.reset)
    case .finished:
      if exchange != nil { return finish(.truncated) }
      guard let body else { return finish(result.wireBytes == 0 ? .truncated : .malformed("no head")) }
      finish(body.mayEndByClose ? .clean : .truncated)
    }
  }

  private func readHead() {
    while body == nil, let (head, length) = WireHead.parse(unread) {
      unread.removeFirst(length)
      if head.status >= 100, head.status < 200, head.status != 101 {
        result.interim.append(head.status)
        continue
      }
      result.head = head
      result.headAt = loop.readClock()
      guard head.status > 0 else { return finish(.malformed("no status")) }
      let isBodiless = requests[result.earlier.count].method == "HEAD" || head.status == 204 || head.status == 304
      body = WireBody(
        isBodiless ? .length(0) : head.isChunked ? .chunked : head.length.map { .length($0) } ?? .untilClose)
    }
  }

  private func readBody() {
    guard var reader = body else { return }
    let before = result.body.count
    unread.removeFirst(reader.take(unread[...], into: &result.body))
    body = reader
    if let bodyCame {
      // The callback may look at the result meanwhile.
      var bytes = [UInt8]()
      swap(&bytes, &result.body)
      bodyCame(&bytes)
      result.body = bytes
    }
    if hangsUp(behind: before) { return hangUp() }
    switch reader.state {
    case .open: break
    case .complete: completeResponse()
    case .broken(let how): finish(.malformed(how))
    }
  }

  // MARK: - HTTP/2

  private func beginHTTP2(on connection: any Connection) {
    guard let request = requests.first, requests.count == 1, request.raw == nil,
      let exchange = HTTP2Exchange(
        request, authority: authority, scheme: behaviour.tls == nil ? "http" : "https", over: connection)
    else { return finish(.unreachable("not a request for HTTP/2")) }
    self.exchange = exchange
    exchange.flush()
    connection.startReading()
  }

  private func takeFrames(_ input: InputBuffer) {
    guard let exchange else { return }
    guard exchange.receive(input) else { return finish(.malformed("not HTTP/2")) }
    while keeper != nil, let event = exchange.nextEvent() { take(event, input) }
  }

  private func take(_ event: HTTP2ClientEvent, _ input: InputBuffer) {
    switch event {
    case .head(_, let status, let fields):
      result.head = HTTP2Exchange.head(status, fields)
      result.headAt = loop.readClock()
    case .data(_, let range):
      let before = result.body.count
      result.body += [UInt8](copying: input.bytes.extracting(range))
      if hangsUp(behind: before) { hangUp() }
    case .ended: finish(result.head.status > 0 ? .clean : .malformed("no head"))
    case .reset(_, let code):
      result.resetCode = code.rawValue
      finish(.truncated)
    case .goAway: break
    case .over: finish(.truncated)
    }
  }

  private func completeResponse() {
    guard result.earlier.count + 1 < requests.count else {
      return finish(unread.isEmpty ? .clean : .malformed("bytes behind the response"))
    }
    var whole = result
    whole.endedAt = loop.readClock()
    whole.earlier = []
    var next = ClientResult()
    next.startedAt = result.startedAt
    next.earlier = result.earlier + [whole]
    result = next
    body = nil
    readHead()
    readBody()
  }

  private func send(_ request: ClientRequest, on connection: any Connection) {
    let bytes = request.bytes(host: authority)
    connection.write(bytes.span)
  }

  /// Whether the body now holds the text at which the client hangs up, ending behind `start`. What came in the same read
  /// behind that text is not taken: such a client does not look at it.
  private func hangsUp(behind start: Int) -> Bool {
    guard let mark = behaviour.hangUpAt, !mark.isEmpty else { return false }
    let first = max(0, start - mark.count + 1)
    guard result.body.count >= first + mark.count else { return false }
    for index in first...result.body.count - mark.count where result.body[index] == mark[0] {
      let end = index + mark.count
      guard result.body[index..<end].elementsEqual(mark) else { continue }
      result.body.removeSubrange(end...)
      return true
    }
    return false
  }

  private func finish(_ end: ClientResult.End) {
    guard keeper != nil else { return }
    result.end = end
    result.endedAt = loop.readClock()
    limit.cancel()
    if behaviour.readInterval != nil { pause.cancel() }
    if behaviour.hangsUpAfter != nil { leave.cancel() }
    attempt?.cancel()
    handshake?.cancel()
    handshake = nil
    connection?.close()
    completion(result)
    keeper = nil
  }
}
