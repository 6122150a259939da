import Bytes
package import Loop
package import RedisLog
package import Sockets
package import Time

/// Gives out a connection that nothing is connected to.
package final class FakeTransport: RedisTransport {
  package init() {}

  package private(set) var connection: FakeConnection?
  private var completion: ((Result<any Connection, RedisError>) -> Void)?

  package func open(
    timeout: Nanoseconds, completion: @escaping (Result<any Connection, RedisError>) -> Void
  ) -> () -> Void {
    self.completion = completion
    return {}
  }

  package func connect(on loop: EventLoop) {
    let made = FakeConnection(loop: loop)
    connection = made
    let completion = completion
    self.completion = nil
    completion?(.success(made))
  }
}

package final class FakeConnection: Connection {
  package let loop: EventLoop
  package var handler: (any ConnectionHandler)?
  package private(set) var isClosed = false
  package var lowWaterMark = 0

  init(loop: EventLoop) { self.loop = loop }

  package func deliver(_ bytes: [UInt8]) {
    _ = loop.input.fill(bytes.span)
    handler?.connectionReceived(loop.input)
  }

  package func startReading() {}
  package func pauseReading() {}
  package var isReading: Bool { true }
  package var readAllowance: ReadAllowance?
  package var hasPeerFinished: Bool { false }
  package func write(_ bytes: Span<UInt8>) {}
  package var queuedBytes: Int { 0 }
  package func flush() {}
  package func finishWriting() {}
  package var hasFinishedWriting: Bool { false }
  package var sendProgress: SendProgress { SendProgress(queued: 0, unacknowledged: 0) }
  package var acknowledgedBytes: UInt64 { 0 }
  package var peerSign: PeerSign { .none }
  package var lastWriteProgress: MonotonicTime { loop.now }

  package func close() {
    isClosed = true
    handler = nil
  }

  package func reset() { close() }
  package var hasFailed: Bool { isClosed }
  package var peerAddress: SocketAddress { .loopback(port: 1) }
  package var localAddress: SocketAddress { .loopback(port: 2) }
}

/// Runs the loop until what waits for its turn has had it: a question that is asked again needs a second one.
package final class LastTurns: TurnMember {
  private let loop: EventLoop
  private var left = 4

  package init(of loop: EventLoop) { self.loop = loop }

  package func run() {
    loop.callAfterThisCallback(self)
    loop.run()
  }

  package func turnCame() {
    left -= 1
    if left > 0 { loop.callAfterThisCallback(self) } else { loop.stop() }
  }
}
