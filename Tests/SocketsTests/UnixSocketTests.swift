import Glibc
import Loop
import Sockets
import Testing
import Time

/// Listening sockets in the file system.
@Suite struct `Sockets in the file system` {
  let test: TestLoop
  private let folder: Folder

  init() throws {
    test = try TestLoop()
    folder = try Folder()
  }

  /// A directory of its own, for as long as it is held.
  private final class Folder {
    let path: String

    init() throws {
      var template = Array("/tmp/fermata-socket-XXXXXX".utf8CString)
      path = try #require(mkdtemp(&template).map { String(cString: $0) })
    }

    deinit {
      for name in ["s", "s~\(getpid())", "f"] { unlink("\(path)/\(name)") }
      rmdir(path)
    }
  }

  private var address: SocketAddress {
    get throws { try #require(SocketAddress(unix: folder.path + "/s")) }
  }

  private func mode(of path: String) -> UInt32? {
    var status = stat()
    return lstat(path, &status) == 0 ? status.st_mode : nil
  }

  /// Dials and counts who is accepted.
  private func connect(_ count: Int) throws -> Int {
    var made = 0
    for _ in 0..<count {
      Dialer(loop: test.loop).connect(to: [try address], host: "", timeout: .seconds(5)) { result in
        if case .success = result { made += 1 }
      }
    }
    test.run(for: .milliseconds(20))
    return made
  }

  /// A socket at the path, and what is to be removed there.
  private func publish(
    mode: UInt32 = 0o600, replacesOthers: Bool = false
  ) throws -> (socket: UnixSocket, file: UnixSocketFile) {
    let socket = try UnixSocket(at: try address, mode: mode, replacesOthers: replacesOthers)
    return (socket, try socket.publish())
  }

  @Test func `several listeners accept from one, and its peers have no address`() throws {
    let socket = try publish().socket
    var peers: [SocketAddress] = []
    let listeners = try (0..<2).map { _ in
      try Listener(loop: test.loop, socket: socket) { peers.append($0.peerAddress) }
    }
    #expect(listeners.allSatisfy { $0.localAddress == socket.address })
    #expect(try connect(20) == 20)
    test.run(until: { peers.count == 20 })
    #expect(peers.allSatisfy { $0 == .localPeer && $0.host == "unix" && $0.description == "unix" })
    listeners[0].closeAfterBacklog()
    #expect(try connect(5) == 5)
    test.run(until: { peers.count == 25 })
  }

  @Test(arguments: [0o600, 0o660, 0o666, 0o777] as [UInt32])
  func `it has the mode that is wanted, whatever the mask`(wanted: UInt32) throws {
    let before = umask(0o077)
    defer { umask(before) }
    let socket = try publish(mode: wanted).socket
    #expect(mode(of: socket.address.path) == S_IFSOCK | wanted)
    #expect(mode(of: socket.address.path + "~\(getpid())") == nil)
  }

  @Test func `one that nobody listens at is replaced, one in use is not`() throws {
    var first: UnixSocket? = try publish().socket
    let listening = try address
    #expect(throws: UnixSocketError.inUse(pid: getpid())) { try UnixSocket(at: listening, mode: 0o600) }
    #expect(first != nil)
    first = nil
    // Its file is still there.
    #expect(mode(of: listening.path) != nil && UnixSocket.fault(of: listening) == nil)
    let second = try publish(mode: 0o660)
    #expect(mode(of: listening.path) == S_IFSOCK | 0o660)
    second.file.remove()
    #expect(mode(of: listening.path) == nil)
  }

  @Test func `what is no socket stays`() throws {
    let path = folder.path + "/f"
    close(open(path, O_CREAT | O_WRONLY, 0o600))
    let address = try #require(SocketAddress(unix: path))
    for replacesOthers in [false, true] {
      #expect(throws: UnixSocketError.notASocket) {
        try UnixSocket(at: address, mode: 0o600, replacesOthers: replacesOthers)
      }
    }
    #expect(mode(of: path) == S_IFREG | 0o600)
    let nowhere = try #require(SocketAddress(unix: folder.path + "/no/s"))
    #expect(throws: UnixSocketError.system(SystemError(code: ENOENT))) { try UnixSocket(at: nowhere, mode: 0o600) }
  }

  @Test func `one that takes over replaces one in use, which does not remove the other's`() throws {
    let first = try publish()
    var counts = [0, 0]
    let one = try Listener(loop: test.loop, socket: first.socket) { _ in counts[0] += 1 }
    #expect(try connect(3) == 3)
    // One that is given up before it is published takes nothing.
    try UnixSocket(at: try address, mode: 0o600, replacesOthers: true).file.remove()
    #expect(mode(of: try address.path + "~\(getpid())") == nil)
    #expect(try connect(2) == 2)
    test.run(until: { counts == [5, 0] })
    let second = try publish(replacesOthers: true)
    let other = try Listener(loop: test.loop, socket: second.socket) { _ in counts[1] += 1 }
    #expect(try connect(4) == 4)
    test.run(until: { counts == [5, 4] })
    first.file.remove()
    one.close()
    #expect(try connect(1) == 1)
    test.run(until: { counts == [5, 5] })
    other.close()
  }
}
