import Bytes
package import Time

/// What a connection has still to send: the bytes that its socket has not taken, and the end behind them.
///
/// Holds no memory while it is empty. It only keeps the account; the connection does the sending.
package struct SendQueue: ~Copyable {
  /// How far the sending side has come.
  package enum Stage: UInt8, Sendable {
    /// Takes bytes. → ending
    case open
    /// Takes no more; the end waits until the bytes before it have gone. → ended
    case ending
    /// The end has been handed to the kernel.
    case ended
  }

  package var stage = Stage.open
  private var lowMark: UInt32 = 0
  private var buffer = ByteBuffer()
  /// When the socket last took something out of the queue, or the queue began.
  package private(set) var lastProgress: MonotonicTime

  package init(at now: MonotonicTime) {
    lastProgress = now
  }

  package var count: Int { buffer.count }
  package var isEmpty: Bool { buffer.isEmpty }

  /// The bytes that wait, oldest first.
  package var span: Span<UInt8> {
    @_lifetime(borrow self)
    get { buffer.span }
  }

  /// The length down to which the queue has to fall before its owner is told, if it was longer. 0: until it is empty.
  package var lowWaterMark: Int {
    get { Int(lowMark) }
    set { lowMark = UInt32(clamping: newValue) }
  }

  package mutating func append(_ bytes: Span<UInt8>, at now: MonotonicTime) {
    if buffer.isEmpty { lastProgress = now }
    buffer.append(bytes)
  }

  /// The socket has taken the first `length` bytes. With the last one goes the memory.
  package mutating func removeFirst(_ length: Int, at now: MonotonicTime) {
    lastProgress = now
    buffer.removeFirst(length)
    if buffer.isEmpty { buffer.release() }
  }

  package mutating func removeAll() {
    buffer.release()
  }

  /// Whether the queue has become empty or passed its low mark since it held `before` bytes.
  package func hasDrained(from before: Int) -> Bool {
    (before > 0 && isEmpty) || (before > lowWaterMark && count <= lowWaterMark)
  }
}
