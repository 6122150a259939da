import Harness
import Loop
import Sockets
import Synchronization
import Time

/// A stable address of servers that take turns: a new connection goes to the one that is chosen, old ones stay where
/// they are.
final class SwitchingRelay: Sendable {
  let port: Int
  private let thread: LoopThread
  private let loop: LoopBound<EventLoop>
  private let target: Target
  private let clients: LoopBound<Clients>

  private final class Target: Sendable {
    let port: Mutex<UInt16>
    init(_ port: Int) { self.port = Mutex(UInt16(port)) }
  }

  /// Those that have connected; of its loop.
  private final class Clients {
    var all: [TCPConnection] = []
  }

  init(to port: Int) throws {
    let target = Target(port)
    let started = Mutex<(UInt16, LoopBound<EventLoop>, LoopBound<Clients>)?>(nil)
    thread = try LoopThread.start(name: "relay") { loop in
      let dialer = Dialer(loop: loop)
      let clients = Clients()
      let listener = try? Listener(loop: loop, address: .loopback(port: 0)) { client in
        let port = target.port.withLock { $0 }
        dialer.connect(host: "127.0.0.1", port: port, timeout: .seconds(2)) { result in
          guard case .success(let server) = result else { return client.close() }
          clients.all.append(client)
          RelayEnd.join(client, server)
        }
      }
      let bound = (LoopBound(loop, loop: loop), LoopBound(clients, loop: loop))
      // Held by the loop for as long as that is.
      if let listener { _ = loop.deadlines.add(Holder(listener), at: loop.now) }
      started.withLock { $0 = (listener?.localAddress.port ?? 0, bound.0, bound.1) }
    }
    while started.withLock({ $0 == nil }) { Pause.briefly() }
    let (own, bound, clients) = started.withLock { $0! }
    self.port = Int(own)
    loop = bound
    self.clients = clients
    self.target = target
  }

  /// Where connections lead from now on.
  func lead(to port: Int) { target.port.withLock { $0 = UInt16(port) } }

  /// Sends `bytes` to all clients as if their servers had.
  func inject(_ bytes: [UInt8]) {
    let clients = clients
    thread.mailbox.post { for client in clients.value.all { client.write(bytes.span) } }
  }

  func stop() {
    let loop = loop
    thread.mailbox.post { loop.value.stop() }
    thread.join()
  }
}

private final class Holder: DeadlineMember {
  private let listener: Listener
  init(_ listener: Listener) { self.listener = listener }
  func deadlinePassed(at now: MonotonicTime) -> MonotonicTime? { now + .seconds(1) }
}

/// One side of a connection that is passed on.
private final class RelayEnd: ConnectionHandler {
  private let own: TCPConnection
  private let other: TCPConnection

  private init(_ own: TCPConnection, _ other: TCPConnection) {
    self.own = own
    self.other = other
    own.handler = self
  }

  static func join(_ client: TCPConnection, _ server: TCPConnection) {
    _ = RelayEnd(client, server)
    _ = RelayEnd(server, client)
    client.startReading()
    server.startReading()
  }

  func connectionReceived(_ input: InputBuffer) { other.write(input.bytes) }
  func connectionDrained() {}

  func connectionEnded(_ end: ConnectionEnd) {
    own.close()
    other.close()
  }
}
