import Bytes
import Loop
import Sockets
import Testing

/// The header that a load balancer puts in front of a connection, of both versions.
@Suite struct `Headers of the PROXY protocol` {
  private enum Outcome: Equatable {
    case source(ProxySource, length: Int)
    case fault(ProxyHeaderFault)
    case needMore
  }

  private static func parse(
    _ version: ProxyHeaderParser.Version, _ bytes: [UInt8], cutAt cuts: [Int] = []
  ) -> Outcome {
    var parser = ProxyHeaderParser(version)
    var start = 0
    do throws(ProxyHeaderFault) {
      for end in cuts + [bytes.count] where end > start {
        if case .complete(let source, let consumed) = try parser.parse(bytes.span.extracting(start..<end)) {
          return .source(source, length: start + consumed)
        }
        start = end
      }
      return .needMore
    } catch {
      return .fault(error)
    }
  }

  private static func line(_ text: String, more: String = "") -> Outcome {
    parse(.v1, Array((text + "\r\n" + more).utf8))
  }

  private static let signature: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A]
  private static let four: [UInt8] = [192, 0, 2, 1, 198, 51, 100, 2, 0xC7, 0x38, 0x01, 0xBB]
  private static let six: [UInt8] =
    [0x20, 0x01, 0x0D, 0xB8] + [UInt8](repeating: 0, count: 11) + [1]
    + [UInt8](repeating: 0xFE, count: 16) + [0xC7, 0x38, 0x01, 0xBB]

  private static func block(_ command: UInt8, _ kind: UInt8, _ block: [UInt8], length: Int? = nil) -> [UInt8] {
    let length = length ?? block.count
    return signature + [command, kind, UInt8(length >> 8), UInt8(length & 0xFF)] + block
  }

  private static func source(_ host: String) throws -> ProxySource {
    .address(try #require(SocketAddress(host: host, port: 51000)))
  }

  @Test func `a line of version 1 names the client`() throws {
    let request = "GET / HTTP/1.1\r\n"
    #expect(
      Self.line("PROXY TCP4 192.0.2.1 198.51.100.2 51000 443", more: request)
        == .source(try Self.source("192.0.2.1"), length: 45))
    #expect(
      Self.line("PROXY TCP6 2001:db8::1 2001:db8::2 51000 443", more: request)
        == .source(try Self.source("2001:db8::1"), length: 46))
    #expect(
      Self.line("PROXY TCP6 ::ffff:192.0.2.1 ::1 51000 443")
        == .source(try Self.source("192.0.2.1"), length: 43))
    #expect(Self.line("PROXY UNKNOWN", more: request) == .source(.somebody, length: 15))
    let longest = "PROXY UNKNOWN " + String(repeating: "f", count: 107 - 16)
    #expect(Self.line(longest) == .source(.somebody, length: 107))
    #expect(Self.line(longest + "f") == .fault(.tooLong))
  }

  @Test(arguments: [
    ("GET / HTTP/1.1", ProxyHeaderFault.noHeader), ("PROXY", .noHeader), ("proxy TCP4 1.2.3.4 1.2.3.4 1 2", .noHeader),
    (" PROXY TCP4 1.2.3.4 1.2.3.4 1 2", .noHeader), ("PROXY ", .unknownKind),
    ("PROXY UDP4 1.2.3.4 1.2.3.4 1 2", .unknownKind),
    ("PROXY tcp4 1.2.3.4 1.2.3.4 1 2", .unknownKind), ("PROXY TCP4", .addresses),
    ("PROXY TCP4 1.2.3.4 1.2.3.4 1", .addresses),
    ("PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3", .addresses), ("PROXY TCP4  1.2.3.4 1.2.3.4 1 2", .addresses),
    ("PROXY TCP4 1.2.3.4 1.2.3.4 1 2 ", .addresses), ("PROXY TCP4 1.2.3.4 1.2.3.4 1 65536", .addresses),
    ("PROXY TCP4 1.2.3.4 1.2.3.4 01 2", .addresses), ("PROXY TCP4 1.2.3.4 1.2.3.4 -1 2", .addresses),
    ("PROXY TCP4 1.2.3.4 1.2.3.4 +1 2", .addresses), ("PROXY TCP4 1.2.3.256 1.2.3.4 1 2", .addresses),
    ("PROXY TCP4 1.2.3 1.2.3.4 1 2", .addresses), ("PROXY TCP4 ::1 ::1 1 2", .addresses),
    ("PROXY TCP6 1.2.3.4 ::1 1 2", .addresses), ("PROXY TCP6 [::1] ::1 1 2", .addresses),
    ("PROXY TCP6 ::1%1 ::1 1 2", .addresses), ("PROXY TCP4 1.2.3.4 nowhere 1 2", .addresses),
    ("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r", .addresses), ("PROXY TCP4 1.2.3.4\t1.2.3.4 1 2", .addresses),
  ])
  func `a line that is none is refused`(text: String, fault: ProxyHeaderFault) {
    #expect(Self.line(text) == .fault(fault))
  }

  @Test func `a block of version 2 names the client, and its additions are skipped`() throws {
    let (four, six) = (try Self.source("192.0.2.1"), try Self.source("2001:db8::1"))
    let additions: [UInt8] = [0x01, 0, 2, 0x68, 0x32, 0x04, 0, 0]
    #expect(Self.parse(.v2, Self.block(0x21, 0x11, Self.four) + [1, 2, 3]) == .source(four, length: 28))
    #expect(Self.parse(.v2, Self.block(0x21, 0x11, Self.four + additions)) == .source(four, length: 36))
    #expect(Self.parse(.v2, Self.block(0x21, 0x21, Self.six)) == .source(six, length: 52))
    #expect(Self.parse(.v2, Self.block(0x21, 0x21, Self.six + additions)) == .source(six, length: 60))
    let paths = [UInt8](repeating: 0, count: 216)
    #expect(Self.parse(.v2, Self.block(0x21, 0x31, paths)) == .source(.somebody, length: 232))
    let mapped = [UInt8](repeating: 0, count: 10) + [0xFF, 0xFF, 192, 0, 2, 1] + Self.six[16...]
    #expect(Self.parse(.v2, Self.block(0x21, 0x21, mapped)) == .source(four, length: 52))
  }

  @Test func `a peer that speaks for itself is taken as it is`() {
    #expect(Self.parse(.v2, Self.block(0x20, 0x00, [])) == .source(.peerItself, length: 16))
    #expect(Self.parse(.v2, Self.block(0x20, 0x11, Self.four)) == .source(.peerItself, length: 28))
    #expect(Self.parse(.v2, Self.block(0x20, 0xFF, [1, 2])) == .source(.peerItself, length: 18))
    #expect(Self.parse(.v2, Self.block(0x21, 0x00, [1, 2, 3])) == .source(.somebody, length: 19))
  }

  @Test func `a block that is none is refused`() {
    #expect(Self.parse(.v2, Self.block(0x11, 0x11, Self.four)) == .fault(.version))
    #expect(Self.parse(.v2, Self.block(0x31, 0x11, Self.four)) == .fault(.version))
    #expect(Self.parse(.v2, Self.block(0x22, 0x11, Self.four)) == .fault(.unknownKind))
    for kind: UInt8 in [0x10, 0x12, 0x20, 0x22, 0x30, 0x32, 0x41, 0x01, 0xFF] {
      #expect(Self.parse(.v2, Self.block(0x21, kind, [UInt8](repeating: 0, count: 216))) == .fault(.unknownKind))
    }
    #expect(Self.parse(.v2, Self.block(0x21, 0x11, [UInt8](repeating: 0, count: 11))) == .fault(.addresses))
    #expect(Self.parse(.v2, Self.block(0x21, 0x21, [UInt8](repeating: 0, count: 35))) == .fault(.addresses))
    #expect(Self.parse(.v2, Self.block(0x21, 0x31, [UInt8](repeating: 0, count: 215))) == .fault(.addresses))
    let longest = [UInt8](repeating: 0, count: 1008)
    #expect(Self.parse(.v2, Self.block(0x20, 0x11, longest)) == .source(.peerItself, length: 1024))
    #expect(Self.parse(.v2, Self.block(0x20, 0x11, longest + [0])) == .fault(.tooLong))
    #expect(Self.parse(.v2, Self.block(0x20, 0x11, [], length: 65535)) == .fault(.tooLong))
    #expect(Self.parse(.v2, Array("GET / HTTP/1.1\r\n".utf8)) == .fault(.noHeader))
  }

  @Test func `one version is never taken for the other`() {
    #expect(Self.parse(.v2, Array("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n".utf8)) == .fault(.noHeader))
    #expect(Self.parse(.v1, Self.block(0x21, 0x11, Self.four)) == .fault(.noHeader))
  }

  @Test func `every cut gives the same, and what follows is not touched`() {
    let cases: [(ProxyHeaderParser.Version, [UInt8])] = [
      (.v1, Array("PROXY TCP6 2001:db8::1 2001:db8::2 51000 443\r\nGET /".utf8)),
      (.v1, Array("PROXY UNKNOWN x\r\n".utf8)),
      (.v1, Array("PROXY TCP4 1.2.3.4 1.2.3.4 1 99999\r\n".utf8)), (.v1, Array("PROXYTCP4".utf8)),
      (.v1, [UInt8](repeating: 0x20, count: 200)), (.v1, Array("PROXY ".utf8) + [UInt8](repeating: 0x41, count: 200)),
      (.v2, Self.block(0x21, 0x11, Self.four) + [1, 2, 3]), (.v2, Self.block(0x21, 0x21, Self.six + [4, 0, 0])),
      (.v2, Self.block(0x20, 0, []) + [9]), (.v2, Self.block(0x21, 0x12, Self.four)),
      (.v2, Self.block(0x21, 0x11, [], length: 2000)), (.v2, Self.signature + [0x31]),
    ]
    for (version, bytes) in cases {
      let whole = Self.parse(version, bytes)
      #expect(Self.parse(version, bytes, cutAt: Array(1..<bytes.count)) == whole)
      for first in 1..<bytes.count {
        #expect(Self.parse(version, bytes, cutAt: [first]) == whole, "cut at \(first)")
        for second in first..<bytes.count where second % 7 == 0 {
          #expect(Self.parse(version, bytes, cutAt: [first, second]) == whole, "cut at \(first) and \(second)")
        }
      }
      // Less than the whole is never enough.
      guard case .source(_, let length) = whole else { continue }
      for count in 0..<length { #expect(Self.parse(version, Array(bytes.prefix(count))) == .needMore) }
    }
  }
}
