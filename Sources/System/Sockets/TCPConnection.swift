import Glibc
package import Loop
package import Time

/// A `Connection` over a plain TCP socket.
///
/// One `recv` a readable callback, straight into the loop's input buffer (a second only when the first filled it);
/// `write` is one `send` as long as the peer keeps up. Idle it holds no buffer.
package final class TCPConnection: Connection {
  package let loop: EventLoop
  package var handler: (any ConnectionHandler)?
  package let peerAddress: SocketAddress

  // Optional because making it needs `self`; set once by `init`.
  private var watch: SocketWatch?
  private let descriptor: Int32
  private var queue: SendQueue
  package var readAllowance: ReadAllowance?
  package private(set) var hasPeerFinished = false
  package private(set) var isClosed = false
  package private(set) var hasFailed = false
  /// Whether FIN is sent right after the bytes that are being written.
  private var finFollows = false
  /// Until the handler has been told.
  private var failure: SystemError?

  /// Takes over a connected, non-blocking socket. Reads nothing until `startReading`.
  package init(loop: EventLoop, descriptor: Int32, peer: SocketAddress) {
    self.loop = loop
    self.descriptor = descriptor
    peerAddress = peer
    queue = SendQueue(at: loop.now)
    watch = SocketWatch(loop: loop, descriptor: descriptor, handler: self)
  }

  deinit {
    guard !isClosed else { return }
    watch?.cancel()
    Glibc.close(descriptor)
  }

  package var localAddress: SocketAddress {
    let address = isClosed ? nil : try? SocketCalls.localAddress(of: descriptor).get()
    return address?.unmapped ?? SocketAddress(v4: 0, port: 0)
  }

  package var queuedBytes: Int { queue.count }
  package var hasFinishedWriting: Bool { queue.stage == .ended }
  package var lastWriteProgress: MonotonicTime { queue.lastProgress }
  package var isReading: Bool { watch?.isReading == true && !hasPeerFinished }

  package var lowWaterMark: Int {
    get { queue.lowWaterMark }
    set { queue.lowWaterMark = newValue }
  }

  package var sendProgress: SendProgress {
    guard !isClosed, !hasFailed else { return SendProgress(queued: queue.count, unacknowledged: 0) }
    return SendProgress(queued: queue.count, unacknowledged: SocketCalls.unacknowledgedBytes(of: descriptor))
  }

  package var acknowledgedBytes: UInt64 {
    isClosed || hasFailed ? 0 : SocketCalls.acknowledgedBytes(of: descriptor)
  }

  package var peerSign: PeerSign { isClosed || hasFailed ? .gone : SocketCalls.peerSign(of: descriptor) }

  package func startReading() {
    guard !isClosed, !hasFailed, !hasPeerFinished, let watch, !watch.isReading else { return }
    if !watch.startReading() { failLater(.last) }
  }

  /// Looks for input at once, as if the loop had said that there is some. Only from the loop, like any callback.
  package func readNow() {
    if isReading { socketBecameReadable() }
  }

  package func pauseReading() {
    guard !hasPeerFinished else { return }
    watch?.stopReading()
  }

  package func write(_ bytes: Span<UInt8>) {
    if loop.gather.isOn { return loop.gather.take(bytes, for: self) }
    write(bytes, flags: 0)
  }

  package func flush() { loop.gather.flush(self) }

  private func write(_ bytes: Span<UInt8>, flags: Int32) {
    guard !isClosed, !hasFailed, queue.stage == .open, bytes.count > 0 else { return }
    guard queue.isEmpty else {
      queue.append(bytes, at: loop.now)
      return
    }
    switch send(bytes, flags: flags) {
    case .success(let length):
      guard length < bytes.count else { return }
      queue.append(bytes.extracting(droppingFirst: length), at: loop.now)
      if watch?.startWriting() != true { failLater(.last) }
    case .failure(let error):
      failLater(error)
    }
  }

  package func write(_ head: Span<UInt8>, _ bytes: Span<UInt8>, _ tail: Span<UInt8>) {
    if loop.gather.isOn { return gather(head, bytes, tail) }
    guard !isClosed, !hasFailed, queue.stage == .open else { return }
    var sent = 0
    let wasEmpty = queue.isEmpty
    if wasEmpty {
      switch send(head, bytes, tail) {
      case .success(let length): sent = length
      case .failure(let error): return failLater(error)
      }
    }
    keep(head, after: &sent)
    keep(bytes, after: &sent)
    keep(tail, after: &sent)
    if wasEmpty, !queue.isEmpty, watch?.startWriting() != true { failLater(.last) }
  }

  private func gather(_ head: Span<UInt8>, _ bytes: Span<UInt8>, _ tail: Span<UInt8>) {
    write(head)
    write(bytes)
    write(tail)
  }

  /// Queues what is left of `bytes` behind the `sent` ones that have gone of these and of what follows.
  private func keep(_ bytes: Span<UInt8>, after sent: inout Int) {
    let gone = min(sent, bytes.count)
    sent -= gone
    if gone < bytes.count { queue.append(bytes.extracting(droppingFirst: gone), at: loop.now) }
  }

  package func finishWriting() {
    flush()
    guard !isClosed, !hasFailed, queue.stage == .open else { return }
    queue.stage = .ending
    if queue.isEmpty { sendFinish() }
  }

  package func finishWriting(with bytes: Span<UInt8>) {
    // Kept back by the kernel until FIN, a moment later, goes with them: one segment to send, to receive and to wake
    // the peer for instead of two.
    finFollows = true
    if loop.gather.isOn {
      loop.gather.take(bytes, for: self)
    } else {
      write(bytes, flags: Int32(MSG_MORE))
    }
    finishWriting()
    finFollows = false
  }

  package func close() {
    guard !isClosed else { return }
    flush()
    isClosed = true
    handler = nil
    watch?.cancel()
    queue.removeAll()
    Glibc.close(descriptor)
  }

  /// Gives the socket up, so that a connection on another loop or over another protocol can take it over.
  ///
  /// The handler is never called again, and this connection is as good as closed.
  /// - Returns: the descriptor, which is the caller's now; `nil` when there is none any more, or when something of it
  ///   would be lost: unsent bytes, a failure, the peer's FIN.
  package func detach() -> Int32? {
    flush()
    guard !isClosed, !hasFailed, !hasPeerFinished, queue.isEmpty, queue.stage == .open else { return nil }
    isClosed = true
    handler = nil
    watch?.cancel()
    return descriptor
  }

  package func reset() {
    guard !isClosed else { return }
    flush()
    SocketCalls.resetWhenClosed(descriptor)
    close()
  }

  private func sendFinish() {
    queue.stage = .ended
    // A socket that can't any more (ENOTCONN) reports why by itself.
    _ = shutdown(descriptor, Int32(SHUT_WR))
  }

  /// How many bytes the socket took; none when it is full.
  private func send(_ bytes: Span<UInt8>, flags: Int32 = 0) -> Result<Int, SystemError> {
    unsafe bytes.withUnsafeBufferPointer { buffer in
      repeatedly { unsafe Glibc.send(descriptor, buffer.baseAddress, buffer.count, Int32(MSG_NOSIGNAL) | flags) }
    }
  }

  private func send(
    _ head: Span<UInt8>, _ bytes: Span<UInt8>, _ tail: Span<UInt8>
  ) -> Result<Int, SystemError> {
    unsafe head.withUnsafeBufferPointer { head in
      unsafe bytes.withUnsafeBufferPointer { bytes in
        unsafe tail.withUnsafeBufferPointer { tail in
          var parts: [3 of iovec] = unsafe [iovec(head), iovec(bytes), iovec(tail)]
          return unsafe withUnsafeMutablePointer(to: &parts) { parts in
            let first = unsafe UnsafeMutableRawPointer(parts).assumingMemoryBound(to: iovec.self)
            var message = unsafe msghdr()
            unsafe message.msg_iov = first
            unsafe message.msg_iovlen = 3
            return repeatedly { unsafe sendmsg(descriptor, &message, Int32(MSG_NOSIGNAL)) }
          }
        }
      }
    }
  }

  private func repeatedly(_ send: () -> Int) -> Result<Int, SystemError> {
    while true {
      let length = send()
      if length >= 0 { return .success(length) }
      let error = SystemError.last
      if error.isWouldBlock { return .success(0) }
      if !error.isInterrupted { return .failure(error) }
    }
  }
}

extension iovec {
  fileprivate init(_ bytes: UnsafeBufferPointer<UInt8>) {
    unsafe self.init(iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count)
  }
}

extension TCPConnection: GatherMember {
  package func sendGathered(_ bytes: Span<UInt8>) { write(bytes, flags: finFollows ? Int32(MSG_MORE) : 0) }
}

// Failing.
extension TCPConnection: TurnMember {
  /// Ends both directions now, tells the handler after the current callback.
  private func failLater(_ error: SystemError) {
    guard !hasFailed else { return }
    stop(because: error)
    loop.callAfterThisCallback(self)
  }

  /// Ends both directions and tells the handler; only from the loop.
  private func fail(_ error: SystemError) {
    guard !hasFailed else { return }
    stop(because: error)
    reportFailure()
  }

  private func stop(because error: SystemError) {
    hasFailed = true
    failure = error
    watch?.cancel()
    queue.removeAll()
  }

  private func reportFailure() {
    guard !isClosed, let error = failure.take() else { return }
    handler?.connectionEnded(.failed(SocketError(error)))
  }

  package func turnCame() {
    reportFailure()
  }
}

// What the loop says.
extension TCPConnection: SocketWatchHandler {
  package func socketBecameReadable() {
    guard !hasPeerFinished else {
      // Past the peer's FIN only a reset is news. `recv` would go on saying "end" (SO_ERROR doesn't).
      if let error = SocketCalls.takeError(of: descriptor) { fail(error) }
      return
    }
    let input = loop.input
    // Twice at most, so that one busy connection leaves the others their turn.
    for _ in 0..<2 {
      guard receive(into: input), !isClosed, isReading, !hasFailed else { return }
    }
  }

  /// One read. Returns whether it filled the buffer, so that another may be worthwhile.
  private func receive(into input: InputBuffer) -> Bool {
    let descriptor = descriptor
    let limit = readAllowance?.bytes ?? InputBuffer.capacity
    let length = unsafe input.receive(upTo: limit) { unsafe recv(descriptor, $0, $1, 0) }
    if length > 0 {
      handler?.connectionReceived(input)
      return length >= limit
    }
    if length == 0 {
      peerFinished()
    } else {
      let error = SystemError.last
      if !error.isWouldBlock, !error.isInterrupted { fail(error) }
    }
    return false
  }

  private func peerFinished() {
    hasPeerFinished = true
    handler?.connectionEnded(.finished)
    // Most connections are closed by now; only those that go on need to hear of a reset.
    guard !isClosed, !hasFailed else { return }
    if watch?.watchForReset() != true { fail(SystemError(code: ENOMEM)) }
  }

  package func socketBecameWritable() {
    let before = queue.count
    // Until the socket is full: past the peer's FIN the watch is edge-triggered.
    while !queue.isEmpty {
      switch send(queue.span) {
      case .success(0):
        drained(from: before)
        return
      case .success(let length):
        queue.removeFirst(length, at: loop.now)
      case .failure(let error):
        fail(error)
        return
      }
    }
    watch?.stopWriting()
    if queue.stage == .ending { sendFinish() }
    drained(from: before)
  }

  private func drained(from before: Int) {
    if queue.hasDrained(from: before) { handler?.connectionDrained() }
  }
}
