import Configuration
import Logging
import Loop
import Processes
import Sockets
import Telemetry
import Time

/// Where the gateway may listen, and who is there already.
enum Listeners {
  /// Refuses to start beside a process that nobody meant to share a port with: each would get a part of the connections.
  static func claim(_ configuration: Configuration) throws(Gateway.StartError) {
    guard !configuration.isShared else { return }
    var places = [("listen", configuration.listen), ("admin.listen", configuration.admin.listen)]
    places += configuration.listeners.enumerated().map { ("listeners[\($0)].address", $1.address) }
    for (name, address) in places where !address.isUnix && address.port != 0 && Listener.isTaken(address) {
      throw Gateway.StartError(
        description:
          "\(name): \(address) is in use\(holder(of: address)); --share is for one that takes over from another")
    }
  }

  /// Opens the sockets in the file system, which all loops share. Nobody finds them before they are published.
  ///
  /// - Throws: when one can't be; then none is left behind.
  static func openSockets(_ configuration: Configuration) throws(Gateway.StartError) -> [SocketAddress: UnixSocket] {
    var sockets: [SocketAddress: UnixSocket] = [:]
    for place in configuration.places where place.address.isUnix {
      do throws(UnixSocketError) {
        sockets[place.address] = try UnixSocket(
          at: place.address, mode: place.socketMode.bits, replacesOthers: configuration.isShared)
      } catch {
        for socket in sockets.values { socket.file.remove() }
        throw Gateway.StartError(description: sentence(error, place.address))
      }
    }
    return sockets
  }

  /// Lets clients find the sockets in the file system: last, because nothing gives a path back that was another's.
  ///
  /// - Returns: what is to be removed when no more clients are taken.
  static func publish(_ sockets: [SocketAddress: UnixSocket]) throws(Gateway.StartError) -> [UnixSocketFile] {
    var files: [UnixSocketFile] = []
    for socket in sockets.values {
      do throws(UnixSocketError) {
        files.append(try socket.publish())
      } catch {
        for file in files { file.remove() }
        throw Gateway.StartError(description: sentence(error, socket.address))
      }
    }
    return files
  }

  private static func sentence(_ error: UnixSocketError, _ address: SocketAddress) -> String {
    guard case .inUse(let pid) = error else { return "can't listen on \(address): \(error)" }
    let holder = pid.map { " by pid \($0)" } ?? ""
    return "\(address) is in use\(holder); --share is for one that takes over from another"
  }

  static func holder(of address: SocketAddress) -> String {
    PortHolder.find(port: address.port).map { " by \($0)" } ?? ""
  }
}

// The operators' listener.
extension Gateway {
  /// How often a port is tried again that the process which is to end still has.
  private static let retryInterval = Nanoseconds.milliseconds(200)

  /// Opens the operators' listener. While another process has its port, a gateway that shares waits for it; any other does
  /// not start.
  func startAdmin(_ admin: AdminSettings) throws(StartError) {
    let server = AdminServer(loop: loop, settings: admin) { [unowned self] request, respond in
      answerAdmin(request, respond)
    }
    self.admin = server
    do throws(SocketError) {
      try server.listen(at: admin.listen)
      adminAddress = server.localAddress
    } catch {
      guard error == .addressInUse else {
        throw StartError(description: "the admin listener can't start on \(admin.listen): \(error)")
      }
      guard settings.configuration.isShared else {
        throw StartError(
          description: "the admin listener can't start: \(admin.listen) is in use\(Listeners.holder(of: admin.listen))")
      }
      log.write(.warning, .adminWaiting, at: loop.wallTime()) { line in
        line.field("admin", admin.listen.description)
        line.field("reason", "in use\(Listeners.holder(of: admin.listen))")
      }
      awaitAdminPort(admin)
    }
  }

  private func awaitAdminPort(_ admin: AdminSettings) {
    let timer = Timer(loop: loop) { [unowned self] in
      guard !isDraining, let server = self.admin else { return }
      do throws(SocketError) {
        try server.listen(at: admin.listen)
        adminAddress = server.localAddress
        log.write(.info, .adminStarted, at: loop.wallTime()) { $0.field("admin", admin.listen.description) }
      } catch {
        awaitAdminPort(admin)
      }
    }
    timer.schedule(after: Self.retryInterval)
    adminRetry = timer
  }

  /// Gives the operators' port to the process that takes over, once it was told that this one drains.
  func handOverAdmin() {
    guard settings.configuration.isShared else { return }
    after(.seconds(1)) { [unowned self] in
      admin?.stopListening()
      // Pages find the process that takes over.
      dashboard.end()
    }
  }
}
