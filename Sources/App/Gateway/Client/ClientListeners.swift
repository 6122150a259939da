import Configuration
import Loop
import Sockets

/// Why one of the places where clients connect can't be opened.
struct ListenFault: Error, CustomStringConvertible {
  let address: SocketAddress
  let error: SocketError

  var description: String { "can't listen on \(address): \(error)" }
}

/// The listeners of one loop. Confined to its loop.
final class ClientListeners {
  private let clients: ClientRoster
  private var listeners: [Listener] = []

  init(_ clients: ClientRoster) {
    self.clients = clients
    clients.handshakes.roomIsBack = { [unowned self] in for listener in listeners { listener.resume() } }
    clients.handshakes.becameFull = { [unowned self] in pauseSecureListeners() }
  }

  /// Opens them, in the order of the configuration's places.
  ///
  /// - Parameter sockets: those in the file system, by their addresses.
  /// - Returns: where they listen.
  func open(
    at addresses: [SocketAddress], _ sockets: [SocketAddress: UnixSocket], on loop: EventLoop
  ) throws(ListenFault) -> [SocketAddress] {
    for (index, address) in addresses.enumerated() {
      do throws(SocketError) {
        listeners.append(
          try Self.listener(at: address, sockets[address], on: loop) { [unowned self] connection in
            clients.accept(connection, at: index)
          })
      } catch {
        throw ListenFault(address: address, error: error)
      }
    }
    return listeners.map(\.localAddress)
  }

  private static func listener(
    at address: SocketAddress, _ socket: UnixSocket?, on loop: EventLoop, accepted: @escaping (TCPConnection) -> Void
  ) throws(SocketError) -> Listener {
    if let socket { return try Listener(loop: loop, socket: socket, accepted: accepted) }
    var options = SocketOptions()
    options.unsentLimit = unsentLimit
    return try Listener(loop: loop, address: address, options: options, accepted: accepted)
  }

  /// Leaves new clients of TLS in the kernel's queue until some of those before them have shaken hands.
  private func pauseSecureListeners() {
    for (index, listener) in listeners.enumerated() where clients.settings.listeners[index].tls != nil {
      listener.pause()
    }
  }

  /// Bytes of one client's answers that the kernel takes before it has sent them.
  private static let unsentLimit = 128 << 10

  /// Takes those in the kernel's queue, then no more.
  func closeAfterBacklog() {
    for listener in listeners { listener.closeAfterBacklog() }
    listeners = []
  }

  func close() {
    for listener in listeners { listener.close() }
  }
}
