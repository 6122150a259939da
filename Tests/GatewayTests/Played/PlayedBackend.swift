import Bytes
import Gateway
import Loop
import Sockets
import Time
import Upstreams

/// Backends without sockets: each connection is made in the next turn of the loop, or refused where a test says so.
final class PlayedBackends: BackendDialer {
  let loop: EventLoop
  /// Whether new connections are refused.
  var refuses = false
  /// Whether new connections are neither made nor refused.
  var isSilent = false
  /// Every connection that was made, the oldest first.
  private(set) var connections: [PlayedConnection] = []
  private(set) var dials = 0
  /// The hosts that were dialed, in that order.
  private(set) var hosts: [String] = []
  /// The connection that was last sent something.
  fileprivate(set) weak var asked: PlayedConnection?

  init(loop: EventLoop) { self.loop = loop }

  func dial(
    host: String, port: UInt16, timeout: Nanoseconds,
    completion: @escaping (Result<any Connection, DialError>) -> Void
  ) -> any BackendDial {
    dials += 1
    hosts.append(host)
    let dial = PlayedDial()
    later(on: loop) { [self] in
      guard !dial.isCancelled, !isSilent else { return }
      if refuses {
        completion(.failure(DialError(host: host, port: port, reason: .timeout(nil))))
      } else {
        let connection = PlayedConnection(loop: loop)
        connection.backends = self
        connections.append(connection)
        completion(.success(connection))
      }
    }
    return dial
  }

  /// The connection that was made last.
  var last: PlayedConnection? { connections.last }
}

private final class PlayedDial: BackendDial {
  private(set) var isCancelled = false
  func cancel() { isCancelled = true }
}

/// Calls `body` in the next turn of the loop.
func later(on loop: EventLoop, _ body: @escaping () -> Void) { loop.callAfterThisCallback(PlayedTurn(body)) }

private final class PlayedTurn: TurnMember {
  private let body: () -> Void
  init(_ body: @escaping () -> Void) { self.body = body }
  func turnCame() { body() }
}

/// A connection whose other side is a test.
final class PlayedConnection: Connection {
  let loop: EventLoop
  var handler: (any ConnectionHandler)?
  private(set) var isReading = false
  private(set) var hasPeerFinished = false
  private(set) var hasFinishedWriting = false
  private(set) var isClosed = false
  private(set) var hasFailed = false
  private(set) var wasReset = false
  var readAllowance: ReadAllowance?
  private var sent: [UInt8] = []
  /// What the gateway has yet to read.
  private var waiting: [UInt8] = []
  private var readsLater = false
  /// Bytes that the gateway has read.
  private(set) var readBytes = 0
  /// The other side takes nothing, so that what it is sent waits.
  var isStuck = false
  private(set) var queuedBytes = 0
  var lowWaterMark = 0
  /// When the other side last took something.
  private(set) var lastWriteProgress: MonotonicTime
  /// Where it is a backend's.
  fileprivate weak var backends: PlayedBackends?

  init(loop: EventLoop) {
    self.loop = loop
    lastWriteProgress = loop.now
  }

  // MARK: - The backend's side

  /// Sends what the gateway reads when it reads next.
  func send(_ text: String) { send(Array(text.utf8)) }

  func send(_ bytes: [UInt8]) {
    waiting += bytes
    deliver()
  }

  /// Answers with an event stream that ends with its last chunk.
  func openStream(_ fields: String = "") {
    send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\(fields)\r\n")
  }

  func sendChunk(_ text: String) {
    send("\(String(text.utf8.count, radix: 16))\r\n\(text)\r\n")
  }

  func event(_ data: String) { sendChunk("data: \(data)\n\n") }

  func endStream() { send("0\r\n\r\n") }

  /// Ends the connection, in the middle of whatever it was.
  func finish() {
    hasPeerFinished = true
    handler?.connectionEnded(.finished)
  }

  /// The connection breaks.
  func fail() {
    hasFailed = true
    handler?.connectionEnded(.failed(.reset))
  }

  /// The other side takes what waits for it.
  func drain() {
    isStuck = false
    queuedBytes = 0
    lastWriteProgress = loop.now
    handler?.connectionDrained()
  }

  /// What the gateway has sent.
  var received: String { String(decoding: sent, as: UTF8.self) }

  /// What was received since this was last asked.
  func takeReceived() -> String { String(decoding: takeBytes(), as: UTF8.self) }

  func takeBytes() -> [UInt8] {
    defer { sent = [] }
    return sent
  }

  /// As a socket that has much to read: twice at most, and the rest in the next turn.
  private func deliver() {
    guard !readsLater else { return }
    for _ in 0..<2 where isReading && !isClosed && !waiting.isEmpty {
      let bytes = Array(waiting.prefix(readAllowance?.bytes ?? InputBuffer.capacity))
      waiting.removeFirst(bytes.count)
      readBytes += bytes.count
      loop.input.fill(bytes.span)
      handler?.connectionReceived(loop.input)
      loop.input.clear()
    }
    if isReading, !isClosed, !waiting.isEmpty { deliverLater() }
  }

  private func deliverLater() {
    guard !readsLater else { return }
    readsLater = true
    later(on: loop) { [self] in
      readsLater = false
      deliver()
    }
  }

  // MARK: - Connection

  func startReading() {
    isReading = true
    if !waiting.isEmpty { deliverLater() }
  }

  func pauseReading() { isReading = false }
  func write(_ bytes: Span<UInt8>) {
    guard !isClosed, !hasFinishedWriting, !hasFailed else { return }
    sent += [UInt8](copying: bytes)
    backends?.asked = self
    if isStuck { queuedBytes += bytes.count } else { lastWriteProgress = loop.now }
  }

  func flush() {}
  func finishWriting() { hasFinishedWriting = true }
  var sendProgress: SendProgress { SendProgress(queued: queuedBytes, unacknowledged: 0) }
  var acknowledgedBytes: UInt64 { 0 }
  var peerSign: PeerSign { hasPeerFinished ? .finished : .none }

  func close() {
    isClosed = true
    handler = nil
  }

  func reset() {
    wasReset = true
    close()
  }

  var peerAddress: SocketAddress { SocketAddress(v4: 0x7F00_0001, port: 1) }
  var localAddress: SocketAddress { SocketAddress(v4: 0x7F00_0001, port: 2) }
}
