internal import Bytes
internal import Loop
internal import Sockets
internal import Time

/// One connection of a scripted backend: reads requests one after the other and plays a script for each.
final class BackendConnection: ConnectionHandler, TimerQueueMember {
  /// Bytes waiting for the client beyond which a script pauses.
  private static let highWaterMark = 256 * 1024
  private static let bodyKept = 1 << 20
  private static let unreadLimit = 4 << 20

  private let connection: any Connection
  private unowned let server: BackendServer
  private let number: Int
  private var unread: [UInt8] = []
  private var request: RecordedRequest?
  private var body: WireBody?
  private var cursor: ScriptCursor?
  private var framing = Script.Framing.chunked
  private var script = Script([])
  private var waitsForDrain = false
  private var peerHasFinished = false
  /// The script waits for the client to go away, or has ended the connection from this side.
  private var isStalled = false
  private var isClosed = false

  init(_ connection: any Connection, server: BackendServer, number: Int) {
    self.connection = connection
    self.server = server
    self.number = number
  }

  func start() {
    connection.handler = self
    connection.startReading()
  }

  /// Closes at once, whatever is going on.
  func abandon() {
    finishRequest(.abandoned)
    close()
  }

  // MARK: What the socket says

  func connectionReceived(_ input: InputBuffer) {
    unread += [UInt8](copying: input.bytes)
    if unread.count > Self.unreadLimit { return abandon() }
    readRequests()
  }

  func timeCame() {
    resume()
  }

  func connectionDrained() {
    guard waitsForDrain else { return }
    waitsForDrain = false
    resume()
  }

  func connectionEnded(_ end: ConnectionEnd) {
    if let request { server.log.update(request.number) { $0.peerClosedAt = server.loop.readClock() } }
    guard case .finished = end else { return abandon() }
    peerHasFinished = true
    // A client that only closed its sending side still wants its answer; one that is gone shows by the next write.
    if cursor == nil || isStalled { abandon() }
  }

  // MARK: Requests

  private func readRequests() {
    while !isClosed, !isStalled, cursor == nil {
      if request == nil {
        guard let (head, length) = WireHead.parse(unread) else { return }
        unread.removeFirst(length)
        begin(head)
      }
      guard readBody() else { return }
      choose()
    }
  }

  private func begin(_ head: WireHead) {
    let now = server.loop.readClock()
    request = server.log.add { RecordedRequest(number: $0, connection: number, head: head, startedAt: now) }
    body = WireBody(head.isChunked ? .chunked : .length(head.length ?? 0))
    if head.value("Expect")?.lowercased() == "100-continue" { write("HTTP/1.1 100 Continue\r\n\r\n") }
  }

  /// Whether the body is complete.
  private func readBody() -> Bool {
    guard var reader = body else { return false }
    var piece: [UInt8] = []
    unread.removeFirst(reader.take(unread[...], into: &piece))
    body = reader
    if !piece.isEmpty, var record = request {
      record.bodyLength += piece.count
      record.body += piece.prefix(max(0, Self.bodyKept - record.body.count))
      request = record
      server.log.update(record.number) { $0 = record }
    }
    if case .broken = reader.state { abandon() }
    return reader.state == .complete
  }

  private func choose() {
    guard let request else { return }
    server.log.update(request.number) { $0.state = .playing }
    script = server.choose(request)
    cursor = ScriptCursor(script)
    play()
  }

  private func finishRequest(_ state: RecordedRequest.State) {
    guard let request else { return }
    self.request = nil
    server.log.update(request.number) { record in
      record.state = state
      record.endedAt = server.loop.readClock()
    }
  }

  // MARK: Playing

  private func resume() {
    play()
    readRequests()
  }

  private func play() {
    while !isClosed, cursor != nil {
      if connection.queuedBytes > Self.highWaterMark {
        waitsForDrain = true
        return
      }
      guard let move = cursor?.next() else { return }
      switch move {
      case .head(let head): writeHead(head)
      case .body(let bytes): writeBody(bytes)
      case .raw(let bytes): connection.write(bytes.span)
      case .stamped(let size, let count): writeStamped(size: size, count: count)
      case .wait(let time): return wait(time)
      case .stall:
        isStalled = true
        if peerHasFinished { abandon() }
        return
      case .finish(let end): finish(end)
      }
    }
  }

  private func wait(_ time: Nanoseconds) {
    server.timers.schedule(self, after: time)
  }

  private func finish(_ end: Script.End) {
    let keeps = end == .clean && framing != .untilClose && request?.head.keepsConnection == true
    if end == .clean, framing == .chunked, !isBodiless { write("0\r\n\r\n") }
    if end == .midChunk { write("40\r\ndata: the rest of this chunk is") }
    cursor = nil
    finishRequest(.finished(end))
    if end == .cut || end == .unannounced {
      if end == .cut { connection.reset() }
      close()
    } else if !keeps {
      isStalled = true
      connection.finishWriting()
      if peerHasFinished { close() }
    }
  }

  private func close() {
    guard !isClosed else { return }
    isClosed = true
    cursor = nil
    connection.close()
    server.forget(self)
  }
}

// MARK: Writing

extension BackendConnection {
  private var isBodiless: Bool { request?.method == "HEAD" }

  private func write(_ text: String) {
    connection.write(text.utf8Span.span)
  }

  private func writeHead(_ head: Script.Head) {
    framing = head.framing
    let length = script.bodyLength
    server.send(to: connection) { out in
      out.append("HTTP/1.1 \(head.status) \(head.status == 200 ? "OK" : "Scripted")\r\n")
      for field in head.fields { out.append("\(field.name): \(field.value)\r\n") }
      switch head.framing {
      case .chunked: out.append("Transfer-Encoding: chunked\r\n\r\n")
      case .length(let announced): out.append("Content-Length: \(announced ?? length)\r\n\r\n")
      case .untilClose: out.append("Connection: close\r\n\r\n")
      }
    }
  }

  private func writeBody(_ bytes: [UInt8]) {
    guard !isBodiless, !bytes.isEmpty else { return }
    guard framing == .chunked else { return connection.write(bytes.span) }
    server.send(to: connection) { out in
      out.append(hexadecimal: bytes.count)
      out.append("\r\n")
      out.append(bytes)
      out.append("\r\n")
    }
  }

  private func writeStamped(size: Int, count: Int) {
    guard !isBodiless, count > 0 else { return }
    let now = server.loop.readClock()
    let isChunked = framing == .chunked
    server.send(to: connection) { out in
      if isChunked {
        out.append(hexadecimal: max(size, StampedEvent.minimumSize) * count)
        out.append("\r\n")
      }
      for _ in 0..<count { StampedEvent.write(at: now, size: size, to: &out) }
      if isChunked { out.append("\r\n") }
    }
  }
}
