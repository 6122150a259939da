import CEpoll
import Glibc

extension Verb {
  static let floor = Verb(
    name: "floor", summary: "passes bytes on, and nothing else",
    help: """
      usage: fermata floor --listen PORT --target PORT

      Passes bytes between clients and a backend, both on 127.0.0.1, with epoll, recv and send and nothing else: what
      every gateway costs at least. For the bench.
      """, isHidden: true
  ) { arguments in
    do throws(Arguments.Mistake) {
      let parsed = try Arguments(arguments, options: ["--listen", "--target"], switches: [])
      guard let port = parsed["--listen"].flatMap({ UInt16($0) }),
        let target = parsed["--target"].flatMap({ UInt16($0) })
      else { throw Arguments.Mistake(message: "--listen and --target want ports") }
      guard var relay = FloorRelay(port: port, target: target) else {
        Terminal.error("fermata floor: port \(port) can't be listened on")
        return ExitStatus.failure
      }
      relay.run()
    } catch {
      return misused("floor", error)
    }
  }
}

/// A relay without any idea of what it carries. Level-triggered, one connection to the backend for each client's.
private struct FloorRelay {
  private static let bufferSize = 64 << 10
  private static let eventsAtOnce = 512

  private let listener: Int32
  private let poll: Int32
  private let target: UInt16
  /// The other end, by descriptor; -1 where there is none.
  private var peers: [Int32] = []
  /// What could not be sent, by descriptor. Until it is, nothing more is read for it.
  private var rests: [[UInt8]] = []

  /// - Returns: `nil` when the port can't be listened on.
  init?(port: UInt16, target: UInt16) {
    self.target = target
    listener = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
    poll = epoll_create1(0)
    var yes: Int32 = 1
    _ = unsafe setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
    let isBound = unsafe Self.withAddress(port) { address, size in unsafe Glibc.bind(listener, address, size) == 0 }
    guard isBound, Glibc.listen(listener, 4096) == 0 else { return nil }
    watch(listener, EPOLLIN, EPOLL_CTL_ADD)
  }

  mutating func run() -> Never {
    var events = unsafe [epoll_event](repeating: epoll_event(), count: Self.eventsAtOnce)
    var buffer = [UInt8](repeating: 0, count: Self.bufferSize)
    while true {
      let count = unsafe epoll_wait(poll, &events, Int32(Self.eventsAtOnce), -1)
      for index in 0..<max(0, Int(count)) {
        let (descriptor, ready) = unsafe (events[index].data.fd, events[index].events)
        if descriptor == listener {
          accept()
        } else if peer(of: descriptor) >= 0 {
          if ready & EPOLLOUT.rawValue != 0 { sendRest(to: descriptor) }
          if ready & ~EPOLLOUT.rawValue != 0 { pass(from: descriptor, &buffer) }
        }
      }
    }
  }

  private mutating func accept() {
    while true {
      let client = fermata_accept(listener)
      guard client >= 0 else { return }
      let backend = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
      let isConnecting = unsafe Self.withAddress(target) { address, size in
        unsafe Glibc.connect(backend, address, size) == 0 || errno == EINPROGRESS
      }
      guard backend >= 0, isConnecting else {
        close(client)
        if backend >= 0 { close(backend) }
        continue
      }
      while peers.count <= max(client, backend) {
        peers.append(-1)
        rests.append([])
      }
      (peers[Int(client)], peers[Int(backend)]) = (backend, client)
      for descriptor in [client, backend] {
        var yes: Int32 = 1
        _ = unsafe setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &yes, socklen_t(MemoryLayout<Int32>.size))
        watch(descriptor, EPOLLIN, EPOLL_CTL_ADD)
      }
    }
  }

  private func peer(of descriptor: Int32) -> Int32 { peers[Int(descriptor)] }

  private mutating func pass(from descriptor: Int32, _ buffer: inout [UInt8]) {
    let peer = peer(of: descriptor)
    let count = unsafe recv(descriptor, &buffer, buffer.count, 0)
    if count < 0, errno == EAGAIN { return }
    guard count > 0 else { return end(descriptor) }
    let sent = max(0, unsafe send(peer, buffer, count, Int32(MSG_NOSIGNAL)))
    guard sent < count else { return }
    guard errno == EAGAIN || errno == ENOTCONN || sent > 0 else { return end(descriptor) }
    rests[Int(peer)] = Array(buffer[sent..<count])
    watch(descriptor, EPOLL_EVENTS(0), EPOLL_CTL_MOD)
    watch(peer, EPOLLOUT, EPOLL_CTL_MOD)
  }

  private mutating func sendRest(to descriptor: Int32) {
    let rest = rests[Int(descriptor)]
    let sent = unsafe send(descriptor, rest, rest.count, Int32(MSG_NOSIGNAL))
    guard sent >= 0 else {
      if errno != EAGAIN { end(descriptor) }
      return
    }
    rests[Int(descriptor)] = Array(rest[sent...])
    guard sent == rest.count else { return }
    watch(descriptor, EPOLLIN, EPOLL_CTL_MOD)
    watch(peer(of: descriptor), EPOLLIN, EPOLL_CTL_MOD)
  }

  private mutating func end(_ descriptor: Int32) {
    for descriptor in [descriptor, peer(of: descriptor)] {
      peers[Int(descriptor)] = -1
      rests[Int(descriptor)] = []
      close(descriptor)
    }
  }

  private func watch(_ descriptor: Int32, _ events: EPOLL_EVENTS, _ operation: Int32) {
    var event = unsafe epoll_event()
    unsafe event.events = events.rawValue
    unsafe event.data.fd = descriptor
    _ = unsafe epoll_ctl(poll, operation, descriptor, &event)
  }

  private static func withAddress<Result>(
    _ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
  ) -> Result {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(INADDR_LOOPBACK).bigEndian
    return unsafe withUnsafePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
        unsafe body(address, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
  }
}
