import Glibc
package import Harness
package import Loop

/// A plain blocking socket for what a stream client does not do: several requests on one connection, odd endings,
/// slow reading.
package final class RawConnection {
  package enum End: Equatable {
    case finished
    case reset
    /// Nothing came in time.
    case silent
  }

  package struct Response {
    package let head: WireHead
    package let body: [UInt8]
    package var status: Int { head.status }
    package var text: String { String(decoding: body, as: UTF8.self) }
  }

  private let descriptor: Int32
  fileprivate var unread: [UInt8] = []
  private var isClosed = false
  package private(set) var end: End?

  /// - Parameter receiveBuffer: bytes that the kernel takes ahead of the reader.
  package init(to address: SocketAddress, receiveBuffer: Int32? = nil) throws {
    descriptor = try Self.socket(AF_INET)
    if var size = receiveBuffer {
      setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
    }
    var name = sockaddr_in()
    name.sin_family = sa_family_t(AF_INET)
    name.sin_port = address.port.bigEndian
    name.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    try Self.connect(descriptor, to: &name, called: "\(address)")
  }

  /// - Parameter path: of a Unix socket, at most 107 bytes.
  package init(toUnixSocket path: String) throws {
    descriptor = try Self.socket(AF_UNIX)
    var name = sockaddr_un()
    name.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &name.sun_path) { $0.copyBytes(from: path.utf8.prefix($0.count - 1)) }
    try Self.connect(descriptor, to: &name, called: path)
  }

  private static func socket(_ family: Int32) throws -> Int32 {
    let descriptor = Glibc.socket(family, Int32(SOCK_STREAM.rawValue), 0)
    guard descriptor >= 0 else { throw SupportError("no socket: errno \(errno)") }
    return descriptor
  }

  /// Connects, or closes the descriptor.
  private static func connect<Name>(_ descriptor: Int32, to name: inout Name, called text: String) throws {
    let result = withUnsafePointer(to: &name) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<Name>.size))
      }
    }
    guard result != 0 else { return }
    let code = errno
    Glibc.close(descriptor)
    throw SupportError("can't connect to \(text): errno \(code)")
  }

  fileprivate init(descriptor: Int32) { self.descriptor = descriptor }

  deinit { close() }

  package func send(_ text: String) { send(Array(text.utf8)) }

  /// - Returns: whether the kernel took all of it.
  @discardableResult
  package func send(_ bytes: [UInt8]) -> Bool {
    var sent = 0
    while sent < bytes.count {
      let count = bytes.withUnsafeBytes {
        Glibc.send(descriptor, $0.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
      }
      if count <= 0 { return false }
      sent += count
    }
    return true
  }

  package func finishWriting() { shutdown(descriptor, Int32(SHUT_WR)) }

  package func close() {
    guard !isClosed else { return }
    isClosed = true
    Glibc.close(descriptor)
  }

  /// Closes with a reset.
  package func reset() {
    var linger = linger(l_onoff: 1, l_linger: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<linger>.size))
    close()
  }

  /// The next response, interim ones included; `nil` when the connection ends or is silent before it is complete.
  package func response(isHead: Bool = false, seconds: Double = 10) -> Response? {
    var parsed = WireHead.parse(unread)
    while parsed == nil {
      guard read(seconds: seconds) else { return nil }
      parsed = WireHead.parse(unread)
    }
    guard let (head, length) = parsed else { return nil }
    unread.removeFirst(length)
    var reader = WireBody(Self.framing(of: head, isHead: isHead))
    var body: [UInt8] = []
    while true {
      unread.removeFirst(reader.take(unread[...], into: &body))
      if reader.state == .complete { return Response(head: head, body: body) }
      if case .broken = reader.state { return nil }
      if !read(seconds: seconds) {
        return end == .finished && reader.mayEndByClose ? Response(head: head, body: body) : nil
      }
    }
  }

  private static func framing(of head: WireHead, isHead: Bool) -> WireBody.Framing {
    if isHead || head.status < 200 || head.status == 204 || head.status == 304 { return .length(0) }
    if head.value("Transfer-Encoding")?.lowercased() == "chunked" { return .chunked }
    return head.value("Content-Length").flatMap { Int($0) }.map { .length($0) } ?? .untilClose
  }

  /// Everything up to the connection's end.
  package func rest(seconds: Double = 10) -> [UInt8] {
    while read(seconds: seconds) {}
    defer { unread = [] }
    return unread
  }

  /// What has been read and not been asked for yet.
  package func takeUnread() -> [UInt8] {
    defer { unread = [] }
    return unread
  }

  /// Reads at most `count` bytes and returns how many came.
  package func take(_ count: Int, seconds: Double = 10) -> Int {
    let before = unread.count
    _ = read(seconds: seconds, limit: count)
    return unread.count - before
  }

  /// Reads until the unread bytes hold `text`.
  package func receives(_ text: String, seconds: Double = 10) -> Bool {
    while !String(decoding: unread, as: UTF8.self).contains(text) {
      guard read(seconds: seconds) else { return false }
    }
    return true
  }

  /// Whether more came.
  private func read(seconds: Double, limit: Int = 65_536) -> Bool {
    guard end == nil || end == .silent else { return false }
    var interest = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    guard poll(&interest, 1, Int32(seconds * 1000)) > 0 else {
      end = .silent
      return false
    }
    var piece = [UInt8](repeating: 0, count: limit)
    let count = recv(descriptor, &piece, piece.count, 0)
    if count > 0 {
      unread += piece[..<count]
      return true
    }
    end = count == 0 ? .finished : .reset
    return false
  }
}

extension RawConnection {
  /// Reads what has come and drops it; returns how much it was, 0 at the end.
  package func takeAndForget(seconds: Double = 20) -> Int {
    let count = take(1 << 18, seconds: seconds)
    unread = []
    return count
  }
}

/// A listener of loopback that does not share its port, and takes a connection when it is told to.
package final class RawListener {
  package let address: SocketAddress
  private let descriptor: Int32

  /// - Parameter receiveBuffer: bytes that the kernel takes of what a connection does not read, about; `nil`: as many as it
  ///   likes, which may be 32 MB and more.
  package init(receiveBuffer: Int32? = nil) throws {
    let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    if var size = receiveBuffer {
      // Connections that are accepted have it too.
      setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
    }
    var name = sockaddr_in()
    name.sin_family = sa_family_t(AF_INET)
    name.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let isTaken = withUnsafeMutablePointer(to: &name) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(listener, $0, length) == 0 && listen(listener, 1) == 0 && getsockname(listener, $0, &length) == 0
      }
    }
    descriptor = listener
    address = .loopback(port: UInt16(bigEndian: name.sin_port))
    guard isTaken else { throw SupportError("no port could be taken: errno \(errno)") }
  }

  deinit { close(descriptor) }

  /// The next connection; `nil` when none comes in time.
  package func accept(seconds: Double = 10) -> RawConnection? {
    var interest = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    guard poll(&interest, 1, Int32(seconds * 1000)) > 0 else { return nil }
    let connection = Glibc.accept(descriptor, nil, nil)
    return connection < 0 ? nil : RawConnection(descriptor: connection)
  }
}
