import Glibc
import Loop
import Sockets
import Testing
import Time

@Suite struct DialerTests {
  let test: TestLoop
  let dialer: Dialer

  init() throws {
    test = try TestLoop()
    dialer = Dialer(loop: test.loop)
  }

  private func dial(
    _ host: String, _ port: UInt16, timeout: Nanoseconds = .seconds(5)
  ) throws -> Result<TCPConnection, DialError> {
    var result: Result<TCPConnection, DialError>?
    dialer.connect(host: host, port: port, timeout: timeout) { result = $0 }
    #expect(result == nil)
    test.run(until: { result != nil })
    #expect(test.loop.deadlines.count == 0)
    return try #require(result)
  }

  private func dial(to addresses: [SocketAddress]) throws -> Result<TCPConnection, DialError> {
    var result: Result<TCPConnection, DialError>?
    dialer.connect(to: addresses, host: "several", timeout: .seconds(5)) { result = $0 }
    #expect(result == nil)
    test.run(until: { result != nil })
    #expect(test.loop.deadlines.count == 0)
    return try #require(result)
  }

  /// A port on which nobody listens.
  private func closedPort() throws -> UInt16 {
    let listener = try Listener(loop: test.loop, address: .loopback(port: 0)) { _ in }
    defer { listener.close() }
    return listener.localAddress.port
  }

  @Test func `a name and an IPv6 address are dialled`() throws {
    let four = try Listener(loop: test.loop, address: .loopback(port: 0)) { _ in }
    let six = try Listener(loop: test.loop, address: .loopbackV6(port: 0)) { _ in }
    #expect(try dial("localhost", four.localAddress.port).get().peerAddress == four.localAddress)
    #expect(try dial("::1", six.localAddress.port).get().peerAddress == six.localAddress)
    #expect(try dial("[::1]", six.localAddress.port).get().peerAddress == six.localAddress)
  }

  @Test func `a closed port is refused, with the address in the error`() throws {
    let port = try closedPort()
    guard case .failure(let error) = try dial("127.0.0.1", port) else {
      Issue.record("connected")
      return
    }
    #expect(error.reason == .connect(.loopback(port: port), .refused))
    #expect(error.phase == .connect)
    #expect(error.description == "connect to 127.0.0.1:\(port): connection refused")
  }

  @Test func `a peer whose backlog is full is a timeout, not early`() throws {
    let hole = try BlackHole(test)
    let start = test.loop.readClock()
    guard case .failure(let error) = try dial("127.0.0.1", hole.address.port, timeout: .milliseconds(300)) else {
      Issue.record("connected")
      return
    }
    #expect(error.reason == .timeout(hole.address))
    #expect(error.phase == .timeout)
    #expect(test.loop.readClock() - start >= .milliseconds(300))
  }

  @Test func `an address that does not answer gets a head start, not more`() throws {
    let hole = try BlackHole(test)
    let listener = try Listener(loop: test.loop, address: .loopbackV6(port: 0)) { _ in }
    let start = test.loop.readClock()
    let result = try dial(to: [hole.address, listener.localAddress])
    let taken = test.loop.readClock() - start
    #expect(try result.get().peerAddress == listener.localAddress)
    #expect(taken >= .milliseconds(250) && taken < .seconds(3))
  }

  @Test func `an address that refuses costs nothing`() throws {
    let listener = try Listener(loop: test.loop, address: .loopback(port: 0)) { _ in }
    let refusing = SocketAddress.loopbackV6(port: try closedPort())
    let start = test.loop.readClock()
    let result = try dial(to: [refusing, .loopback(port: try closedPort()), listener.localAddress])
    #expect(try result.get().peerAddress == listener.localAddress)
    #expect(test.loop.readClock() - start < .milliseconds(200))
  }

  @Test func `when every address fails the last error is told`() throws {
    let ports = [try closedPort(), try closedPort()]
    guard case .failure(let error) = try dial(to: ports.map { .loopback(port: $0) }) else {
      Issue.record("connected")
      return
    }
    #expect(error.reason == .connect(.loopback(port: ports[1]), .refused))
    guard case .failure(let none) = try dial(to: []) else { return }
    #expect(none.phase == .resolve)
  }

  @Test func `an address that answers late still wins over one that fails`() throws {
    let hole = try BlackHole(test)
    var result: Result<TCPConnection, DialError>?
    dialer.connect(
      to: [hole.address, .loopbackV6(port: try closedPort())], host: "late", timeout: .seconds(10)
    ) { result = $0 }
    test.run(for: .milliseconds(500))
    #expect(result == nil)
    hole.open()
    // The kernel sends its SYN again after a second.
    test.run(until: { result != nil })
    #expect(try result?.get().peerAddress == hole.address)
  }

  @Test func `an unknown name is a resolve error or no answer in time`() throws {
    guard case .failure(let error) = try dial("no-such-name.invalid", 80, timeout: .milliseconds(400)) else {
      Issue.record("connected")
      return
    }
    #expect([DialError.Phase.resolve, .timeout].contains(error.phase))
    #expect(error.description.contains("no-such-name.invalid"))
    guard case .failure(let empty) = try dial("", 80) else { return }
    #expect(empty.phase == .resolve)
  }

  @Test func `a cancelled attempt says nothing and leaves nothing`() throws {
    var isCalled = false
    var accepted: [Recorder] = []
    let listener = try Listener(loop: test.loop, address: .loopback(port: 0)) { accepted.append(Recorder($0)) }
    let attempt = dialer.connect(
      host: "127.0.0.1", port: listener.localAddress.port, timeout: .seconds(5)
    ) { _ in isCalled = true }
    attempt.cancel()
    attempt.cancel()
    // The handshake had been made: what is seen is a connection that ends.
    test.run(until: { accepted.first?.ends.isEmpty == false })
    #expect(!isCalled)
    #expect(test.loop.deadlines.count == 0)
  }

  @Test func `options are set on what is dialled and inherited by what is accepted`() throws {
    var options = SocketOptions()
    options.userTimeout = .seconds(7)
    options.keepAlive?.idle = .seconds(11)
    options.receiveBuffer = 20_000
    let pair = try Pair(test, serverOptions: options, clientOptions: options)
    #expect(pair.server.connection.localAddress.port != 0)
    for connection in [pair.server.connection, pair.client.connection] {
      let descriptor = try #require(Self.descriptor(of: connection.localAddress, connection.peerAddress))
      #expect(Self.option(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY) != 0)
      #expect(Self.option(descriptor, Int32(IPPROTO_TCP), TCP_USER_TIMEOUT) == 7000)
      #expect(Self.option(descriptor, Int32(IPPROTO_TCP), TCP_KEEPIDLE) == 11)
      #expect(Self.option(descriptor, SOL_SOCKET, SO_KEEPALIVE) == 1)
      #expect(Self.option(descriptor, SOL_SOCKET, SO_RCVBUF) == 40_000)
      #expect(fcntl(descriptor, F_GETFD) & FD_CLOEXEC != 0)
      #expect(fcntl(descriptor, F_GETFL) & O_NONBLOCK != 0)
    }
  }

  /// The descriptor of this process between two addresses.
  private static func descriptor(of local: SocketAddress, _ peer: SocketAddress) -> Int32? {
    (0..<4096).first { candidate in
      (try? SocketCalls.localAddress(of: candidate).get()) == local
        && (try? SocketCalls.peerAddress(of: candidate).get()) == peer
    }
  }

  private static func option(_ descriptor: Int32, _ level: Int32, _ name: Int32) -> Int32 {
    var value: Int32 = 0
    var length = socklen_t(4)
    getsockopt(descriptor, level, name, &value, &length)
    return value
  }
}

/// An address that answers nobody: its backlog is full.
private final class BlackHole {
  let address: SocketAddress
  private let socket: Int32
  private var fillers: [Int32] = []

  init(_ test: TestLoop) throws {
    socket = try SocketCalls.makeStream(for: .loopback(port: 0)).get()
    #expect(SocketCalls.bind(socket, to: .loopback(port: 0)) == nil)
    #expect(listen(socket, 0) == 0)
    address = try SocketCalls.localAddress(of: socket).get()
    // A backlog of 0 holds one connection; the second's SYN is dropped.
    for _ in 0..<2 {
      let filler = try SocketCalls.makeStream(for: address).get()
      _ = SocketCalls.connect(filler, to: address)
      fillers.append(filler)
    }
  }

  deinit {
    for descriptor in fillers + [socket] { close(descriptor) }
  }

  /// Makes room.
  func open() {
    listen(socket, 16)
    while case .success(let (descriptor, _)) = SocketCalls.accept(socket) { fillers.append(descriptor) }
  }
}
