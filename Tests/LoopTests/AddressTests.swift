import Loop
import Testing

@Suite struct AddressTests {
  @Test(arguments: [
    ("127.0.0.1:8080", "127.0.0.1", 8080), ("[::1]:80", "::1", 80), ("0.0.0.0:0", "0.0.0.0", 0),
    ("[2001:db8::1:0]:65535", "2001:db8::1:0", 65535),
  ])
  func `literals are read and written alike`(text: String, host: String, port: Int) throws {
    let address = try #require(SocketAddress(parsing: text))
    #expect(address.description == text)
    #expect(address.host == host)
    #expect(Int(address.port) == port)
    #expect(SocketAddress(host: host, port: UInt16(port)) == address)
  }

  @Test(arguments: [
    "", ":", "localhost:80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:+1", "::1:80", "[::1]", "[::1:80",
    "[127.0.0.1]:80", "127.1:80", "1.2.3.4.5:80", "[::1]x:80", "127.0.0.1: 80", "127.0.0.1\0:80", "[::g]:80",
  ])
  func `anything else is not an address`(text: String) {
    #expect(SocketAddress(parsing: text) == nil)
  }

  @Test func `an address that was mapped into IPv6 is told as IPv4`() throws {
    let mapped = try #require(SocketAddress(parsing: "[::ffff:192.0.2.1]:7"))
    #expect(mapped.unmapped.description == "192.0.2.1:7")
    let six = try #require(SocketAddress(parsing: "[2001:db8::1]:7"))
    #expect(six.unmapped == six)
    #expect(SocketAddress.loopback(port: 1).isLoopback)
    #expect(SocketAddress.loopbackV6(port: 1).isLoopback)
    #expect(!six.isLoopback)
  }

  @Test func `a path in the file system is an address too, of this machine alone`() throws {
    let address = try #require(SocketAddress(unix: "/run/a.sock"))
    #expect(address.description == "unix:/run/a.sock" && address.host == "unix" && address.path == "/run/a.sock")
    #expect(address.isUnix && address.isLoopback && !address.isWildcard && address.unmapped == address)
    #expect(SocketAddress.localPeer.description == "unix" && SocketAddress.localPeer != address)
    #expect(SocketAddress(unix: "") == nil && SocketAddress(unix: "/a\0b") == nil)
    #expect(SocketAddress(unix: String(repeating: "a", count: 107)) != nil)
    #expect(SocketAddress(unix: String(repeating: "a", count: 108)) == nil)
    let other = try #require(SocketAddress(unix: "/run/b.sock"))
    #expect(address.overlaps(address) && !address.overlaps(other))
    let everything = try #require(SocketAddress(parsing: "0.0.0.0:0"))
    #expect(!everything.overlaps(address) && !address.overlaps(everything))
    let range = try #require(AddressRange(parsing: "0.0.0.0/0"))
    #expect(!range.contains(.localPeer))
  }

  @Test func `ranges hold the addresses of their prefix`() throws {
    func holds(_ range: String, _ host: String) throws -> Bool {
      try #require(AddressRange(parsing: range)).contains(try #require(SocketAddress(host: host, port: 9)))
    }
    #expect(try holds("10.0.0.0/8", "10.255.0.1"))
    #expect(try !holds("10.0.0.0/8", "11.0.0.0"))
    #expect(try holds("10.0.0.0/8", "::ffff:10.1.2.3"))
    #expect(try !holds("10.0.0.0/8", "::1"))
    #expect(try holds("0.0.0.0/0", "1.2.3.4"))
    #expect(try holds("192.0.2.7", "192.0.2.7"))
    #expect(try !holds("192.0.2.7", "192.0.2.6"))
    #expect(try holds("fd00::/8", "fdff::1"))
    #expect(try !holds("fd00::/8", "fe00::1"))
    #expect(try holds("2001:db8::/65", "2001:db8::7fff:0:0:1"))
    #expect(try !holds("2001:db8::/65", "2001:db8::8000:0:0:1"))
    #expect(try holds("::/0", "2001:db8::1"))
    for text in ["", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "::/129", "host/8", "10.0.0.0/8/8"] {
      #expect(AddressRange(parsing: text) == nil)
    }
  }
}

@Suite struct OverlapTests {
  @Test(arguments: [
    ("127.0.0.1:80", "127.0.0.1:80", true), ("127.0.0.1:80", "127.0.0.1:81", false),
    ("127.0.0.1:80", "127.0.0.2:80", false), ("0.0.0.0:80", "127.0.0.1:80", true), ("0.0.0.0:80", "0.0.0.0:80", true),
    ("0.0.0.0:80", "[::1]:80", false), ("[::]:80", "127.0.0.1:80", true), ("[::]:80", "[::1]:80", true),
    ("[::]:80", "0.0.0.0:80", true), ("[::1]:80", "127.0.0.1:80", false), ("[::1]:80", "[::1]:80", true),
    ("[::ffff:127.0.0.1]:80", "127.0.0.1:80", true), ("127.0.0.1:0", "127.0.0.1:0", false),
    ("0.0.0.0:0", "127.0.0.1:0", false),
  ])
  func `two listeners overlap when a connection could go to either`(
    _ left: String, _ right: String, _ overlap: Bool
  ) throws {
    let (left, right) = try (#require(SocketAddress(parsing: left)), #require(SocketAddress(parsing: right)))
    #expect(left.overlaps(right) == overlap && right.overlaps(left) == overlap)
  }
}

@Suite struct ResolverTests {
  @Test func `literals are answered at once`() throws {
    let resolver = Resolver(loop: try EventLoop())
    var answers: [Result<[SocketAddress], ResolveError>] = []
    resolver.resolve(host: "127.0.0.1", port: 80) { answers.append($0) }
    resolver.resolve(host: "::1", port: 80) { answers.append($0) }
    resolver.resolve(host: "", port: 80) { answers.append($0) }
    #expect(answers == [.success([.loopback(port: 80)]), .success([.loopbackV6(port: 80)]), .failure(.notFound(""))])
  }

  @Test func `a name of the hosts file is found`() throws {
    let loop = try EventLoop()
    let resolver = Resolver(loop: loop)
    var answer: Result<[SocketAddress], ResolveError>?
    resolver.resolve(host: "localhost", port: 8080) { answer = $0 }
    loop.run(until: { answer != nil })
    #expect(try answer?.get().contains(.loopback(port: 8080)) == true)
  }

  @Test func `a cancelled question is not answered`() throws {
    let loop = try EventLoop()
    let resolver = Resolver(loop: loop)
    var isAnswered = false
    let request = resolver.resolve(host: "no-such-name.invalid", port: 80) { _ in isAnswered = true }
    request.cancel()
    request.cancel()
    var turns = 0
    loop.run(until: {
      turns += 1
      return turns > 20
    })
    #expect(!isAnswered)
  }
}
