import Bytes
import EventSamples
import Glibc
import Loop
import Sockets
import Testing
import Time

@Suite struct ConnectionTests {
  let test: TestLoop

  init() throws { test = try TestLoop() }

  @Test func `bytes go both ways`() throws {
    let pair = try Pair(test)
    pair.server.onReceive = { server, input in server.connection.write(input.bytes) }
    pair.client.connection.write(text: "hello")
    test.run(until: { pair.client.text == "hello" })
    #expect(pair.server.text == "hello")
    #expect(pair.client.connection.queuedBytes == 0)
    pair.client.connection.close()
    test.run(until: { pair.server.ends == [.finished] })
  }

  @Test func `both ends know both addresses`() throws {
    let pair = try Pair(test)
    let (server, client) = (pair.server.connection, pair.client.connection)
    #expect(server.localAddress == pair.listener.localAddress)
    #expect(client.peerAddress == server.localAddress)
    #expect(server.peerAddress == client.localAddress)
  }

  @Test func `a slow reader makes the queue grow, and it drains in order`() throws {
    let pair = try Pair(test, clientReads: false)
    let (server, client) = (pair.server, pair.client)
    client.keepsBytes = false
    var next: UInt8 = 0
    var inOrder = true
    client.onReceive = { _, input in
      let bytes = input.bytes
      for index in bytes.indices {
        if bytes[index] != next { inOrder = false }
        next = (next &+ 1) % 251
      }
    }
    let block = (0..<251 * 400).map { UInt8($0 % 251) }
    let total = block.count * 200
    for _ in 0..<200 { server.connection.write(block.span) }
    #expect(server.connection.queuedBytes > 1_000_000)
    #expect(server.drained.isEmpty)
    client.connection.startReading()
    test.run(until: { client.receivedCount == total })
    #expect(inOrder)
    #expect(server.drained == [0])
    #expect(server.connection.queuedBytes == 0)
  }

  @Test func `three pieces go one behind the other, whatever the socket takes of them`() throws {
    let pair = try Pair(test, clientReads: false)
    let (server, client) = (pair.server, pair.client)
    var random = SeededGenerator(seed: 3)
    var sent: [UInt8] = []
    var queued = 0
    for _ in 0..<300 {
      // One of them large, so that the socket becomes full inside each.
      let large = random.below(3)
      let sizes = (0..<3).map { random.below($0 == large ? 60_000 : 20) }
      let head = (0..<sizes[0]).map { UInt8(truncatingIfNeeded: $0) }
      let body = (0..<sizes[1]).map { UInt8(truncatingIfNeeded: $0 * 7 + sizes[1]) }
      let tail = (0..<sizes[2]).map { UInt8(truncatingIfNeeded: 200 - $0) }
      server.connection.write(head.span, body.span, tail.span)
      sent += head + body + tail
      queued = max(queued, server.connection.queuedBytes)
      // The socket has room again, in the middle of what is written or between two.
      if random.below(20) == 0 {
        client.connection.startReading()
        test.run(until: { server.connection.queuedBytes == 0 })
        client.connection.pauseReading()
      }
    }
    #expect(queued > 0)
    client.connection.startReading()
    test.run(until: { client.receivedCount == sent.count })
    #expect(client.received == sent)
    server.connection.finishWriting()
    server.connection.write(sent.span.extracting(first: 1), sent.span, sent.span)
    test.run(until: { client.ends == [.finished] })
    #expect(client.receivedCount == sent.count)
  }

  @Test func `the low mark is told on the way down, and so is empty`() throws {
    let pair = try Pair(test, clientReads: false)
    let (server, client) = (pair.server, pair.client)
    client.keepsBytes = false
    server.connection.lowWaterMark = 400_000
    let block = [UInt8](repeating: 1, count: 10_000_000)
    server.connection.write(block.span)
    let queued = server.connection.queuedBytes
    #expect(queued > 400_000)
    client.connection.startReading()
    test.run(until: { client.receivedCount == block.count })
    #expect(server.drained.count <= 2)
    #expect((server.drained.first ?? .max) <= 400_000)
    #expect(server.drained.last == 0)
  }

  @Test func `a socket that is given up serves its next owner, and the first hears nothing more`() throws {
    let pair = try Pair(test)
    let first = pair.server.connection
    let descriptor = try #require(first.detach())
    #expect(first.isClosed)
    #expect(first.detach() == nil)
    let second = TCPConnection(loop: test.loop, descriptor: descriptor, peer: first.peerAddress)
    defer { second.close() }
    second.write(text: "from the next owner")
    pair.client.connection.write(text: "for the next owner")
    test.run(until: { pair.client.text == "from the next owner" })
    #expect(pair.server.received.isEmpty)
  }

  @Test func `a socket with unsent bytes is not given up`() throws {
    let pair = try Pair(test, clientReads: false)
    let first = pair.server.connection
    let block = [UInt8](repeating: 1, count: 10_000_000)
    first.write(block.span)
    #expect(first.detach() == nil)
    #expect(!first.isClosed)
  }

  @Test func `a paused connection reads nothing until it is resumed`() throws {
    let pair = try Pair(test)
    pair.server.connection.pauseReading()
    #expect(!pair.server.connection.isReading)
    pair.client.connection.write(text: "later")
    test.run(for: .milliseconds(80))
    #expect(pair.server.received.isEmpty)
    pair.server.connection.startReading()
    test.run(until: { pair.server.text == "later" })
  }

  @Test func `what has come is read at once when asked for`() throws {
    let pair = try Pair(test)
    pair.client.connection.write(text: "here")
    // Loopback: it has arrived when the write returns.
    pair.server.connection.readNow()
    #expect(pair.server.text == "here")
    pair.server.connection.readNow()
    #expect(pair.server.text == "here")
    pair.client.connection.write(text: " and later")
    pair.server.connection.pauseReading()
    pair.server.connection.readNow()
    #expect(pair.server.text == "here")
    pair.server.connection.startReading()
    test.run(until: { pair.server.text == "here and later" })
  }

  @Test func `a pause inside the callback takes effect at once`() throws {
    let pair = try Pair(test)
    pair.server.onReceive = { server, _ in server.connection.pauseReading() }
    let block = [UInt8](repeating: 1, count: 300_000)
    pair.client.connection.write(block.span)
    test.run(for: .milliseconds(80))
    #expect(pair.server.receivedCount > 0)
    #expect(pair.server.receivedCount <= InputBuffer.capacity)
  }

  @Test func `after the peer's FIN writing goes on`() throws {
    let pair = try Pair(test)
    pair.client.connection.write(text: "request")
    pair.client.connection.finishWriting()
    test.run(until: { pair.server.hasFinished })
    #expect(pair.server.text == "request")
    #expect(pair.server.connection.hasPeerFinished)
    #expect(!pair.server.connection.isReading)
    let block = [UInt8](repeating: 7, count: 20_000_000)
    pair.client.keepsBytes = false
    pair.server.connection.write(block.span)
    #expect(pair.server.connection.queuedBytes > 0)
    pair.server.connection.finishWriting()
    test.run(until: { pair.client.hasFinished })
    #expect(pair.client.receivedCount == block.count)
    #expect(pair.server.ends == [.finished])
  }

  @Test func `a half-closed peer does not make the loop spin`() throws {
    let pair = try Pair(test)
    pair.client.connection.finishWriting()
    test.run(until: { pair.server.hasFinished })
    let before = threadCPUTime()
    test.run(for: .milliseconds(400))
    #expect(threadCPUTime() - before < .milliseconds(100))
  }

  @Test func `a FIN waits for the queue`() throws {
    let pair = try Pair(test)
    pair.client.keepsBytes = false
    let block = [UInt8](repeating: 7, count: 8_000_000)
    pair.server.connection.write(block.span)
    pair.server.connection.finishWriting()
    #expect(!pair.server.connection.hasFinishedWriting)
    // Too late: the FIN is decided.
    pair.server.connection.write(text: "more")
    test.run(until: { pair.client.hasFinished })
    #expect(pair.client.receivedCount == block.count)
    #expect(pair.server.connection.hasFinishedWriting)
  }

  @Test func `last bytes arrive with the FIN behind them`() throws {
    let pair = try Pair(test)
    let start = test.loop.readClock()
    pair.server.connection.write(text: "first, ")
    pair.server.connection.finishWriting(with: "last".utf8Span.span)
    #expect(pair.server.connection.hasFinishedWriting)
    test.run(until: { pair.client.hasFinished })
    #expect(pair.client.text == "first, last")
    // What the kernel keeps back for more to come would leave after 200 ms.
    #expect(test.loop.readClock() - start < .milliseconds(150))
  }

  @Test func `last bytes that the socket does not take at once arrive before the FIN`() throws {
    let pair = try Pair(test)
    pair.client.keepsBytes = false
    let block = [UInt8](repeating: 7, count: 8_000_000)
    pair.server.connection.finishWriting(with: block.span)
    #expect(!pair.server.connection.hasFinishedWriting)
    pair.server.connection.write(text: "more")
    test.run(until: { pair.client.hasFinished })
    #expect(pair.client.receivedCount == block.count)
    #expect(pair.server.connection.hasFinishedWriting)
  }

  @Test func `no last bytes are a FIN alone`() throws {
    let pair = try Pair(test)
    pair.server.connection.finishWriting(with: "".utf8Span.span)
    test.run(until: { pair.client.hasFinished })
    #expect(pair.client.received.isEmpty)
  }

  @Test func `progress counts what the peer has not acknowledged`() throws {
    let pair = try Pair(test, clientReads: false)
    #expect(pair.server.connection.sendProgress.isComplete)
    let block = [UInt8](repeating: 7, count: 20_000_000)
    pair.server.connection.write(block.span)
    let progress = pair.server.connection.sendProgress
    #expect(progress.queued > 0)
    #expect(progress.unacknowledged > 0)
    pair.client.keepsBytes = false
    pair.client.connection.startReading()
    test.run(until: { pair.server.connection.sendProgress.isComplete })
    #expect(pair.server.connection.queuedBytes == 0)
  }

  @Test func `the user timeout ends a peer that reads nothing, alive or not`() throws {
    var options = SocketOptions()
    options.userTimeout = .seconds(1)
    let pair = try Pair(test, serverOptions: options, clientReads: false)
    pair.server.connection.write([UInt8](repeating: 1, count: 20_000_000).span)
    test.run(until: { pair.server.hasFailed })
    #expect(pair.server.ends == [.failed(.timedOut)])
  }
}
