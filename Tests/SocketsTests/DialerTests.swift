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
    #expect(error.phase == "connect")
    #expect(error.description == "connect to 127.0.0.1:\(port): connection refused")
  }

  @Test func `a peer whose backlog is full is a timeout, not early`() throws {
    let socket = try #require(try? SocketCalls.makeStream(for: .loopback(port: 0)).get())
    defer { close(socket) }
    #expect(SocketCalls.bind(socket, to: .loopback(port: 0)) == nil)
    #expect(listen(socket, 0) == 0)
    let address = try SocketCalls.localAddress(of: socket).get()
    var held: [TCPConnection] = []
    var error: DialError?
    let start = test.loop.readClock()
    // The first ones fill the backlog.
    for _ in 0..<4 where error == nil {
      switch try dial("127.0.0.1", address.port, timeout: .milliseconds(300)) {
      case .success(let connection): held.append(connection)
      case .failure(let failure): error = failure
      }
    }
    #expect(error?.reason == .timeout(address))
    #expect(error?.phase == "timeout")
    #expect(test.loop.readClock() - start >= .milliseconds(300))
  }

  @Test func `an unknown name is a resolve error or no answer in time`() throws {
    guard case .failure(let error) = try dial("no-such-name.invalid", 80, timeout: .milliseconds(400)) else {
      Issue.record("connected")
      return
    }
    #expect(["resolve", "timeout"].contains(error.phase))
    #expect(error.description.contains("no-such-name.invalid"))
    guard case .failure(let empty) = try dial("", 80) else { return }
    #expect(empty.phase == "resolve")
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
