import Bytes
import Loop
import Sockets
import TLS
import Testing
import Time

@Suite struct DataTests {
  let test: TestLoop

  init() throws { test = try TestLoop() }

  @Test func `bytes go both ways, in the newest version`() throws {
    let pair = try Pair(test)
    pair.server.onReceive = { server, input in server.connection.write(input.bytes) }
    pair.client.write("hello")
    test.run(until: { pair.client.text == "hello" })
    #expect(pair.server.text == "hello")
    #expect(pair.client.connection.version == "TLSv1.3")
    #expect(pair.client.connection.cipher.hasPrefix("TLS_"))
    #expect(pair.client.connection.queuedBytes == 0)
    #expect(pair.client.connection.peerAddress == pair.server.connection.localAddress)
  }

  @Test(arguments: [1, 7, 42])
  func `what is echoed at random splits is what was sent`(seed: UInt64) throws {
    let pair = try Pair(test)
    pair.server.onReceive = { server, input in
      // Back in several pieces, so that records of both directions never agree.
      let (third, half) = (input.count / 3, input.count / 2)
      let middle = input.slice(third..<half)
      server.connection.write(input.slice(0..<third), middle, input.slice(0..<0))
      server.connection.write(input.slice(half..<input.count))
    }
    var generator = SplitMix(state: seed)
    let sent = (0..<400_000).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
    var offset = 0
    func sendSome() {
      guard offset < sent.count else { return }
      let length = min(sent.count - offset, Int(generator.next() % 40_000) + 1)
      pair.client.connection.write(sent.span.extracting(offset..<offset + length))
      offset += length
    }
    sendSome()
    pair.client.onReceive = { _, _ in sendSome() }
    test.run(until: { pair.client.received.count == sent.count })
    pair.client.onReceive = nil
    #expect(pair.client.received == sent)
  }

  @Test func `ten megabytes arrive whole and in order`() throws {
    let pair = try Pair(test)
    let block = (0..<251 * 400).map { UInt8($0 % 251) }
    var next: UInt8 = 0
    var isInOrder = true
    pair.client.keepsBytes = false
    pair.client.onReceive = { _, input in
      let bytes = input.bytes
      for index in bytes.indices {
        if bytes[index] != next { isInOrder = false }
        next = (next &+ 1) % 251
      }
    }
    for _ in 0..<100 { pair.server.connection.write(block.span) }
    test.run(until: { pair.client.receivedCount == block.count * 100 })
    #expect(isInOrder)
    // Records are put together, so that a read brings more than one.
    #expect(pair.client.reads < 100 * block.count / 16_000)
  }

  @Test func `a slow reader makes the queue grow, and it drains in order`() throws {
    let pair = try Pair(test, clientReads: false)
    let (server, client) = (pair.server, pair.client)
    client.keepsBytes = false
    server.connection.lowWaterMark = 400_000
    let block = [UInt8](repeating: 1, count: 12_000_000)
    server.connection.write(block.span)
    #expect(server.connection.queuedBytes > 400_000)
    #expect(!server.connection.sendProgress.isComplete)
    test.run(for: .milliseconds(50))
    #expect(server.drained.isEmpty)
    client.connection.startReading()
    test.run(until: { client.receivedCount == block.count })
    #expect(server.drained.count <= 2)
    #expect((server.drained.first ?? .max) <= 400_000)
    #expect(server.drained.last == 0)
    test.run(until: { server.connection.sendProgress.isComplete })
  }

  @Test func `a paused connection reads nothing until it is resumed`() throws {
    let pair = try Pair(test)
    pair.server.connection.pauseReading()
    #expect(!pair.server.connection.isReading)
    pair.client.write("later")
    test.run(for: .milliseconds(80))
    #expect(pair.server.received.isEmpty)
    pair.server.connection.startReading()
    test.run(until: { pair.server.text == "later" })
  }

  @Test func `a pause inside the callback takes effect at once, and nothing is stuck behind it`() throws {
    let pair = try Pair(test)
    pair.server.onReceive = { server, _ in server.connection.pauseReading() }
    let block = [UInt8](repeating: 1, count: 300_000)
    pair.client.connection.write(block.span)
    pair.client.connection.finishWriting()
    test.run(for: .milliseconds(80))
    #expect(pair.server.receivedCount <= InputBuffer.capacity)
    var resumed = 0
    while pair.server.ends.isEmpty, resumed < 200 {
      pair.server.connection.startReading()
      test.run(for: .milliseconds(3))
      resumed += 1
    }
    #expect(pair.server.receivedCount == block.count)
    #expect(pair.server.ends == [.finished])
  }

  @Test func `what came with the last bytes waits for a paused reader`() throws {
    let pair = try Pair(test, serverReads: false)
    pair.client.write("the last words")
    pair.client.connection.finishWriting()
    test.run(for: .milliseconds(50))
    pair.server.onReceive = { server, _ in server.connection.pauseReading() }
    pair.server.connection.startReading()
    test.run(until: { pair.server.text == "the last words" })
    test.run(for: .milliseconds(50))
    #expect(pair.server.ends.isEmpty)
    pair.server.connection.startReading()
    test.run(until: { pair.server.ends == [.finished] })
  }

  @Test func `bytes that came with the handshake are not forgotten`() throws {
    // The client writes at once; its first record is often read together with the end of its handshake.
    let (serverSide, clientSide) = (try serverContext(), try clientContext())
    for _ in 0..<20 {
      let sockets = try PlainPair(test)
      var server: Recorder<TLSConnection>?
      var client: TLSConnection?
      TLSConnection.connect(over: sockets.client, context: clientSide, serverName: "localhost", timeout: .seconds(5)) {
        client = try? $0.get()
        client?.write(Array("first".utf8).span)
      }
      TLSConnection.accept(over: sockets.server, context: serverSide, timeout: .seconds(5)) {
        server = (try? $0.get()).map { Recorder($0) }
      }
      test.run(until: { server?.text == "first" })
      client?.close()
      server?.connection.close()
    }
  }

  @Test func `a small write is one record and one read`() throws {
    let pair = try Pair(test)
    test.run(for: .milliseconds(20))
    pair.client.reads = 0
    for index in 0..<50 {
      pair.server.write("event \(index)\n")
      test.run(until: { pair.client.text.hasSuffix("event \(index)\n") })
    }
    #expect(pair.client.reads == 50)
  }

  @Test func `close inside its own callback is safe`() throws {
    let pair = try Pair(test)
    pair.server.onReceive = { server, _ in server.connection.close() }
    pair.client.write("bye")
    test.run(until: { pair.server.connection.isClosed && !pair.client.ends.isEmpty })
    #expect(pair.server.connection.queuedBytes == 0)
    pair.server.connection.close()
    pair.server.write("nobody hears this")
  }
}

private struct SplitMix {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }
}
