import Glibc

/// An IPv4 or IPv6 address with a port, or the path of a socket in the file system (unix(7)).
package struct SocketAddress: Hashable, Sendable, CustomStringConvertible {
  /// `unknown` is that of a peer of which nothing is known.
  package enum Family: UInt8, Sendable { case v4, v6, unix, unknown }

  package let family: Family
  package var port: UInt16
  /// IPv6 scope (interface index of a link-local address), else 0.
  package let scope: UInt32
  // The address in network order as two big-endian halves; IPv4 in the low 32 bits of `low`.
  private let high: UInt64
  private let low: UInt64
  /// Of a socket in the file system; empty for a peer there, which has none of its own.
  package let path: String

  private init(
    family: Family, high: UInt64 = 0, low: UInt64 = 0, scope: UInt32 = 0, port: UInt16 = 0, path: String = ""
  ) {
    self.family = family
    self.high = high
    self.low = low
    self.scope = scope
    self.port = port
    self.path = path
  }

  /// The most bytes that the path of a socket may have: `sun_path` has 108, the last of which ends it.
  package static let longestPath = 107

  /// A socket in the file system. `nil` for a path that is empty, too long, or has a zero byte.
  package init?(unix path: String) {
    guard (1...Self.longestPath).contains(path.utf8.count), !path.utf8.contains(0) else { return nil }
    self.init(family: .unix, path: path)
  }

  /// A peer that came over a socket in the file system.
  package static let localPeer = SocketAddress(family: .unix)

  /// A client whose address the one between does not know.
  package static let unknownPeer = SocketAddress(family: .unknown)

  /// An IPv4 address from its four bytes as a big-endian number.
  package init(v4 address: UInt32, port: UInt16) {
    self.init(family: .v4, high: 0, low: UInt64(address), port: port)
  }

  /// An IPv6 address from its two big-endian halves.
  package init(v6 high: UInt64, _ low: UInt64, scope: UInt32 = 0, port: UInt16) {
    self.init(family: .v6, high: high, low: low, scope: scope, port: port)
  }

  package static func loopback(port: UInt16) -> SocketAddress { SocketAddress(v4: 0x7F00_0001, port: port) }
  package static func loopbackV6(port: UInt16) -> SocketAddress { SocketAddress(v6: 0, 1, port: port) }

  /// A literal address: `127.0.0.1`, `::1` or `[::1]`. `nil` for names.
  package init?(host: String, port: UInt16) {
    var text = Substring(host)
    if text.hasPrefix("["), text.hasSuffix("]") { text = text.dropFirst().dropLast() }
    guard !text.utf8.contains(0) else { return nil }
    let name = String(text)
    var four = in_addr()
    if !host.hasPrefix("["), unsafe inet_pton(AF_INET, name, &four) == 1 {
      self.init(v4: UInt32(bigEndian: four.s_addr), port: port)
      return
    }
    var six = in6_addr()
    guard unsafe inet_pton(AF_INET6, name, &six) == 1 else { return nil }
    self.init(six, scope: 0, port: port)
  }

  /// `127.0.0.1:8080`, `[::1]:80`. `nil` for names and for anything else.
  package init?(parsing text: String) {
    guard let colon = text.lastIndex(of: ":") else { return nil }
    let host = String(text[..<colon])
    let digits = text[text.index(after: colon)...]
    // Without brackets the last group of an IPv6 address would be taken for the port.
    guard !host.contains(":") || host.hasPrefix("["), digits.utf8.allSatisfy({ $0 &- 0x30 < 10 }),
      let port = UInt16(digits)
    else { return nil }
    self.init(host: host, port: port)
  }

  /// The address without port or brackets: `127.0.0.1`, `::1`; `unix` for a socket in the file system, `unknown` for
  /// one that is not known (as in RFC 7239, 6.2).
  package var host: String {
    switch family {
    case .v4: unsafe withUnsafeBytes(of: UInt32(low).bigEndian) { unsafe Self.text(AF_INET, $0) }
    case .v6: unsafe withUnsafeBytes(of: sixBytes) { unsafe Self.text(AF_INET6, $0) }
    case .unix: "unix"
    case .unknown: "unknown"
    }
  }

  /// `127.0.0.1:8080`, `[::1]:80`, `unix:/run/fermata.sock`.
  package var description: String {
    switch family {
    case .v4: "\(host):\(port)"
    case .v6: "[\(host)]:\(port)"
    case .unix: path.isEmpty ? "unix" : "unix:\(path)"
    case .unknown: host
    }
  }

  /// An IPv4 address that arrived on an IPv6 socket (`::ffff:192.0.2.1`) as what it is; any other as it is.
  package var unmapped: SocketAddress {
    guard family == .v6, high == 0, low >> 32 == 0xFFFF else { return self }
    return SocketAddress(v4: UInt32(truncatingIfNeeded: low), port: port)
  }

  /// Whether only this machine reaches it.
  package var isLoopback: Bool {
    switch family {
    case .v4: low >> 24 == 127
    case .v6: high == 0 && low == 1
    case .unix: true
    case .unknown: false
    }
  }

  package var isUnix: Bool { family == .unix }

  /// Every address of the machine.
  package var isWildcard: Bool { (family == .v4 || family == .v6) && high == 0 && low == 0 }

  /// Whether two listeners, one here and one at `other`, would want the same connections. A wildcard of IPv6 takes those
  /// of IPv4 too. Port 0 becomes one that is free.
  package func overlaps(_ other: SocketAddress) -> Bool {
    if isUnix || other.isUnix { return self == other }
    guard port == other.port, port != 0 else { return false }
    let (left, right) = (unmapped, other.unmapped)
    if left.isWildcard { return left.family == .v6 || right.family == .v4 || right.isWildcard }
    if right.isWildcard { return right.family == .v6 || left.family == .v4 }
    return left == right
  }

  /// Whether the first `length` bits of both addresses are the same.
  func sharesPrefix(_ length: Int, with other: SocketAddress) -> Bool {
    guard family == other.family, family == .v4 || family == .v6 else { return false }
    if family == .v4 { return Self.equal(low << 32, other.low << 32, bits: length) }
    return Self.equal(high, other.high, bits: min(length, 64)) && Self.equal(low, other.low, bits: length - 64)
  }

  private static func equal(_ left: UInt64, _ right: UInt64, bits: Int) -> Bool {
    bits <= 0 || (left ^ right) >> (64 - UInt64(min(bits, 64))) == 0
  }
}

// The kernel's forms.
extension SocketAddress {
  private init(_ six: in6_addr, scope: UInt32, port: UInt16) {
    let words = unsafe unsafeBitCast(six, to: (UInt64, UInt64).self)
    self.init(v6: UInt64(bigEndian: words.0), UInt64(bigEndian: words.1), scope: scope, port: port)
  }

  private var sixBytes: in6_addr {
    unsafe unsafeBitCast((high.bigEndian, low.bigEndian), to: in6_addr.self)
  }

  private static func text(_ family: Int32, _ address: UnsafeRawBufferPointer) -> String {
    unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(INET6_ADDRSTRLEN)) { buffer in
      let size = socklen_t(buffer.count)
      guard let text = unsafe inet_ntop(family, address.baseAddress, buffer.baseAddress, size) else { return "" }
      return unsafe String(cString: text)
    }
  }

  /// `AF_INET`, `AF_INET6` or `AF_UNIX`; `AF_UNSPEC` for what can't be connected to.
  var domain: Int32 {
    switch family {
    case .v4: AF_INET
    case .v6: AF_INET6
    case .unix: AF_UNIX
    case .unknown: AF_UNSPEC
    }
  }

  /// Where the path begins in a `sockaddr_un`: behind the family.
  private static let pathOffset = MemoryLayout<sa_family_t>.size

  /// Lends the address as a `sockaddr`.
  @unsafe
  func withSocketAddress<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
    unsafe withUnsafeTemporaryAllocation(of: sockaddr_storage.self, capacity: 1) { buffer in
      unsafe buffer.initialize(repeating: sockaddr_storage())
      let raw = unsafe UnsafeMutableRawPointer(buffer.baseAddress.unsafelyUnwrapped)
      let length: Int
      switch family {
      case .v4:
        var four = sockaddr_in()
        four.sin_family = sa_family_t(AF_INET)
        four.sin_port = port.bigEndian
        four.sin_addr.s_addr = UInt32(low).bigEndian
        unsafe raw.storeBytes(of: four, as: sockaddr_in.self)
        length = MemoryLayout<sockaddr_in>.size
      case .v6:
        var six = sockaddr_in6()
        six.sin6_family = sa_family_t(AF_INET6)
        six.sin6_port = port.bigEndian
        six.sin6_addr = sixBytes
        six.sin6_scope_id = scope
        unsafe raw.storeBytes(of: six, as: sockaddr_in6.self)
        length = MemoryLayout<sockaddr_in6>.size
      case .unix:
        unsafe raw.storeBytes(of: sa_family_t(AF_UNIX), as: sa_family_t.self)
        // The rest is zeros, so that a path of any length ends.
        for (index, byte) in path.utf8.enumerated() {
          unsafe raw.storeBytes(of: byte, toByteOffset: Self.pathOffset + index, as: UInt8.self)
        }
        length = Self.pathOffset + path.utf8.count
      case .unknown:
        unsafe raw.storeBytes(of: sa_family_t(AF_UNSPEC), as: sa_family_t.self)
        length = MemoryLayout<sa_family_t>.size
      }
      return unsafe body(UnsafePointer(raw.assumingMemoryBound(to: sockaddr.self)), socklen_t(length))
    }
  }

  /// Reads a `sockaddr` of `length` bytes; `nil` for other families.
  @unsafe
  init?(_ pointer: UnsafePointer<sockaddr>, length: Int) {
    let raw = unsafe UnsafeRawPointer(pointer)
    // Read as bytes: which C module is seen to own the member's name depends on what was built first.
    switch Int32(unsafe raw.loadUnaligned(as: sa_family_t.self)) {
    case AF_INET where length >= MemoryLayout<sockaddr_in>.size:
      let four = unsafe raw.loadUnaligned(as: sockaddr_in.self)
      self.init(v4: UInt32(bigEndian: four.sin_addr.s_addr), port: UInt16(bigEndian: four.sin_port))
    case AF_INET6 where length >= MemoryLayout<sockaddr_in6>.size:
      let six = unsafe raw.loadUnaligned(as: sockaddr_in6.self)
      let port = UInt16(bigEndian: six.sin6_port)
      self.init(six.sin6_addr, scope: six.sin6_scope_id, port: port)
    case AF_UNIX:
      let bytes = (Self.pathOffset..<max(Self.pathOffset, length)).map {
        unsafe raw.load(fromByteOffset: $0, as: UInt8.self)
      }
      self.init(family: .unix, path: String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self))
    default:
      return nil
    }
  }
}

/// A block of addresses in CIDR form, such as a list of trusted proxies has.
package struct AddressRange: Hashable, Sendable, CustomStringConvertible {
  private let base: SocketAddress
  private let length: Int

  /// `10.0.0.0/8`, `fd00::/8`, or one address without a length.
  package init?(parsing text: String) {
    let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
    guard let first = parts.first, let base = SocketAddress(host: String(first), port: 0) else { return nil }
    let whole = base.family == .v4 ? 32 : 128
    self.base = base
    guard parts.count == 2 else {
      length = whole
      return
    }
    guard parts[1].utf8.allSatisfy({ $0 &- 0x30 < 10 }), let length = Int(parts[1]), length <= whole else { return nil }
    self.length = length
  }

  /// Whether `address` lies in the block, whatever its port.
  package func contains(_ address: SocketAddress) -> Bool {
    address.unmapped.sharesPrefix(length, with: base)
  }

  package var description: String { "\(base.host)/\(length)" }
}
