import Glibc
package import Loop

/// Why nobody can be served at a path.
package enum UnixSocketError: Error, Equatable, Sendable, CustomStringConvertible {
  /// A process accepts connections there: which one, where the kernel says so.
  case inUse(pid: Int32?)
  /// What stands there is a file of another kind, which is not to be replaced.
  case notASocket
  case system(SystemError)

  package var description: String {
    switch self {
    case .inUse: "address already in use"
    case .notASocket: "there is a file that is no socket"
    case .system(let error): error.description
    }
  }
}

/// A listening socket in the file system (unix(7)), from which the listeners of several loops accept.
package final class UnixSocket: Sendable {
  package let address: SocketAddress
  /// Where it is until it is published. To be removed where it never is.
  package let file: UnixSocketFile
  let descriptor: Int32

  /// Listens at once under a name that nobody knows, the path with `~` and the process's number, until it is published.
  ///
  /// There it gets its mode, so that nobody connects who may not. And the path stays with whoever has it now for as long
  /// as it is not sure that this process can serve.
  /// - Parameters:
  ///   - mode: who may connect, as for chmod(2): those who may write.
  ///   - replacesOthers: will take the path from a process that listens there too, which keeps those that came before.
  ///   - backlog: connections the kernel keeps until they are accepted; it may cap this (net.core.somaxconn).
  package init(
    at address: SocketAddress, mode: UInt32, replacesOthers: Bool = false, backlog: Int32 = 4096
  ) throws(UnixSocketError) {
    // Who takes over need not ask who is there.
    let isFile = Self.kind(at: address.path) == .other
    if let fault = replacesOthers ? (isFile ? .notASocket : nil) : Self.fault(of: address) { throw fault }
    guard let own = SocketAddress(unix: address.path + "~\(getpid())") else {
      throw .system(SystemError(code: ENAMETOOLONG))
    }
    // What another process of that number has left, which was killed in between.
    if Self.kind(at: own.path) == .socket { unsafe unlink(own.path) }
    self.address = address
    descriptor = try Self.check(SocketCalls.makeStream(for: own))
    do throws(UnixSocketError) {
      if let error = SocketCalls.bind(descriptor, to: own) { throw UnixSocketError.system(error) }
      guard unsafe chmod(own.path, mode) == 0, listen(descriptor, backlog) == 0, let file = UnixSocketFile(own.path)
      else { throw UnixSocketError.system(.last) }
      self.file = file
    } catch {
      Glibc.close(descriptor)
      unsafe unlink(own.path)
      throw error
    }
  }

  deinit { Glibc.close(descriptor) }

  /// Takes the path, and replaces a socket there. There is never a time without one.
  ///
  /// - Returns: what is at the path now, to be removed at the end.
  package func publish() throws(UnixSocketError) -> UnixSocketFile {
    guard unsafe rename(file.path, address.path) == 0 else { throw .system(.last) }
    return file.moved(to: address.path)
  }

  /// Why nobody may listen there; `nil` when there is nothing, or a socket that nobody listens at.
  package static func fault(of address: SocketAddress) -> UnixSocketError? {
    switch kind(at: address.path) {
    case .nothing: nil
    case .other: .notASocket
    case .socket: user(of: address)
    }
  }

  /// Asks by a connection, which the other process sees come and go.
  private static func user(of address: SocketAddress) -> UnixSocketError? {
    guard case .success(let probe) = SocketCalls.makeStream(for: address) else { return nil }
    defer { Glibc.close(probe) }
    guard let error = SocketCalls.connect(probe, to: address) else {
      return .inUse(pid: SocketCalls.peerProcess(of: probe))
    }
    switch error.code {
    case ECONNREFUSED, ENOENT: return nil
    // Its queue is full.
    case EAGAIN: return .inUse(pid: nil)
    default: return .system(error)
    }
  }

  private enum Kind { case nothing, socket, other }

  private static func kind(at path: String) -> Kind {
    var status = stat()
    guard unsafe lstat(path, &status) == 0 else { return .nothing }
    return status.st_mode & S_IFMT == S_IFSOCK ? .socket : .other
  }

  private static func check(_ result: Result<Int32, SystemError>) throws(UnixSocketError) -> Int32 {
    switch result {
    case .success(let descriptor): return descriptor
    case .failure(let error): throw .system(error)
    }
  }
}

/// A socket's file, as one process has made it.
package struct UnixSocketFile: Sendable {
  fileprivate let path: String
  private let device: UInt64
  private let inode: UInt64

  private init(path: String, device: UInt64, inode: UInt64) {
    self.path = path
    self.device = device
    self.inode = inode
  }

  /// What is at `path` now; `nil` when there is nothing.
  init?(_ path: String) {
    var status = stat()
    guard unsafe lstat(path, &status) == 0 else { return nil }
    self.init(path: path, device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
  }

  func moved(to path: String) -> UnixSocketFile { UnixSocketFile(path: path, device: device, inode: inode) }

  /// Removes it, unless another process has put its own in its place.
  package func remove() {
    guard let now = UnixSocketFile(path), now.device == device, now.inode == inode else { return }
    unsafe unlink(path)
  }
}
