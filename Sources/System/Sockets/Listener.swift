import Glibc
package import Loop
import Time

/// A listening socket: hands accepted connections to one closure, on its loop.
///
/// Several listeners (of several loops or processes) may share one port, if all of them do so.
package final class Listener {
  /// Connections accepted in one go before the loop's other work has its turn.
  static let acceptsPerTurn = 64
  /// Connections accepted by `closeAfterBacklog`: more than any kernel keeps.
  static let backlogLimit = 65536
  /// How long to leave the socket alone when there is no descriptor even to turn a client away.
  static let pauseWhenOutOfDescriptors = Nanoseconds.milliseconds(100)

  /// Who else may listen at the address.
  package enum Sharing: Sendable {
    /// Nobody.
    case exclusive
    /// Other listeners that share it too, of this process or another of the same user; the kernel spreads connections.
    case shared
  }

  package let loop: EventLoop
  /// Where it listens, with the port the kernel picked for port 0.
  package let localAddress: SocketAddress
  /// Clients turned away because no descriptor was left.
  package private(set) var turnedAway = 0

  private let descriptor: Int32
  private let accepted: (TCPConnection) -> Void
  private var watch: SocketWatch?
  private var isPaused = false
  private var isClosed = false
  // Given up for a moment when descriptors run out, to accept and close: a client that is told beats one that waits.
  private var reserve: Int32
  private lazy var retry = Timer(loop: loop) { [unowned self] in resumeAfterShortage() }
  private var isShort = false

  /// Listens at once.
  ///
  /// - Parameters:
  ///   - backlog: connections the kernel keeps until they are accepted; it may cap this (net.core.somaxconn).
  ///   - options: inherited by every connection.
  ///   - accepted: gets each connection, not reading yet. A connection that isn't kept is closed.
  package convenience init(
    loop: EventLoop, address: SocketAddress, sharing: Sharing = .shared, backlog: Int = 4096,
    options: SocketOptions = SocketOptions(), accepted: @escaping (TCPConnection) -> Void
  ) throws(SocketError) {
    let descriptor = try Self.listen(at: address, sharing, backlog: backlog, options: options)
    let bound = (try? SocketCalls.localAddress(of: descriptor).get()) ?? address
    try self.init(loop: loop, descriptor: descriptor, address: bound, accepted: accepted)
  }

  /// Accepts from a socket in the file system, as others may do beside it.
  package convenience init(
    loop: EventLoop, socket: UnixSocket, accepted: @escaping (TCPConnection) -> Void
  ) throws(SocketError) {
    switch SocketCalls.duplicate(socket.descriptor) {
    case .success(let own):
      try self.init(loop: loop, descriptor: own, address: socket.address, accepted: accepted)
    case .failure(let error): throw SocketError(error)
    }
  }

  private init(
    loop: EventLoop, descriptor: Int32, address: SocketAddress, accepted: @escaping (TCPConnection) -> Void
  ) throws(SocketError) {
    self.loop = loop
    self.accepted = accepted
    self.descriptor = descriptor
    localAddress = address
    reserve = Self.openReserve()
    watch = SocketWatch(loop: loop, descriptor: descriptor, handler: self)
    guard watch?.startReading() == true else { throw SocketError.outOfDescriptors }
  }

  deinit {
    close()
  }

  /// Leaves new connections in the backlog.
  package func pause() {
    isPaused = true
    watch?.stopReading()
  }

  package func resume() {
    isPaused = false
    if !isClosed, !isShort { _ = watch?.startReading() }
  }

  /// Accepts what the kernel has in the backlog already, then closes: those clients would see a reset otherwise.
  ///
  /// For leaving a port to another process that listens on it too.
  package func closeAfterBacklog() {
    for _ in 0..<Self.backlogLimit {
      guard !isClosed, acceptOne() else { break }
    }
    close()
  }

  /// Ends listening for good. Connections that were accepted stay; those in the backlog are reset.
  package func close() {
    guard !isClosed else { return }
    isClosed = true
    watch?.cancel()
    if isShort { retry.cancel() }
    Glibc.close(descriptor)
    if reserve >= 0 { Glibc.close(reserve) }
    reserve = -1
  }

  private static func listen(
    at address: SocketAddress, _ sharing: Sharing, backlog: Int, options: SocketOptions
  ) throws(SocketError) -> Int32 {
    let descriptor = try bound(to: address, sharing)
    options.apply(to: descriptor)
    var failure: SystemError?
    if Glibc.listen(descriptor, Int32(clamping: backlog)) != 0 { failure = .last }
    if let failure {
      Glibc.close(descriptor)
      throw SocketError(failure)
    }
    return descriptor
  }

  private static func bound(to address: SocketAddress, _ sharing: Sharing) throws(SocketError) -> Int32 {
    let descriptor: Int32
    switch SocketCalls.makeStream(for: address) {
    case .success(let made): descriptor = made
    case .failure(let error): throw SocketError(error)
    }
    _ = SocketCalls.set(descriptor, level: SOL_SOCKET, option: SO_REUSEADDR, to: 1)
    if sharing == .shared { _ = SocketCalls.set(descriptor, level: SOL_SOCKET, option: SO_REUSEPORT, to: 1) }
    if let failure = SocketCalls.bind(descriptor, to: address) {
      Glibc.close(descriptor)
      throw SocketError(failure)
    }
    return descriptor
  }

  /// Whether somebody listens at `address`, whoever it is. Listeners that share it don't find each other otherwise.
  package static func isTaken(_ address: SocketAddress) -> Bool {
    do throws(SocketError) {
      Glibc.close(try bound(to: address, .exclusive))
      return false
    } catch {
      return error == .addressInUse
    }
  }

  private static func openReserve() -> Int32 {
    unsafe open("/dev/null", O_RDONLY | O_CLOEXEC)
  }
}

extension Listener: SocketWatchHandler {
  package func socketBecameWritable() {}

  package func socketBecameReadable() {
    for _ in 0..<Self.acceptsPerTurn {
      guard !isClosed, !isPaused, !isShort, acceptOne() else { return }
    }
  }

  /// Returns whether there may be more.
  private func acceptOne() -> Bool {
    switch SocketCalls.accept(descriptor) {
    case .success(let (socket, peer)):
      accepted(TCPConnection(loop: loop, descriptor: socket, peer: peer.isUnix ? .localPeer : peer.unmapped))
      return true
    case .failure(let error):
      if error.isWouldBlock { return false }
      if Self.concernsOneConnection(error) { return true }
      if error.isOutOfDescriptors, turnOneAway() { return true }
      pauseForShortage()
      return false
    }
  }

  /// Errors that were waiting on the connection that was to be accepted (accept(2)): the next may be well.
  private static func concernsOneConnection(_ error: SystemError) -> Bool {
    switch error.code {
    case EINTR, ECONNABORTED, EPROTO, EPERM, ENOPROTOOPT, EOPNOTSUPP, ENETDOWN, EHOSTDOWN, ENONET, EHOSTUNREACH,
      ENETUNREACH, ETIMEDOUT:
      true
    default: false
    }
  }

  /// Accepts one client with the reserved descriptor and closes it. Returns `false` when that isn't possible.
  private func turnOneAway() -> Bool {
    guard reserve >= 0 else { return false }
    Glibc.close(reserve)
    reserve = -1
    if case .success(let (socket, _)) = SocketCalls.accept(descriptor) {
      turnedAway += 1
      Glibc.close(socket)
    }
    reserve = Self.openReserve()
    return reserve >= 0
  }

  private func pauseForShortage() {
    guard !isClosed else { return }
    isShort = true
    watch?.stopReading()
    retry.schedule(after: Self.pauseWhenOutOfDescriptors)
  }

  private func resumeAfterShortage() {
    isShort = false
    if reserve < 0 { reserve = Self.openReserve() }
    if !isClosed, !isPaused { _ = watch?.startReading() }
  }
}
