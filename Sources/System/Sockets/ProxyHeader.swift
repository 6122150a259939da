import Bytes
package import Loop

/// Why what came is no header of the PROXY protocol that is taken.
package enum ProxyHeaderFault: Error, Equatable, Sendable, CustomStringConvertible {
  /// It does not begin as one of the version that is expected.
  case noHeader
  case version
  /// A command, a family or a transport that is unknown, or other than TCP.
  case unknownKind
  /// The addresses can't be read.
  case addresses
  case tooLong

  package var description: String {
    switch self {
    case .noHeader: "no header of the version that is expected"
    case .version: "an unknown version"
    case .unknownKind: "an unknown command or family, or not TCP"
    case .addresses: "addresses that can't be read"
    case .tooLong: "too long"
    }
  }
}

/// What a header of the PROXY protocol says of who is behind the peer.
package enum ProxySource: Equatable, Sendable {
  case address(SocketAddress)
  /// The peer speaks for itself (`LOCAL`).
  case peerItself
  /// Somebody of whom the peer can't say who it is (`UNKNOWN`, no family, or a socket in a file system).
  case somebody
}

/// Reads the header that a load balancer puts in front of a connection: HAProxy's PROXY protocol, one version of it.
///
/// Which version comes is never guessed: the protocol forbids it (proxy-protocol.txt, section 2).
package struct ProxyHeaderParser: Sendable {
  package enum Version: Sendable { case v1, v2 }

  package enum Step: Equatable, Sendable {
    case needMore
    /// - Parameter consumed: how many bytes of the last piece belong to the header.
    case complete(ProxySource, consumed: Int)
  }

  /// The longest header of version 1, its line's end included (section 2.1).
  package static let longestLine = 107
  /// The longest of version 2: its additions (TLVs) are skipped, and need some room.
  package static let longestBlock = 1024

  private let version: Version
  private var bytes: [UInt8] = []

  package init(_ version: Version) {
    self.version = version
  }

  /// How many bytes more a header may have at most.
  package var room: Int { (version == .v1 ? Self.longestLine : Self.longestBlock) - bytes.count }

  /// Takes the next piece. After a step that is complete, and after a fault, there is nothing more to take.
  package mutating func parse(_ piece: Span<UInt8>) throws(ProxyHeaderFault) -> Step {
    let before = bytes.count
    bytes += [UInt8](copying: piece.extracting(first: min(piece.count, room)))
    let found =
      switch version {
      case .v1: try Self.readLine(bytes)
      case .v2: try Self.readBlock(bytes)
      }
    guard let (source, length) = found else {
      if room <= 0 { throw .tooLong }
      return .needMore
    }
    return .complete(source, consumed: length - before)
  }

  // MARK: - Version 1

  private static let word = Array("PROXY ".utf8)

  private static func readLine(_ bytes: [UInt8]) throws(ProxyHeaderFault) -> (ProxySource, length: Int)? {
    guard begins(bytes, with: word) else { throw .noHeader }
    guard let end = bytes.firstIndex(of: UInt8(ascii: "\r")) else { return nil }
    guard end + 1 < bytes.count else { return nil }
    guard bytes[end + 1] == UInt8(ascii: "\n") else { throw .addresses }
    let text = String(decoding: bytes[word.count..<max(word.count, end)], as: UTF8.self)
    return (try source(of: text), end + 2)
  }

  private static func source(of line: String) throws(ProxyHeaderFault) -> ProxySource {
    let words = line.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
    // What follows it is to be ignored.
    if words.first == "UNKNOWN" { return .somebody }
    guard words.first == "TCP4" || words.first == "TCP6" else { throw .unknownKind }
    let family: SocketAddress.Family = words.first == "TCP4" ? .v4 : .v6
    guard words.count == 5, let source = address(words[1], words[3], family),
      address(words[2], words[4], family) != nil
    else { throw .addresses }
    return .address(source)
  }

  private static func address(_ host: String, _ port: String, _ family: SocketAddress.Family) -> SocketAddress? {
    guard !host.hasPrefix("["), port == "0" || !port.hasPrefix("0"), port.utf8.allSatisfy({ $0 &- 0x30 < 10 }),
      let port = UInt16(port), let address = SocketAddress(host: host, port: port), address.family == family
    else { return nil }
    return address.unmapped
  }

  // MARK: - Version 2

  private static let signature: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A]
  /// Up to the addresses.
  private static let fixedLength = 16

  private static func readBlock(_ bytes: [UInt8]) throws(ProxyHeaderFault) -> (ProxySource, length: Int)? {
    guard begins(bytes, with: signature) else { throw .noHeader }
    guard bytes.count >= fixedLength else { return nil }
    guard bytes[12] >> 4 == 2 else { throw .version }
    let length = fixedLength + (Int(bytes[14]) << 8 | Int(bytes[15]))
    guard length <= longestBlock else { throw .tooLong }
    let kind: Kind
    switch bytes[12] & 0xF {
    // What a peer that speaks for itself says of addresses is to be ignored.
    case 0: kind = .local
    case 1: kind = try Kind(bytes[13])
    default: throw .unknownKind
    }
    guard length >= fixedLength + kind.addressLength else { throw .addresses }
    guard bytes.count >= length else { return nil }
    return (source(bytes[fixedLength...], kind), length)
  }

  /// What a block of addresses holds.
  private enum Kind {
    case local, none, v4, v6, unix

    init(_ byte: UInt8) throws(ProxyHeaderFault) {
      switch byte {
      case 0x00: self = .none
      case 0x11: self = .v4
      case 0x21: self = .v6
      case 0x31: self = .unix
      default: throw .unknownKind
      }
    }

    var addressLength: Int {
      switch self {
      case .local, .none: 0
      case .v4: 12
      case .v6: 36
      case .unix: 216
      }
    }
  }

  private static func source(_ block: ArraySlice<UInt8>, _ kind: Kind) -> ProxySource {
    let start = block.startIndex
    switch kind {
    case .local: return .peerItself
    case .v4:
      let host = UInt32(truncatingIfNeeded: number(block, start, 4))
      return .address(SocketAddress(v4: host, port: UInt16(truncatingIfNeeded: number(block, start + 8, 2))))
    case .v6:
      let port = UInt16(truncatingIfNeeded: number(block, start + 32, 2))
      return .address(SocketAddress(v6: number(block, start, 8), number(block, start + 8, 8), port: port).unmapped)
    // A path on the balancer's machine says nothing of who is behind it.
    case .none, .unix: return .somebody
    }
  }

  /// The big-endian number of `length` bytes at `index`.
  private static func number(_ bytes: ArraySlice<UInt8>, _ index: Int, _ length: Int) -> UInt64 {
    bytes[index..<index + length].reduce(0) { $0 << 8 | UInt64($1) }
  }

  /// Whether `bytes` is the beginning of what begins with `start`, as far as it goes.
  private static func begins(_ bytes: [UInt8], with start: [UInt8]) -> Bool {
    bytes.prefix(start.count).elementsEqual(start.prefix(bytes.count))
  }
}
