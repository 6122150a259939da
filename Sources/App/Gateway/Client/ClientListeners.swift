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
  }

  /// Opens them, in the order of the configuration's places.
  ///
  /// - Returns: where they listen.
  func open(at addresses: [SocketAddress], on loop: EventLoop) throws(ListenFault) -> [SocketAddress] {
    var options = SocketOptions()
    options.unsentLimit = Self.unsentLimit
    for (index, address) in addresses.enumerated() {
      do throws(SocketError) {
        listeners.append(
          try Listener(loop: loop, address: address, options: options) { [unowned self] connection in
            clients.accept(connection, at: index)
            if clients.handshakes.isFull { pauseSecureListeners() }
          })
      } catch {
        throw ListenFault(address: address, error: error)
      }
    }
    return listeners.map(\.localAddress)
  }

  /// Leaves new clients of TLS in the kernel's queue until some of those before them have shaken hands.
  private func pauseSecureListeners() {
    for (index, listener) in listeners.enumerated() where clients.settings.configuration.tls(at: index) != nil {
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
