import CLibevent
import Glibc

/// See `SocketCalls.peerSign(of:)`.
package enum PeerSign: Sendable {
  case none
  /// It has sent its FIN: it may still read.
  case finished
  /// It has reset the connection, or both directions are over.
  case gone
}

/// The socket calls that carry an address, or that the Glibc module leaves out. Descriptors come back
/// non-blocking and close-on-exec.
package enum SocketCalls {
  /// A new TCP socket of the family of `address`.
  package static func makeStream(for address: SocketAddress) -> Result<Int32, SystemError> {
    let kind = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
    return check(socket(address.domain, kind, 0))
  }

  package static func bind(_ descriptor: Int32, to address: SocketAddress) -> SystemError? {
    unsafe address.withSocketAddress { pointer, length in
      unsafe failure(of: Glibc.bind(descriptor, pointer, length))
    }
  }

  /// - Returns: `nil` when connected at once; `EINPROGRESS` is an error like any other here.
  package static func connect(_ descriptor: Int32, to address: SocketAddress) -> SystemError? {
    unsafe address.withSocketAddress { pointer, length in
      unsafe failure(of: Glibc.connect(descriptor, pointer, length))
    }
  }

  /// Takes one connection off a listening socket, with its peer's address.
  package static func accept(_ descriptor: Int32) -> Result<(descriptor: Int32, peer: SocketAddress), SystemError> {
    var accepted: Int32 = -1
    let peer = unsafe readAddress { pointer, length in
      let flags = Int32(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
      accepted = unsafe fermata_accept4(descriptor, pointer, length, flags)
      return accepted
    }
    switch peer {
    case .success(let peer): return .success((accepted, peer))
    case .failure(let error): return .failure(error)
    }
  }

  package static func localAddress(of descriptor: Int32) -> Result<SocketAddress, SystemError> {
    unsafe readAddress { pointer, length in unsafe getsockname(descriptor, pointer, length) }
  }

  package static func peerAddress(of descriptor: Int32) -> Result<SocketAddress, SystemError> {
    unsafe readAddress { pointer, length in unsafe getpeername(descriptor, pointer, length) }
  }

  /// The process at the other end of a connection over a socket in the file system (SO_PEERCRED): for who connected, the
  /// one that listens.
  package static func peerProcess(of descriptor: Int32) -> Int32? {
    // `struct ucred`, which the Glibc module leaves out: pid, uid, gid.
    var credentials: [3 of Int32] = [0, 0, 0]
    var length = socklen_t(MemoryLayout<[3 of Int32]>.size)
    guard unsafe getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &credentials, &length) == 0, credentials[0] > 0 else {
      return nil
    }
    return credentials[0]
  }

  /// Another descriptor of the same socket, close-on-exec.
  package static func duplicate(_ descriptor: Int32) -> Result<Int32, SystemError> {
    check(fcntl(descriptor, F_DUPFD_CLOEXEC, 0))
  }

  /// Takes the error that waits on the socket (SO_ERROR), or `nil`.
  package static func takeError(of descriptor: Int32) -> SystemError? {
    var code: Int32 = 0
    var length = socklen_t(MemoryLayout<Int32>.size)
    guard unsafe getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &length) == 0 else { return .last }
    return code == 0 ? nil : SystemError(code: code)
  }

  /// Sets an option that is an `int`.
  package static func set(_ descriptor: Int32, level: Int32, option: Int32, to value: Int32) -> SystemError? {
    var value = value
    return unsafe failure(of: setsockopt(descriptor, level, option, &value, socklen_t(MemoryLayout<Int32>.size)))
  }

  /// Bytes that the kernel has and the peer has not acknowledged (SIOCOUTQ).
  package static func unacknowledgedBytes(of descriptor: Int32) -> Int {
    var count: Int32 = 0
    _ = unsafe ioctl(descriptor, UInt(TIOCOUTQ), &count)
    return Int(count)
  }

  /// Bytes that the peer's kernel has acknowledged since the connection was made.
  ///
  /// A Unix socket has no such number: there it is a large one less what the peer has not read yet, which grows too as the
  /// peer reads, but falls as bytes are sent.
  package static func acknowledgedBytes(of descriptor: Int32) -> UInt64 {
    unsafe withUnsafeTemporaryAllocation(byteCount: tcpInfoLength, alignment: 8) { buffer in
      var length = socklen_t(tcpInfoLength)
      let result = unsafe getsockopt(descriptor, Int32(IPPROTO_TCP), TCP_INFO, buffer.baseAddress, &length)
      guard result == 0, Int(length) >= tcpInfoLength else {
        return 1 << 40 - UInt64(max(0, unacknowledgedBytes(of: descriptor)))
      }
      return unsafe buffer.load(fromByteOffset: acknowledgedOffset, as: UInt64.self)
    }
  }

  // `tcpi_bytes_acked` in the kernel's `struct tcp_info` (linux/tcp.h), which is part of its interface for programs. glibc's
  // copy of the structure ends before it.
  private static let acknowledgedOffset = 120
  private static let tcpInfoLength = 128

  /// What the peer has said, read or not: nothing, that it sends no more, or that the connection is over.
  ///
  /// For a socket that is not read from: its FIN may stand behind bytes that nobody takes.
  package static func peerSign(of descriptor: Int32) -> PeerSign {
    let hungUp: Int16 = 0x2000  // POLLRDHUP, which the Glibc module leaves out.
    var interest = pollfd(fd: descriptor, events: hungUp, revents: 0)
    guard unsafe poll(&interest, 1, 0) > 0 else { return .none }
    if interest.revents & Int16(POLLERR | POLLHUP) != 0 { return .gone }
    return interest.revents & hungUp != 0 ? .finished : .none
  }

  /// Makes closing the descriptor a reset for the peer.
  package static func resetWhenClosed(_ descriptor: Int32) {
    var option = linger(l_onoff: 1, l_linger: 0)
    let length = socklen_t(MemoryLayout<linger>.size)
    _ = unsafe setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, length)
  }

  @unsafe
  private static func readAddress(
    _ call: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32
  ) -> Result<SocketAddress, SystemError> {
    unsafe withUnsafeTemporaryAllocation(of: sockaddr_storage.self, capacity: 1) { buffer in
      unsafe buffer.initialize(repeating: sockaddr_storage())
      let raw = unsafe UnsafeMutableRawPointer(buffer.baseAddress.unsafelyUnwrapped)
      let pointer = unsafe raw.assumingMemoryBound(to: sockaddr.self)
      var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
      guard unsafe call(pointer, &length) >= 0 else { return .failure(.last) }
      // A peer that has gone already has no address left; the caller finds out when it reads.
      return .success(unsafe SocketAddress(pointer, length: Int(length)) ?? SocketAddress(v4: 0, port: 0))
    }
  }

  private static func check(_ result: Int32) -> Result<Int32, SystemError> {
    result >= 0 ? .success(result) : .failure(.last)
  }

  private static func failure(of result: Int32) -> SystemError? {
    result >= 0 ? nil : .last
  }
}
