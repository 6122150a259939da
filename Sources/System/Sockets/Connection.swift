import Bytes
package import Loop
package import Time

/// How a connection came to its end, or one half of it.
package enum ConnectionEnd: Equatable, Sendable {
  /// The peer's FIN: nothing more to read, writing may go on. Not a cancellation.
  case finished
  /// Reset, timed out, broken pipe: both directions are over.
  case failed(SocketError)
}

/// How far what was written has got.
package struct SendProgress: Equatable, Sendable {
  /// Bytes in this process's queue.
  package var queued: Int
  /// Bytes the kernel has and the peer has not acknowledged (SIOCOUTQ; a FIN counts as one).
  package var unacknowledged: Int

  package init(queued: Int, unacknowledged: Int) {
    self.queued = queued
    self.unacknowledged = unacknowledged
  }

  /// Everything written has been acknowledged by the peer's kernel.
  package var isComplete: Bool { queued == 0 && unacknowledged == 0 }
}

/// Who is told what happens on a connection; always from the loop, never from inside a call on the connection.
package protocol ConnectionHandler: AnyObject {
  /// Bytes have come. `input.bytes` is valid during the call only and may be changed in place.
  func connectionReceived(_ input: InputBuffer)
  /// The unsent queue has become empty, or has fallen to `lowWaterMark` from above it.
  func connectionDrained()
  /// At most once with `.finished`, and after that at most once with `.failed`. After `.failed` only `close()` is of
  /// use.
  func connectionEnded(_ end: ConnectionEnd)
}

/// A byte stream to a peer, whatever carries it. Lives on one loop; everything may be called inside its own callbacks.
package protocol Connection: AnyObject {
  var loop: EventLoop { get }
  /// Retained until `close()` or `reset()`, which every handler must call in the end (or hand the connection over).
  var handler: (any ConnectionHandler)? { get set }

  func startReading()
  /// Stops reading, so that the kernel's buffers fill and the peer has to wait. A peer that goes away meanwhile is
  /// noticed at the next write, when reading starts again, or by `peerSign`.
  func pauseReading()
  var isReading: Bool { get }
  /// How much is read at a time; `nil`: as much as the loop's buffer holds. Over TLS a record at least.
  var readAllowance: ReadAllowance? { get set }
  /// The peer's FIN has been seen.
  var hasPeerFinished: Bool { get }

  /// Sends what the socket takes at once, copies the rest into the queue. While the loop gathers (`WriteGather`) it is
  /// sent with what is written after it. After `finishWriting`, a failure or `close` it does nothing.
  ///
  /// A failure is reported by `connectionEnded` after the current callback, never from inside this call.
  func write(_ bytes: Span<UInt8>)
  /// As `write` of all three, one behind the other: at once, and from where they are, if that is possible.
  func write(_ head: Span<UInt8>, _ bytes: Span<UInt8>, _ tail: Span<UInt8>)
  /// Sends what the loop has gathered for this connection, so that `queuedBytes` says what the socket did not take.
  func flush()
  /// Bytes written but not taken by the socket yet, without those that the loop gathers.
  var queuedBytes: Int { get }
  /// `connectionDrained` also comes when the queue falls to this many bytes. Default 0: only when it is empty.
  var lowWaterMark: Int { get set }
  /// Sends FIN once the queue is empty.
  func finishWriting()
  /// Sends the last bytes, and FIN behind them: in the same segment, where that is possible.
  func finishWriting(with bytes: Span<UInt8>)
  /// The FIN has been handed to the kernel.
  var hasFinishedWriting: Bool { get }
  var sendProgress: SendProgress { get }
  /// Bytes that the peer's kernel has acknowledged since the connection was made; over TLS, those of its records.
  var acknowledgedBytes: UInt64 { get }
  /// What the peer has said, even if it stands behind input that is not read.
  var peerSign: PeerSign { get }
  /// When the socket last took something out of the queue, or the queue began; the loop's coarse time.
  var lastWriteProgress: MonotonicTime { get }

  /// Ends everything now; what is queued is lost. The handler is never called again. Idempotent.
  ///
  /// Input that was not read makes the kernel send RST, which may overtake what was sent: see `LingeringClose`.
  func close()
  /// Closes so that the peer sees RST: the visible cut of a body that ends with the connection.
  func reset()
  var isClosed: Bool { get }
  /// Both directions are over, whether or not the handler has been told yet.
  var hasFailed: Bool { get }

  var peerAddress: SocketAddress { get }
  var localAddress: SocketAddress { get }
}

extension Connection {
  package func write(_ head: Span<UInt8>, _ bytes: Span<UInt8>, _ tail: Span<UInt8>) {
    var whole = ByteBuffer()
    whole.reserve(head.count + bytes.count + tail.count)
    whole.append(head)
    whole.append(bytes)
    whole.append(tail)
    write(whole.span)
  }

  package func finishWriting(with bytes: Span<UInt8>) {
    write(bytes)
    finishWriting()
  }
}
