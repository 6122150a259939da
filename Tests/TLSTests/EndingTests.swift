import Glibc
import Loop
import Sockets
import TLS
import Testing
import Time

@Suite struct EndingTests {
  let test: TestLoop

  init() throws { test = try TestLoop() }

  @Test func `after the peer's end writing goes on`() throws {
    let pair = try Pair(test)
    pair.client.write("request")
    pair.client.connection.finishWriting()
    #expect(pair.client.connection.hasFinishedWriting)
    test.run(until: { pair.server.ends == [.finished] })
    #expect(pair.server.text == "request")
    #expect(pair.server.connection.hasPeerFinished)
    #expect(!pair.server.connection.isReading)
    pair.client.keepsBytes = false
    let block = [UInt8](repeating: 7, count: 8_000_000)
    pair.server.connection.write(block.span)
    pair.server.connection.finishWriting()
    #expect(!pair.server.connection.hasFinishedWriting)
    // Too late: the end is decided.
    pair.server.write("more")
    test.run(until: { pair.client.ends == [.finished] })
    #expect(pair.client.receivedCount == block.count)
    #expect(pair.server.connection.hasFinishedWriting)
    #expect(pair.server.ends == [.finished])
  }

  @Test(arguments: [20, 5_000_000])
  func `the last bytes leave together with the end`(size: Int) throws {
    let pair = try Pair(test)
    let bytes = [UInt8](repeating: 7, count: size)
    pair.server.connection.finishWriting(with: bytes.span)
    test.run(until: { pair.client.ends == [.finished] })
    #expect(pair.client.received == bytes)
    #expect(pair.server.connection.hasFinishedWriting)
  }

  @Test func `a half-closed peer does not make the loop spin`() throws {
    let pair = try Pair(test)
    pair.client.connection.finishWriting()
    test.run(until: { pair.server.ends == [.finished] })
    let before = threadCPUTime()
    test.run(for: .milliseconds(400))
    #expect(threadCPUTime() - before < .milliseconds(100))
  }

  @Test func `a paused connection with bytes waiting does not make the loop spin`() throws {
    let pair = try Pair(test, serverReads: false)
    pair.client.write("waiting")
    let before = threadCPUTime()
    test.run(for: .milliseconds(400))
    #expect(threadCPUTime() - before < .milliseconds(100))
  }

  @Test func `a connection that ends without notice was cut`() throws {
    let sockets = try PlainPair(test)
    let descriptor = dup(descriptorOf(sockets.server))
    defer { close(descriptor) }
    var server: TLSConnection?
    var client: Recorder<TLSConnection>?
    TLSConnection.accept(over: sockets.server, context: try serverContext(), timeout: .seconds(5)) {
      server = try? $0.get()
    }
    TLSConnection.connect(
      over: sockets.client, context: try clientContext(), serverName: "localhost", timeout: .seconds(5)
    ) { client = (try? $0.get()).map { Recorder($0) } }
    test.run(until: { server != nil && client != nil })
    server?.write(Array("half of".utf8).span)
    test.run(until: { client?.text == "half of" })
    // FIN, as anyone on the way could send it.
    shutdown(descriptor, Int32(SHUT_WR))
    test.run(until: { client?.hasFailed == true })
    #expect(client?.ends == [.failed(.truncated)])
    server?.close()
  }

  @Test func `a server that is closed before it has finished looks cut, a client says goodbye`() throws {
    let first = try Pair(test)
    first.server.connection.close()
    test.run(until: { first.client.ends == [.failed(.truncated)] })
    let second = try Pair(test)
    second.client.connection.close()
    test.run(until: { second.server.ends == [.finished] })
  }

  @Test func `a reset is told as such, once`() throws {
    let pair = try Pair(test)
    pair.client.connection.reset()
    test.run(until: { pair.server.hasFailed })
    #expect(pair.server.ends == [.failed(.reset)])
    #expect(pair.server.connection.hasFailed)
    pair.server.write("nobody hears this")
    test.run(for: .milliseconds(20))
    #expect(pair.server.ends.count == 1)
  }

  @Test func `a reset past the peer's end is told, too`() throws {
    let pair = try Pair(test)
    pair.client.connection.finishWriting()
    test.run(until: { pair.server.ends == [.finished] })
    pair.client.connection.reset()
    test.run(until: { pair.server.ends.count == 2 })
    #expect(pair.server.hasFailed)
  }

  @Test func `writing to a peer that has gone fails after the callback, not inside the call`() throws {
    let pair = try Pair(test, serverReads: false)
    pair.client.connection.reset()
    test.run(for: .milliseconds(20))
    pair.server.write("one")
    pair.server.write("two")
    #expect(pair.server.ends.isEmpty)
    test.run(until: { pair.server.hasFailed })
  }

  @Test func `a lingering close is confirmed over TLS as well`() throws {
    let pair = try Pair(test)
    pair.client.keepsBytes = false
    let block = [UInt8](repeating: 7, count: 3_000_000)
    pair.server.connection.write(block.span)
    var result: CloseResult?
    LingeringClose.begin(pair.server.connection) { result = $0 }
    test.run(until: { pair.client.ends == [.finished] })
    #expect(pair.client.receivedCount == block.count)
    pair.client.connection.finishWriting()
    test.run(until: { result != nil })
    #expect(result == .confirmed)
  }

  @Test func `garbage instead of a record ends the connection`() throws {
    let sockets = try PlainPair(test)
    let descriptor = dup(descriptorOf(sockets.server))
    defer { close(descriptor) }
    var server: TLSConnection?
    var client: Recorder<TLSConnection>?
    TLSConnection.accept(over: sockets.server, context: try serverContext(), timeout: .seconds(5)) {
      server = try? $0.get()
    }
    TLSConnection.connect(
      over: sockets.client, context: try clientContext(), serverName: "localhost", timeout: .seconds(5)
    ) { client = (try? $0.get()).map { Recorder($0) } }
    test.run(until: { server != nil && client != nil })
    _ = send(descriptor, [0x17, 3, 3, 0, 20] + [UInt8](repeating: 9, count: 20), 25, Int32(MSG_NOSIGNAL))
    test.run(until: { client?.hasFailed == true })
    guard case .failed(.tls(let reason))? = client?.ends.first else {
      Issue.record("ended with \(String(describing: client?.ends))")
      return
    }
    #expect(!reason.isEmpty)
    server?.close()
  }
}

/// The descriptor of a plain connection, found by its address.
private func descriptorOf(_ connection: TCPConnection) -> Int32 {
  for descriptor in Int32(3)..<20_000 {
    if (try? SocketCalls.peerAddress(of: descriptor).get()) == connection.peerAddress,
      (try? SocketCalls.localAddress(of: descriptor).get()) == connection.localAddress
    {
      return descriptor
    }
  }
  return -1
}
