import Glibc
package import Loop
package import Sockets
package import Time

/// A `Connection` over TLS, made by `connect` or `accept`.
///
/// One `recv` a readable callback, decrypted straight into the loop's input buffer; `write` is one `send` as long as the
/// peer keeps up. Idle it holds no buffer of its own, but OpenSSL's state of the connection.
///
/// The end of input is the peer's close_notify. A connection that ends without it has `.failed(.truncated)`.
package final class TLSConnection: Connection {
  package let loop: EventLoop
  package var handler: (any ConnectionHandler)?
  package let peerAddress: SocketAddress

  private let descriptor: Int32
  private let isClient: Bool
  // `nil` once closed.
  private var engine: TLSEngine?
  // Optional because making it needs `self`; set once by `init`.
  private var watch: SocketWatch?
  private var queue: SendQueue
  private var wantsInput = false
  /// OpenSSL can't read on before the socket takes something, or write on before something comes.
  private var readWaitsForWrite = false
  private var writeWaitsForRead = false
  /// Bytes came with the handshake, or the end came with the last bytes: no event will tell of them.
  private var hasLeftover: Bool
  private var heldStop: TLSEngine.ReadStop?
  package var readAllowance: ReadAllowance?
  package private(set) var hasPeerFinished = false
  package private(set) var isClosed = false
  package private(set) var hasFailed = false
  /// Until the handler has been told.
  private var failure: SocketError?

  /// Takes over a connected, non-blocking socket and the engine that has shaken hands on it.
  init(
    loop: EventLoop, descriptor: Int32, peer: SocketAddress, engine: consuming TLSEngine, role: TLSContext.Role
  ) {
    self.loop = loop
    self.descriptor = descriptor
    peerAddress = peer
    isClient = role == .client
    hasLeftover = engine.hasPending
    self.engine = consume engine
    queue = SendQueue(at: loop.now)
    watch = SocketWatch(loop: loop, descriptor: descriptor, handler: self)
  }

  deinit {
    guard !isClosed else { return }
    watch?.cancel()
    Glibc.close(descriptor)
  }

  /// Whether a session from before spared half of the handshake.
  package var isResumed: Bool { engine?.isResumed ?? false }
  /// What both sides agreed to speak (ALPN, RFC 7301); empty when nothing was asked for, or once closed.
  package var applicationProtocol: String { engine?.applicationProtocol ?? "" }
  /// `TLSv1.3` or `TLSv1.2`; empty once closed.
  package var version: String { engine?.version ?? "" }
  /// OpenSSL's name of the cipher; empty once closed.
  package var cipher: String { engine?.cipher ?? "" }

  /// What the client has shown; `nil` when it showed nothing, or once closed.
  package var peerCertificate: PeerCertificate? { engine?.peerCertificate }

  package var localAddress: SocketAddress {
    let address = isClosed ? nil : try? SocketCalls.localAddress(of: descriptor).get()
    return address?.unmapped ?? SocketAddress(v4: 0, port: 0)
  }

  package var queuedBytes: Int { queue.count }
  package var hasFinishedWriting: Bool { queue.stage == .ended }
  package var lastWriteProgress: MonotonicTime { queue.lastProgress }
  package var isReading: Bool { wantsInput && !hasPeerFinished && !hasFailed && !isClosed }

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
    guard !isClosed, !hasFailed, !hasPeerFinished, !wantsInput else { return }
    wantsInput = true
    if hasLeftover || heldStop != nil { loop.callAfterThisCallback(self) }
    if watch?.startReading() != true { failLater(SocketError(.last)) }
  }

  package func pauseReading() {
    wantsInput = false
    if !hasPeerFinished, !writeWaitsForRead { watch?.stopReading() }
  }

  package func write(_ bytes: Span<UInt8>) {
    if loop.gather.isOn { loop.gather.take(bytes, for: self) } else { send(bytes) }
  }

  package func flush() { loop.gather.flush(self) }

  private func send(_ bytes: Span<UInt8>) {
    guard !isClosed, !hasFailed, queue.stage == .open, bytes.count > 0 else { return }
    guard queue.isEmpty else {
      queue.append(bytes, at: loop.now)
      return
    }
    var stop = TLSEngine.WriteStop.none
    let length = engine?.write(bytes, stop: &stop) ?? 0
    if length < bytes.count { queue.append(bytes.extracting(droppingFirst: length), at: loop.now) }
    if let error = wait(for: stop) { failLater(error) }
  }

  package func finishWriting() {
    flush()
    guard !isClosed, !hasFailed, queue.stage == .open else { return }
    queue.stage = .ending
    if queue.isEmpty, let error = sendFinish() { failLater(error) }
  }

  package func finishWriting(with bytes: Span<UInt8>) {
    // The last record, close_notify and FIN leave as one segment.
    engine?.setMoreFollows(true)
    write(bytes)
    finishWriting()
    engine?.setMoreFollows(false)
  }

  /// A client says goodbye (close_notify) where that is possible at once. A server does not: its answer may end with
  /// the connection, and one that is closed before `finishWriting` must look cut.
  package func close() {
    guard !isClosed else { return }
    flush()
    if isClient, !hasFailed, queue.stage == .open, queue.isEmpty { _ = engine?.finish() }
    isClosed = true
    handler = nil
    watch?.cancel()
    queue.removeAll()
    engine = nil
    Glibc.close(descriptor)
  }

  package func reset() {
    guard !isClosed else { return }
    flush()
    SocketCalls.resetWhenClosed(descriptor)
    queue.stage = .ended
    close()
  }

  /// Arranges that writing goes on when it can. Returns why it can't.
  private func wait(for stop: TLSEngine.WriteStop) -> SocketError? {
    switch stop {
    case .none: return nil
    case .wantsWrite: return watch?.startWriting() == true ? nil : SocketError(.last)
    case .wantsRead:
      writeWaitsForRead = true
      if !readWaitsForWrite { watch?.stopWriting() }
      return watch?.startReading() == true ? nil : SocketError(.last)
    case .failed(let error): return lastWord(before: error)
    }
  }

  /// The alert with which the peer has closed, if there is one: writing may meet the reset behind it before it is read.
  private func lastWord(before error: SocketError) -> SocketError {
    guard error == .reset || error == .brokenPipe else { return error }
    var stop = TLSEngine.ReadStop.empty
    unsafe withUnsafeTemporaryAllocation(byteCount: 32 * 1024, alignment: 16) { buffer in
      guard let address = buffer.baseAddress else { return }
      _ = unsafe engine?.read(into: address, capacity: buffer.count, stop: &stop)
    }
    if case .failed(.alert(let alert)) = stop { return .alert(alert) }
    return error
  }

  /// Sends close_notify and FIN, now or when the socket can take them. Returns why that is not possible.
  private func sendFinish() -> SocketError? {
    let stop = engine?.finish() ?? .none
    if case .none = stop {
      queue.stage = .ended
      // A socket that can't any more (ENOTCONN) reports why by itself.
      _ = shutdown(descriptor, Int32(SHUT_WR))
    }
    return wait(for: stop)
  }
}

extension TLSConnection: GatherMember {
  package func sendGathered(_ bytes: Span<UInt8>) { send(bytes) }
}

// Failing.
extension TLSConnection: TurnMember {
  /// Ends both directions now, tells the handler after the current callback.
  private func failLater(_ error: SocketError) {
    guard !hasFailed else { return }
    stop(because: error)
    loop.callAfterThisCallback(self)
  }

  /// Ends both directions and tells the handler; only from the loop.
  private func fail(_ error: SocketError) {
    guard !hasFailed else { return }
    stop(because: error)
    reportFailure()
  }

  private func stop(because error: SocketError) {
    hasFailed = true
    failure = error
    watch?.cancel()
    queue.removeAll()
  }

  private func reportFailure() {
    guard !isClosed, let error = failure.take() else { return }
    handler?.connectionEnded(.failed(error))
  }

  package func turnCame() {
    reportFailure()
    guard isReading else { return }
    if let stop = heldStop {
      heldStop = nil
      readingStopped(stop)
    } else if hasLeftover {
      receive()
    }
  }
}

// What the loop says.
extension TLSConnection: SocketWatchHandler {
  package func socketBecameReadable() {
    guard !hasPeerFinished else {
      // Past the peer's end only a reset is news.
      if let error = SocketCalls.takeError(of: descriptor) { fail(SocketError(error)) }
      return
    }
    if writeWaitsForRead {
      writeWaitsForRead = false
      sendQueued()
      if !wantsInput, !writeWaitsForRead { watch?.stopReading() }
    }
    if isReading { receive() }
  }

  package func socketBecameWritable() {
    if readWaitsForWrite {
      readWaitsForWrite = false
      if isReading { receive() }
    }
    guard !isClosed, !hasFailed else { return }
    sendQueued()
  }

  private func receive() {
    let input = loop.input
    hasLeftover = false
    var stop = TLSEngine.ReadStop.empty
    let limit = max(readAllowance?.bytes ?? InputBuffer.capacity, TLSEngine.roomForOneRead)
    let length = unsafe input.receive(upTo: limit) { unsafe engine?.read(into: $0, capacity: $1, stop: &stop) ?? 0 }
    guard length > 0 else { return readingStopped(stop) }
    if case .empty = stop {
      handler?.connectionReceived(input)
      return
    }
    // The handler may pause, and the end must wait then.
    heldStop = stop
    handler?.connectionReceived(input)
    guard isReading, let held = heldStop else { return }
    heldStop = nil
    readingStopped(held)
  }

  private func readingStopped(_ stop: TLSEngine.ReadStop) {
    switch stop {
    case .empty: break
    case .wantsWrite:
      readWaitsForWrite = true
      if watch?.startWriting() != true { fail(SocketError(.last)) }
    case .finished: peerFinished()
    case .failed(let error): fail(error)
    }
  }

  private func peerFinished() {
    hasPeerFinished = true
    handler?.connectionEnded(.finished)
    // Most connections are closed by now; only those that go on need to hear of a reset.
    guard !isClosed, !hasFailed else { return }
    if watch?.watchForReset() != true { fail(.outOfDescriptors) }
  }

  /// Sends what waits, and then the end if that waits too.
  private func sendQueued() {
    let before = queue.count
    var stop = TLSEngine.WriteStop.none
    if before > 0 {
      let length = engine?.write(queue.span, stop: &stop) ?? 0
      if length > 0 { queue.removeFirst(length, at: loop.now) }
    }
    var error = wait(for: stop)
    if error == nil, queue.isEmpty {
      if !readWaitsForWrite { watch?.stopWriting() }
      if queue.stage == .ending { error = sendFinish() }
    }
    if let error { return fail(error) }
    if queue.hasDrained(from: before) { handler?.connectionDrained() }
  }
}
