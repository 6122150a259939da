import Bytes
import Loop
import Sockets
import Testing
import Time

@Suite struct ResetTests {
  let test: TestLoop

  init() throws { test = try TestLoop() }

  @Test func `a reset is seen by a reader, once`() throws {
    let pair = try Pair(test)
    pair.client.connection.reset()
    test.run(until: { pair.server.hasFailed })
    #expect(pair.server.ends == [.failed(.reset)])
    #expect(pair.server.connection.hasFailed)
    pair.server.connection.write(text: "into the void")
    test.run(for: .milliseconds(60))
    #expect(pair.server.ends.count == 1)
  }

  @Test func `a reset after the peer's half-close is seen while nothing is written`() throws {
    let pair = try Pair(test)
    pair.client.connection.finishWriting()
    test.run(until: { pair.server.hasFinished })
    pair.client.connection.reset()
    test.run(until: { pair.server.hasFailed })
    #expect(pair.server.ends.count == 2)
    #expect(pair.server.ends.first == .finished)
  }

  @Test func `a peer that closes for good after its half-close is seen at the next write`() throws {
    let pair = try Pair(test)
    pair.client.connection.finishWriting()
    test.run(until: { pair.server.hasFinished })
    pair.client.connection.close()
    pair.server.connection.write(text: "one")
    test.run(until: { pair.server.hasFailed })
  }

  @Test func `a reset with a full queue after a half-close is seen`() throws {
    let pair = try Pair(test, clientReads: false)
    pair.client.connection.finishWriting()
    test.run(until: { pair.server.hasFinished })
    pair.server.connection.write([UInt8](repeating: 1, count: 20_000_000).span)
    test.run(for: .milliseconds(60))
    #expect(pair.server.connection.queuedBytes > 0)
    pair.client.connection.reset()
    test.run(until: { pair.server.hasFailed })
    #expect(pair.server.connection.queuedBytes == 0)
  }

  @Test func `a reset while reading is paused shows when something is written`() throws {
    let pair = try Pair(test, serverReads: false)
    pair.client.connection.reset()
    test.run(for: .milliseconds(60))
    #expect(pair.server.ends.isEmpty)
    var isInsideWrite = true
    pair.server.onEnd = { _, _ in #expect(!isInsideWrite) }
    pair.server.connection.write(text: "x")
    isInsideWrite = false
    #expect(pair.server.connection.hasFailed)
    #expect(pair.server.ends.isEmpty)
    test.run(until: { pair.server.hasFailed })
  }

  @Test func `a failure that waits to be told is not told after close`() throws {
    let pair = try Pair(test, serverReads: false)
    pair.client.connection.reset()
    test.run(for: .milliseconds(60))
    pair.server.connection.write(text: "x")
    pair.server.connection.close()
    pair.server.connection.close()
    test.run(for: .milliseconds(60))
    #expect(pair.server.ends.isEmpty)
  }

  @Test func `closing and letting go inside each callback is safe`() throws {
    for kind in ["receive", "finish", "fail", "drained"] {
      let pair = try Pair(test, clientReads: false)
      var server: Recorder? = pair.server
      weak var observed: TCPConnection?
      observed = server?.connection
      var done = false
      func drop() {
        server?.connection.close()
        server = nil
        done = true
      }
      server?.onReceive = { _, _ in drop() }
      server?.onEnd = { _, _ in drop() }
      server?.onDrained = { _ in drop() }
      switch kind {
      case "receive": pair.client.connection.write(text: "x")
      case "finish": pair.client.connection.finishWriting()
      case "fail": pair.client.connection.reset()
      default:
        pair.server.connection.write([UInt8](repeating: 1, count: 9_000_000).span)
        pair.client.connection.startReading()
      }
      test.run(until: { done })
      #expect(observed?.isClosed == true)
    }
  }

  @Test func `the handler is kept until the connection is closed, and not called after`() throws {
    final class Handler: ConnectionHandler {
      let connection: TCPConnection
      var calls = 0
      init(_ connection: TCPConnection) {
        self.connection = connection
        connection.handler = self
      }
      func connectionReceived(_ input: InputBuffer) { calls += 1 }
      func connectionDrained() { calls += 1 }
      func connectionEnded(_ end: ConnectionEnd) { calls += 1 }
    }
    let pair = try Pair(test)
    weak var observed: Handler?
    func install() {
      let handler = Handler(pair.server.connection)
      observed = handler
    }
    install()
    pair.client.connection.write(text: "x")
    test.run(until: { observed?.calls == 1 })
    pair.client.connection.write(text: "y")
    pair.server.connection.close()
    test.run(for: .milliseconds(60))
    #expect(observed == nil)
  }

  @Test func `a connection nobody keeps is closed`() throws {
    var accepted: TCPConnection?
    let listener = try Listener(loop: test.loop, address: .loopback(port: 0)) { accepted = $0 }
    var client: Recorder?
    Dialer(loop: test.loop).connect(
      host: "127.0.0.1", port: listener.localAddress.port, timeout: .seconds(5)
    ) { client = (try? $0.get()).map { Recorder($0) } }
    test.run(until: { accepted != nil && client != nil })
    accepted = nil
    test.run(until: { client?.hasFinished == true })
  }
}
