import Harness
import Loop
import Matrix
import Processes
import Sockets
import Time

/// A server of another kind between clients and the gateway.
final class MatrixProxy: Sendable {
  let address: SocketAddress
  private let stopping: @Sendable () -> Void

  private init(address: SocketAddress, stopping: @escaping @Sendable () -> Void) {
    (self.address, self.stopping) = (address, stopping)
  }

  func stop() { stopping() }

  /// Those that are installed, by their transport.
  static func all(in folder: TemporaryDirectory, to gateway: SocketAddress, clients: ClientLoop) async
    -> [String: MatrixProxy]
  {
    var proxies: [String: MatrixProxy] = [:]
    for transport in MatrixTransport.all {
      if let proxy = await start(transport.id, in: folder, to: gateway, clients: clients) {
        proxies[transport.id] = proxy
      }
    }
    return proxies
  }

  private static func start(
    _ name: String, in folder: TemporaryDirectory, to gateway: SocketAddress, clients: ClientLoop
  ) async -> MatrixProxy? {
    guard let address = try? freeAddress(), let command = try? command(name, at: address, in: folder, to: gateway),
      let process = try? SharedChild(command, errorFile: folder.path + "/\(name).errors")
    else { return nil }
    let proxy = MatrixProxy(address: address) { process.stop() }
    for _ in 0..<200 {
      let answer = await clients.fetch(ClientRequest("GET", "/"), from: address)
      if answer.status > 0 { return proxy }
      try? await Task.sleep(for: .milliseconds(20))
    }
    proxy.stop()
    return nil
  }

  private static func command(
    _ name: String, at address: SocketAddress, in folder: TemporaryDirectory, to gateway: SocketAddress
  ) throws -> [String]? {
    let backend = BenchBackend(address: gateway)
    switch name {
    case "nginx":
      let file = try folder.write(
        "nginx.conf", BenchServerSettings.nginx(backend: backend, front: nil, address: address, folder: folder.path))
      return ["nginx", "-p", folder.path, "-c", file, "-e", folder.path + "/nginx.errors"]
    case "haproxy":
      let file = try folder.write(
        "haproxy.cfg", BenchServerSettings.haproxy(backend: backend, front: nil, address: address))
      return ["haproxy", "-db", "-q", "-f", file]
    default: return nil
    }
  }

  /// An address at which nobody listens just now.
  static func freeAddress() throws -> SocketAddress {
    let listener = try Listener(loop: try EventLoop(), address: .loopback(port: 0)) { _ in }
    defer { listener.close() }
    return listener.localAddress
  }
}
