import CLibevent
import Glibc

/// Why a name has no address.
package enum ResolveError: Error, Hashable, Sendable, CustomStringConvertible {
  /// There is no such name, or it has no address.
  case notFound(String)
  /// No name server answered; asking again may help.
  case temporary(String)
  /// No resolver could be made, or it failed otherwise.
  case failed(String)

  package var description: String {
    switch self {
    case .notFound(let host): "\(host): no such host"
    case .temporary(let host): "\(host): no name server answered"
    case .failed(let text): text
    }
  }
}

/// Names to addresses, by libevent's evdns: `/etc/hosts`, `/etc/resolv.conf`, IPv4 and IPv6.
///
/// evdns is made when the first name is asked for, and made again when one of its files has changed meanwhile.
@safe
package final class Resolver {
  package typealias Completion = (Result<[SocketAddress], ResolveError>) -> Void

  private let loop: EventLoop
  private var base: OpaquePointer?
  private var readFiles: [FileStamp] = []
  private var pending = 0

  package init(loop: EventLoop) {
    self.loop = loop
  }

  deinit {
    // Requests hold the resolver, so that none is under way.
    if let base = unsafe base { unsafe evdns_base_free(base, 0) }
  }

  /// Asks for the addresses of `host`.
  ///
  /// Literal addresses and names in the hosts file are answered before this returns. `completion` is called exactly
  /// once, on the loop, unless the request is cancelled.
  @discardableResult
  package func resolve(host: String, port: UInt16, completion: @escaping Completion) -> ResolveRequest {
    let request = ResolveRequest(host: host, port: port, resolver: self, completion: completion)
    if let address = SocketAddress(host: host, port: port) {
      request.finish(.success([address]))
    } else if host.isEmpty || host.utf8.contains(0) || host.utf8.count > 253 {
      request.finish(.failure(.notFound(host)))
    } else {
      ask(request)
    }
    return request
  }

  private func ask(_ request: ResolveRequest) {
    refresh()
    guard let base = unsafe base else {
      request.finish(.failure(.failed("the DNS resolver is not available")))
      return
    }
    var hints = unsafe addrinfo()
    unsafe hints.ai_family = AF_UNSPEC
    unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    unsafe hints.ai_flags = EVUTIL_AI_ADDRCONFIG
    pending += 1
    // Retained until evdns has called back, which it also does after a cancellation.
    let context = unsafe Unmanaged.passRetained(request).toOpaque()
    let handle = unsafe evdns_getaddrinfo(
      base, request.host, nil, &hints,
      { code, list, context in
        unsafe Resolver.answered(code, list, context)
      }, context)
    unsafe request.started(handle)
  }

  @unsafe
  private static func answered(
    _ code: Int32, _ list: UnsafeMutablePointer<addrinfo>?, _ context: UnsafeMutableRawPointer?
  ) {
    defer { if let list = unsafe list { unsafe evutil_freeaddrinfo(list) } }
    guard let context = unsafe context else { return }
    let request = unsafe Unmanaged<ResolveRequest>.fromOpaque(context).takeRetainedValue()
    request.resolver?.pending -= 1
    guard code == 0 else {
      request.finish(.failure(error(code, request.host)))
      return
    }
    var addresses: [SocketAddress] = []
    var entry = unsafe list
    while let current = unsafe entry {
      if let pointer = unsafe current.pointee.ai_addr,
        var address = unsafe SocketAddress(pointer, length: Int(current.pointee.ai_addrlen))
      {
        address.port = request.port
        if !addresses.contains(address) { addresses.append(address) }
      }
      unsafe entry = current.pointee.ai_next
    }
    request.finish(addresses.isEmpty ? .failure(.notFound(request.host)) : .success(addresses))
  }

  private static func error(_ code: Int32, _ host: String) -> ResolveError {
    switch code {
    case EVUTIL_EAI_NONAME, EVUTIL_EAI_NODATA, EVUTIL_EAI_ADDRFAMILY: .notFound(host)
    case EVUTIL_EAI_AGAIN: .temporary(host)
    default:
      .failed("\(host): \(unsafe evutil_gai_strerror(code).map { unsafe String(cString: $0) } ?? "error \(code)")")
    }
  }

  /// Makes evdns, or makes it anew when its files have changed and nobody waits for it.
  private func refresh() {
    let files = [FileStamp("/etc/resolv.conf"), FileStamp("/etc/hosts")]
    if let old = unsafe base {
      guard files != readFiles, pending == 0 else { return }
      unsafe evdns_base_free(old, 0)
    }
    readFiles = files
    // Without this flag its sockets would keep the loop awake; with it they exist only while someone asks.
    unsafe base = evdns_base_new(loop.base, Int32(EVDNS_BASE_DISABLE_WHEN_INACTIVE))
    guard let base = unsafe base else { return }
    let options = DNS_OPTION_SEARCH | DNS_OPTION_NAMESERVERS | DNS_OPTION_MISC | DNS_OPTION_HOSTSFILE
    // A missing or empty resolv.conf leaves the local name server, as in the C library.
    _ = unsafe evdns_base_resolv_conf_parse(base, options, "/etc/resolv.conf")
  }
}

/// One question that is under way.
@safe
package final class ResolveRequest {
  let host: String
  let port: UInt16
  // Held while evdns works, so that it isn't freed under the request.
  private(set) var resolver: Resolver?
  private var completion: Resolver.Completion?
  private var handle: OpaquePointer?

  init(host: String, port: UInt16, resolver: Resolver, completion: @escaping Resolver.Completion) {
    self.host = host
    self.port = port
    self.resolver = resolver
    self.completion = completion
  }

  /// The completion is not called any more.
  package func cancel() {
    completion = nil
    guard let handle = unsafe handle else { return }
    unsafe self.handle = nil
    unsafe evdns_getaddrinfo_cancel(handle)
  }

  /// Keeps what `cancel` needs. `nil`, or already answered: nothing is left to cancel.
  @unsafe
  func started(_ handle: OpaquePointer?) {
    if completion != nil { unsafe self.handle = handle }
  }

  func finish(_ result: Result<[SocketAddress], ResolveError>) {
    unsafe handle = nil
    let completion = completion
    self.completion = nil
    completion?(result)
    resolver = nil
  }
}

/// When a file was last changed.
private struct FileStamp: Equatable {
  private var seconds = 0
  private var nanoseconds = 0
  private var inode: UInt = 0

  init(_ path: String) {
    var status = stat()
    guard unsafe stat(path, &status) == 0 else { return }
    seconds = status.st_mtim.tv_sec
    nanoseconds = status.st_mtim.tv_nsec
    inode = UInt(status.st_ino)
  }
}
