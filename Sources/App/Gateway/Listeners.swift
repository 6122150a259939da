import Configuration
package import Loop
import Processes
import Sockets

/// Where the gateway may listen, and who is there already.
package enum Listeners {
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

  package static func holder(of address: SocketAddress) -> String {
    PortHolder.find(port: address.port).map { " by \($0)" } ?? ""
  }
}
