internal import Bytes
internal import Loop
internal import Sockets
internal import TLS
internal import Time

/// The loop's side of a `ScriptedBackend`: its listener and its open connections.
final class BackendServer {
  let loop: EventLoop
  let timers: TimerQueue
  let log: BackendLog
  let choose: @Sendable (RecordedRequest) -> Script
  /// For framing what goes out.
  private var output = ByteBuffer()
  /// For backends over TLS.
  private let context: TLSContext?
  private var listener: Listener?
  private var connections: [ObjectIdentifier: BackendConnection] = [:]

  init(
    loop: EventLoop, log: BackendLog, tls: TLSServerSettings?, choose: @escaping @Sendable (RecordedRequest) -> Script
  ) throws {
    self.loop = loop
    timers = try TimerQueue(loop: loop)
    self.log = log
    self.choose = choose
    context = try tls.map { settings throws in try TLSContext(server: settings) }
  }

  /// Starts to listen; returns where, with the port that was picked.
  func listen(at address: SocketAddress) throws -> SocketAddress {
    let listener = try Listener(loop: loop, address: address) { [unowned self] connection in accept(connection) }
    self.listener = listener
    return listener.localAddress
  }

  func stopListening() {
    listener?.close()
    listener = nil
  }

  func stop() {
    stopListening()
    for connection in connections.values { connection.abandon() }
    connections = [:]
    loop.stop()
  }

  /// Writes what `build` makes, in one piece.
  func send(to connection: any Connection, _ build: (inout ByteBuffer) -> Void) {
    Self.send(&output, to: connection, build)
  }

  private static func send(
    _ buffer: inout ByteBuffer, to connection: any Connection, _ build: (inout ByteBuffer) -> Void
  ) {
    buffer.removeAll()
    build(&buffer)
    connection.write(buffer.span)
  }

  func forget(_ connection: BackendConnection) {
    connections[ObjectIdentifier(connection)] = nil
  }

  private func accept(_ connection: TCPConnection) {
    guard let context else { return play(connection) }
    TLSConnection.accept(over: connection, context: context, timeout: .seconds(10)) { [unowned self] outcome in
      if case .success(let connection) = outcome { play(connection) }
    }
  }

  private func play(_ connection: any Connection) {
    let player = BackendConnection(connection, server: self, number: log.countConnection())
    connections[ObjectIdentifier(player)] = player
    player.start()
  }
}
