internal import Bytes
package import Loop
internal import Sockets
internal import Synchronization
package import TLS
internal import Time

/// How a relay speaks TLS on both of its sides.
package struct RelaySecurity: Sendable {
  let near: TLSContext
  let far: TLSClientSettings

  /// - Parameters:
  ///   - near: the server that clients see.
  ///   - far: how the server behind is reached. What it is asked to speak is what each client has agreed on.
  package init(near: TLSContext, far: TLSClientSettings) {
    (self.near, self.far) = (near, far)
  }

  /// For a client that has agreed on this.
  func context(speaking applicationProtocol: String) -> TLSContext? {
    var settings = far
    settings.protocols = applicationProtocol.isEmpty ? [] : [applicationProtocol]
    return try? TLSContext(client: settings)
  }
}

/// A relay between clients and a server that breaks one connection behind a text of the server's, once, as a network
/// does. All other connections are passed on.
package final class CuttingRelay: Sendable {
  /// Where it listens.
  package let address: SocketAddress
  private let thread: LoopThread
  private let hub: LoopBound<RelayHub>

  private init(address: SocketAddress, thread: LoopThread, hub: LoopBound<RelayHub>) {
    (self.address, self.thread, self.hub) = (address, thread, hub)
  }

  /// Listens on a free port of loopback, on a thread of its own.
  ///
  /// - Parameters:
  ///   - server: where connections lead.
  ///   - text: the first connection on which the server sends it is reset behind it.
  ///   - security: for TLS on both sides; the text is looked for inside.
  package static func start(
    to server: SocketAddress, cuttingBehind text: String, over security: RelaySecurity? = nil
  ) throws -> CuttingRelay {
    let started = Mutex<Result<(SocketAddress, LoopBound<RelayHub>), any Error>?>(nil)
    let thread = try LoopThread.start(name: "relay") { loop in
      let result = Result { () throws -> (SocketAddress, LoopBound<RelayHub>) in
        let hub = RelayHub(loop: loop, server: server, mark: Array(text.utf8), security: security)
        return (try hub.listen(), LoopBound(hub, loop: loop))
      }
      started.withLock { $0 = result }
    }
    while true {
      if let result = started.withLock({ $0 }) {
        let (address, hub) = try result.get()
        return CuttingRelay(address: address, thread: thread, hub: hub)
      }
      Pause.briefly()
    }
  }

  /// Closes all connections and ends the thread.
  package func stop() {
    thread.mailbox.post { [hub] in hub.value.stop() }
    thread.join()
  }
}

/// The loop's side of a `CuttingRelay`.
private final class RelayHub {
  private let loop: EventLoop
  private let server: SocketAddress
  /// Empty once it was found.
  var mark: [UInt8]
  private let security: RelaySecurity?
  private static let patience = Nanoseconds.seconds(5)
  private var listener: Listener?
  private var ends: [RelayEnd] = []
  private lazy var dialer = Dialer(loop: loop)

  init(loop: EventLoop, server: SocketAddress, mark: [UInt8], security: RelaySecurity?) {
    (self.loop, self.server, self.mark, self.security) = (loop, server, mark, security)
  }

  func listen() throws -> SocketAddress {
    let listener = try Listener(loop: loop, address: .loopback(port: 0)) { [unowned self] client in
      guard let security else { return dial { [unowned self] in join(client, $0) } }
      TLSConnection.accept(over: client, context: security.near, timeout: Self.patience) { [unowned self] result in
        if case .success(let client) = result { dial(for: client, security) }
      }
    }
    self.listener = listener
    return listener.localAddress
  }

  private func dial(_ completion: @escaping (TCPConnection?) -> Void) {
    dialer.connect(host: server.host, port: server.port, timeout: Self.patience) { result in
      completion(try? result.get())
    }
  }

  private func dial(for client: TLSConnection, _ security: RelaySecurity) {
    dial { [unowned self] server in
      guard let server, let context = security.context(speaking: client.applicationProtocol) else {
        server?.close()
        return client.close()
      }
      TLSConnection.connect(over: server, context: context, serverName: "localhost", timeout: Self.patience) {
        [unowned self] result in join(client, try? result.get())
      }
    }
  }

  private func join(_ client: any Connection, _ server: (any Connection)?) {
    guard let server else { return client.close() }
    let (near, far) = (RelayEnd(client, hub: self), RelayEnd(server, hub: self))
    (near.other, far.other, far.isServer) = (far, near, true)
    ends += [near, far]
    near.start()
    far.start()
  }

  func stop() {
    listener?.close()
    for end in ends { end.close() }
    ends = []
    loop.stop()
  }
}

/// One side of a connection that is passed on.
private final class RelayEnd: ConnectionHandler {
  private let connection: any Connection
  private unowned let hub: RelayHub
  weak var other: RelayEnd?
  var isServer = false
  /// What came last, as far as the mark may have begun in it.
  private var tail: [UInt8] = []

  init(_ connection: any Connection, hub: RelayHub) {
    (self.connection, self.hub) = (connection, hub)
  }

  func start() {
    connection.handler = self
    connection.startReading()
  }

  func close() { connection.close() }

  func connectionReceived(_ input: InputBuffer) {
    let bytes = [UInt8](copying: input.bytes)
    guard isServer, !hub.mark.isEmpty, let end = endOfMark(in: bytes) else {
      other?.connection.write(bytes.span)
      return
    }
    hub.mark = []
    let passed = Array(bytes[..<end])
    other?.connection.write(passed.span)
    // A FIN in the middle of a chunk is as good a cut as a reset, and does not overtake what was sent.
    other?.connection.finishWriting()
    connection.close()
  }

  /// Where the mark ends in `bytes`, if it ends there.
  private func endOfMark(in bytes: [UInt8]) -> Int? {
    let (mark, before) = (hub.mark, tail.count)
    let all = tail + bytes
    tail = Array(all.suffix(mark.count - 1))
    guard all.count >= mark.count else { return nil }
    for start in 0...all.count - mark.count where all[start..<start + mark.count].elementsEqual(mark) {
      return max(0, start + mark.count - before)
    }
    return nil
  }

  func connectionDrained() {}

  func connectionEnded(_ end: ConnectionEnd) {
    if case .finished = end, let other, !other.connection.isClosed { return other.connection.finishWriting() }
    other?.connection.close()
    connection.close()
  }
}
