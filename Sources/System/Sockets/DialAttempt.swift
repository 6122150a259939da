import Glibc
import Loop
package import Time

/// One connection that is being made.
package final class DialAttempt {
  /// How long an address is tried alone before the next one is tried beside it (RFC 8305, section 5).
  static let headStart = Nanoseconds.milliseconds(250)

  private let loop: EventLoop
  private let host: String
  private let port: UInt16
  private let options: SocketOptions
  private let resolver: Resolver
  private var completion: ((Result<TCPConnection, DialError>) -> Void)?

  private var request: ResolveRequest?
  private var addresses: ArraySlice<SocketAddress> = []
  private var tries: [ConnectTry] = []
  private var lastTried: SocketAddress?
  private var lastFailure: (SocketAddress, SocketError)?
  private var outcome: Result<TCPConnection, DialError>?
  // The loop's deadline list keeps the attempt alive.
  private var handle: DeadlineHandle?
  private var end: MonotonicTime
  /// When to look again: `end`, or before it the next address's turn.
  private var wake: MonotonicTime

  init(
    dialer: Dialer, host: String, port: UInt16, options: SocketOptions,
    completion: @escaping (Result<TCPConnection, DialError>) -> Void
  ) {
    loop = dialer.loop
    resolver = dialer.resolver
    self.host = host
    self.port = port
    self.options = options
    self.completion = completion
    end = dialer.loop.now
    wake = end
  }

  /// Gives up. The completion is not called any more.
  package func cancel() {
    completion = nil
    if case .success(let connection) = outcome { connection.close() }
    outcome = nil
    tearDown()
  }

  func start(_ addresses: [SocketAddress], timeout: Nanoseconds) {
    beginTiming(timeout)
    resolved(addresses.isEmpty ? .failure(.notFound(host)) : .success(addresses))
  }

  func start(timeout: Nanoseconds) {
    beginTiming(timeout)
    request = resolver.resolve(host: host, port: port) { [weak self] result in self?.resolved(result) }
  }

  private func beginTiming(_ timeout: Nanoseconds) {
    end = loop.readClock() + timeout
    wake = end
    handle = loop.deadlines.add(self, at: end)
  }

  private func resolved(_ result: Result<[SocketAddress], ResolveError>) {
    request = nil
    switch result {
    case .success(let found):
      addresses = Self.alternating(found)[...]
      tryNext()
    case .failure(let error):
      finish(.failure(DialError(host: host, port: port, reason: .resolve(error))))
    }
  }

  /// IPv6 and IPv4 in turn, beginning with the family the resolver put first.
  static func alternating(_ addresses: [SocketAddress]) -> [SocketAddress] {
    guard let first = addresses.first?.family else { return [] }
    var preferred = addresses.filter { $0.family == first }[...]
    var others = addresses.filter { $0.family != first }[...]
    var result: [SocketAddress] = []
    while !preferred.isEmpty || !others.isEmpty {
      if let address = preferred.popFirst() { result.append(address) }
      if let address = others.popFirst() { result.append(address) }
    }
    return result
  }

  /// Starts on the next address; on several at once if they fail at once. Ends the attempt when none is left.
  private func tryNext() {
    while let address = addresses.popFirst() {
      lastTried = address
      switch begin(address) {
      case .connected(let descriptor):
        finish(.success(TCPConnection(loop: loop, descriptor: descriptor, peer: address)))
        return
      case .waiting(let attempt):
        tries.append(attempt)
        // The next has its turn when this one fails, or when its head start is over.
        wake = addresses.isEmpty ? end : min(end, loop.readClock() + Self.headStart)
        if let handle { loop.deadlines.move(handle, to: wake) }
        return
      case .failed(let error):
        lastFailure = (address, error)
      }
    }
    guard tries.isEmpty, let (address, error) = lastFailure else { return }
    finish(.failure(DialError(host: host, port: port, reason: .connect(address, error))))
  }

  private enum Beginning {
    case connected(Int32)
    case waiting(ConnectTry)
    case failed(SocketError)
  }

  private func begin(_ address: SocketAddress) -> Beginning {
    let descriptor: Int32
    switch SocketCalls.makeStream(for: address) {
    case .success(let made): descriptor = made
    case .failure(let error): return .failed(SocketError(error))
    }
    options.apply(to: descriptor)
    var error = SocketCalls.connect(descriptor, to: address)
    // On the same machine the handshake is over by now; asking again saves two epoll calls and a turn.
    if error?.code == EINPROGRESS { error = SocketCalls.connect(descriptor, to: address) }
    switch error?.code {
    case nil, EISCONN:
      return .connected(descriptor)
    case EINPROGRESS, EALREADY, EINTR:
      if let attempt = ConnectTry(loop: loop, descriptor: descriptor, address: address, owner: self) {
        return .waiting(attempt)
      }
      return .failed(.outOfDescriptors)
    case let code?:
      Glibc.close(descriptor)
      return .failed(SocketError(SystemError(code: code)))
    }
  }

  fileprivate func decided(_ attempt: ConnectTry) {
    if let error = SocketCalls.takeError(of: attempt.descriptor) {
      tries.removeAll { $0 === attempt }
      attempt.abandon()
      lastFailure = (attempt.address, SocketError(error))
      tryNext()
    } else {
      let connection = TCPConnection(loop: loop, descriptor: attempt.release(), peer: attempt.address)
      finish(.success(connection))
    }
  }

  /// Settles the attempt; the completion is called after the current callback.
  private func finish(_ result: Result<TCPConnection, DialError>) {
    tearDown()
    guard completion != nil else {
      if case .success(let connection) = result { connection.close() }
      return
    }
    outcome = result
    loop.callAfterThisCallback(self)
  }

  private func tearDown() {
    request?.cancel()
    request = nil
    addresses = []
    for attempt in tries { attempt.abandon() }
    tries = []
    if let handle { loop.deadlines.remove(handle) }
    handle = nil
  }
}

extension DialAttempt: DeadlineMember, TurnMember {
  package func deadlinePassed(at now: MonotonicTime) -> MonotonicTime? {
    guard now < end else {
      let reason = DialError.Reason.timeout(lastTried)
      finish(.failure(DialError(host: host, port: port, reason: reason)))
      return nil
    }
    wake = end
    tryNext()
    // Without effect when that has settled the attempt.
    return wake
  }

  package func turnCame() {
    guard let outcome, let completion else { return }
    self.outcome = nil
    self.completion = nil
    completion(outcome)
  }
}

/// One address of an attempt, waiting for the handshake.
private final class ConnectTry: SocketWatchHandler {
  let descriptor: Int32
  let address: SocketAddress
  private unowned let owner: DialAttempt
  private var watch: SocketWatch?

  /// `nil` when the kernel refuses the watch; the descriptor is closed then.
  init?(loop: EventLoop, descriptor: Int32, address: SocketAddress, owner: DialAttempt) {
    self.descriptor = descriptor
    self.address = address
    self.owner = owner
    watch = SocketWatch(loop: loop, descriptor: descriptor, handler: self)
    guard watch?.startWriting() == true else {
      abandon()
      return nil
    }
  }

  deinit {
    abandon()
  }

  func socketBecameReadable() {}

  func socketBecameWritable() {
    owner.decided(self)
  }

  func abandon() {
    guard watch != nil else { return }
    Glibc.close(release())
  }

  /// Hands the descriptor over, watched no more.
  func release() -> Int32 {
    watch?.cancel()
    watch = nil
    return descriptor
  }
}
