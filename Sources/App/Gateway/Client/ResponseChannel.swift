import Bytes
import HTTP
import Loop
import Sockets
import Streams

/// The way of one answer to its client: framing, and what of it has been sent.
///
/// Writes to the connection at once, from where the bytes are.
struct ResponseChannel: ~Copyable {
  private let connection: any Connection
  private(set) var framing = BodyFraming.none
  private(set) var headIsSent = false
  /// Whether an answer is being written; what comes before or after it is dropped.
  private(set) var isOpen = false
  private var prefixSent = 0

  init(connection: any Connection) {
    self.connection = connection
  }

  /// Begins the next answer.
  mutating func open() {
    isOpen = true
    headIsSent = false
    prefixSent = 0
    framing = .none
  }

  /// Drops whatever would still be written.
  mutating func close() { isOpen = false }

  mutating func prepare(framing: BodyFraming) { self.framing = framing }

  // MARK: - Writing

  /// Sends an answer's head, which is in `head` and starts with `HTTP1Head.responseStart`.
  mutating func sendHead(_ head: borrowing ByteBuffer) {
    guard isOpen, !headIsSent else { return }
    headIsSent = true
    head.withSpan { connection.write($0.extracting(droppingFirst: prefixSent)) }
  }

  /// Tells the client to send the body that it announced (RFC 9110, 10.1.1).
  func sendContinue() {
    guard isOpen, !headIsSent, prefixSent == 0 else { return }
    var head = ByteBuffer()
    HTTP1Head.writeInformational(100, into: &head)
    head.withSpan { connection.write($0) }
  }

  /// Sends a piece of body that is in `input`, from there.
  func sendBody(_ input: InputBuffer, _ range: Range<Int>) {
    guard isOpen else { return }
    if framing == .chunked {
      connection.write(input.chunk(around: range))
    } else {
      connection.write(input.slice(range))
    }
  }

  /// Sends a piece of body that was built, and empties `out`.
  func sendBody(_ out: inout ByteBuffer) {
    guard isOpen, !out.isEmpty else { return out.removeAll() }
    if framing == .chunked { out.frameAsChunk() }
    connection.write(out.span)
    out.removeAll()
  }

  /// Sends a piece of body from where it is.
  func sendBody(_ bytes: Span<UInt8>) {
    guard isOpen, !bytes.isEmpty else { return }
    guard framing == .chunked else { return connection.write(bytes) }
    var frame = ByteBuffer()
    ChunkedEncoder.appendHeader(size: bytes.count, to: &frame)
    let length = frame.count
    ChunkedEncoder.appendTrailer(to: &frame)
    connection.write(frame.span.extracting(first: length), bytes, frame.span.extracting(droppingFirst: length))
  }

  /// Sends what remains of the body in `out` and, if it is complete, its end.
  ///
  /// What the loop has gathered leaves with it, so that the connection knows then what the socket did not take.
  ///
  /// - Parameter isLast: the connection's sending side ends with it.
  mutating func finish(_ end: BodyEnd, _ out: inout ByteBuffer, isLast: Bool) {
    guard isOpen else { return out.removeAll() }
    isOpen = false
    if framing == .chunked {
      if !out.isEmpty { out.frameAsChunk() }
      if end == .complete { ChunkedEncoder.appendLast(to: &out) }
    }
    if isLast { connection.finishWriting(with: out.span) } else { connection.write(out.span) }
    connection.flush()
    out.removeAll()
  }

  /// Sends the first bytes of whatever comes next, to learn whether a client that finished sending still listens: one
  /// that is gone answers with a reset. The status line's beginning and a chunk size's leading zero are the same for
  /// every continuation, so no byte of the answer changes.
  mutating func probe() {
    guard isOpen else { return }
    var start = ByteBuffer()
    if !headIsSent {
      guard prefixSent == 0 else { return }
      start.append(HTTP1Head.responseStart)
      prefixSent = start.count
    } else if framing == .chunked {
      start.append("0")
    }
    start.withSpan { connection.write($0) }
  }
}
