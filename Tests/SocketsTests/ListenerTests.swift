import Glibc
import Loop
import Sockets
import Testing
import Time

@Suite struct ListenerTests {
  let test: TestLoop

  init() throws { test = try TestLoop() }

  @Test func `listeners share a port and the kernel spreads connections`() throws {
    var counts = [0, 0]
    let first = try Listener(loop: test.loop, address: .loopback(port: 0)) { _ in counts[0] += 1 }
    #expect(first.localAddress.port != 0)
    let second = try Listener(loop: test.loop, address: first.localAddress) { _ in counts[1] += 1 }
    #expect(second.localAddress == first.localAddress)
    let dialer = Dialer(loop: test.loop)
    for _ in 0..<100 {
      dialer.connect(host: "127.0.0.1", port: first.localAddress.port, timeout: .seconds(5)) { _ in }
    }
    test.run(until: { counts[0] + counts[1] == 100 })
    #expect(counts[0] > 0 && counts[1] > 0)
  }

  @Test func `an address that is taken is told apart from one that is not ours`() throws {
    // Without SO_REUSEPORT, so nobody may join.
    let socket = try SocketCalls.makeStream(for: .loopback(port: 0)).get()
    defer { close(socket) }
    #expect(SocketCalls.bind(socket, to: .loopback(port: 0)) == nil)
    #expect(listen(socket, 1) == 0)
    let taken = try SocketCalls.localAddress(of: socket).get()
    #expect(throws: SocketError.addressInUse) { try Listener(loop: test.loop, address: taken) { _ in } }
    let foreign = try #require(SocketAddress(host: "192.0.2.1", port: 0))
    #expect(throws: SocketError.addressNotAvailable) { try Listener(loop: test.loop, address: foreign) { _ in } }
  }

  @Test func `a paused listener leaves clients in the backlog`() throws {
    var accepted: [TCPConnection] = []
    let listener = try Listener(loop: test.loop, address: .loopback(port: 0)) { accepted.append($0) }
    listener.pause()
    var dialled: TCPConnection?
    Dialer(loop: test.loop).connect(
      host: "127.0.0.1", port: listener.localAddress.port, timeout: .seconds(5)
    ) { dialled = try? $0.get() }
    test.run(until: { dialled != nil })
    test.run(for: .milliseconds(60))
    #expect(accepted.isEmpty)
    listener.resume()
    test.run(until: { accepted.count == 1 })
    listener.close()
    listener.close()
  }

  @Test func `a listener that leaves accepts what waits, and then nothing`() throws {
    var accepted: [TCPConnection] = []
    let listener = try Listener(loop: test.loop, address: .loopback(port: 0)) { accepted.append($0) }
    listener.pause()
    let dialer = Dialer(loop: test.loop)
    var results: [Result<TCPConnection, DialError>] = []
    func dial() {
      dialer.connect(host: "127.0.0.1", port: listener.localAddress.port, timeout: .seconds(5)) { results.append($0) }
    }
    for _ in 0..<100 { dial() }
    test.run(until: { results.count == 100 })
    #expect(accepted.isEmpty)
    listener.closeAfterBacklog()
    #expect(accepted.count == 100)
    dial()
    test.run(until: { results.count == 101 })
    guard case .failure(let error) = results[100] else {
      Issue.record("connected")
      return
    }
    #expect(error.reason == .connect(listener.localAddress, .refused))
    // None was reset.
    let clients = results.compactMap { try? $0.get() }.map { Recorder($0) }
    for connection in accepted { connection.write(text: "x") }
    test.run(until: { clients.allSatisfy { $0.text == "x" } })
  }

  @Test func `a listener may be closed by what it accepts`() throws {
    var listener: Listener?
    var count = 0
    listener = try Listener(loop: test.loop, address: .loopback(port: 0)) { _ in
      count += 1
      listener?.close()
      listener = nil
    }
    let port = try #require(listener?.localAddress.port)
    let dialer = Dialer(loop: test.loop)
    for _ in 0..<3 { dialer.connect(host: "127.0.0.1", port: port, timeout: .seconds(5)) { _ in } }
    test.run(until: { count == 1 })
    test.run(for: .milliseconds(60))
    #expect(count == 1)
  }

  @Test func `without descriptors clients are turned away and the loop does not spin`() async {
    await #expect(processExitsWith: .success) {
      let test = try TestLoop()
      var accepted: [TCPConnection] = []
      let listener = try Listener(loop: test.loop, address: .loopback(port: 0)) { accepted.append($0) }
      // A client in its own right, then no descriptor is left for the server's side.
      let client = try SocketCalls.makeStream(for: listener.localAddress).get()
      var limits = rlimit(rlim_cur: 0, rlim_max: 0)
      getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limits)
      limits.rlim_cur = 64
      setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limits)
      while dup(0) >= 0 {}
      _ = SocketCalls.connect(client, to: listener.localAddress)
      test.run(until: { listener.turnedAway == 1 }, limit: .seconds(5))
      #expect(accepted.isEmpty)
      let before = threadCPUTime()
      test.run(for: .milliseconds(300))
      let used = threadCPUTime() - before
      // Descriptors come back, and so do clients.
      close(client)
      for descriptor: Int32 in 40..<64 { close(descriptor) }
      let again = try SocketCalls.makeStream(for: listener.localAddress).get()
      _ = SocketCalls.connect(again, to: listener.localAddress)
      test.run(until: { accepted.count == 1 }, limit: .seconds(5))
      exit(accepted.count == 1 && used < .milliseconds(150) ? 0 : 1)
    }
  }
}
