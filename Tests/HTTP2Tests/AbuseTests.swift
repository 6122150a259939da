import HTTP
import HTTP2
import HTTP2Frames
import Testing
import Time

private typealias F = Frames

/// What a hostile client does, and that it ends.
struct AbuseTests {
  /// Sends pieces until the session is over.
  private func countUntilOver(_ server: Server, _ piece: (Int) -> [UInt8]) -> Int? {
    for index in 0..<100_000 {
      server.receive(piece(index))
      if server.error != nil || server.told.last?.hasPrefix("over ") == true { return index + 1 }
    }
    return nil
  }

  private func id(_ index: Int) -> UInt32 { UInt32(index) * 2 + 1 }

  @Test func `rapid resets end the connection`() throws {
    let server = try Server()
    let count = countUntilOver(server) { F.get(id($0)) + F.reset(id($0)) }
    #expect(count == 100)
    #expect(server.goAway == 11)
    #expect(server.told.filter { $0.hasPrefix("opened") }.isEmpty)
    #expect(server.told.contains("retiring"))
  }

  /// Six ways to have the other side reset a stream.
  static let made: [(String, @Sendable (UInt32) -> [UInt8])] = [
    ("a window beyond its limit", { F.post($0) + F.windowUpdate($0, 0x7FFF_FFFF) }),
    ("a body where none was declared", { F.post($0, [("content-length", "0")]) + F.data($0, "a") }),
    ("a head that is malformed", { F.get($0, [("connection", "close")]) }),
    ("a second head that does not end", { F.post($0) + F.headers($0, [("x-a", "1")], ends: false) }),
    ("a body that is too short", { F.post($0, [("content-length", "9")]) + F.data($0, "a", ends: true) }),
    ("trailers that are malformed", { F.post($0) + F.headers($0, [(":path", "/")]) }),
  ]

  @Test(arguments: made.indices) func `resets that it provokes end the connection`(_ index: Int) throws {
    let server = try Server()
    let count = countUntilOver(server) { Self.made[index].1(id($0)) }
    #expect(try #require(count, "\(Self.made[index].0)") <= 100)
  }

  @Test func `streams that close for a fault of their requests leave nothing behind`() throws {
    let server = try Server()
    for index in 0..<50 { server.receive(F.get(id(index), [("connection", "close")])) }
    #expect(server.streamCount == 0)
    #expect(server.told.isEmpty)
  }

  @Test func `floods of control frames end the connection`() throws {
    let floods: [(String, [UInt8])] = [
      ("PING", F.ping()), ("SETTINGS", F.settings()), ("PRIORITY", F.priority(1)), ("GOAWAY", F.goAway()),
      ("unknown", F.frame(0xF0)), ("PRIORITY_UPDATE", F.priorityUpdate(1, "u=1")),
      ("WINDOW_UPDATE", F.windowUpdate(0, 1)),
      ("an answer that nobody asked for", F.ping(isAnswer: true)), ("RST_STREAM of 0 bytes", F.frame(0xAA, stream: 1)),
    ]
    for (name, frame) in floods {
      let server = try Server()
      server.receive(F.post(1))
      server.respond(1, HTTP2StoredBody())
      let count = countUntilOver(server) { _ in frame }
      #expect(try #require(count, "\(name)") <= 1020, "\(name)")
      #expect(server.goAway == 11, "\(name)")
    }
  }

  @Test func `empty DATA ends the connection`() throws {
    let server = try Server()
    server.receive(F.post(1))
    #expect(countUntilOver(server) { _ in F.data(1, "") } == 999)
    let padded = try Server()
    padded.receive(F.post(1))
    #expect(countUntilOver(padded) { _ in F.frame(0, flags: 8, stream: 1, [3, 0, 0, 0]) } == 999)
  }

  @Test func `a flood that is not read ends the connection`() throws {
    let server = try Server(HTTP2Settings(budget: FrameBudget.Limits(tokens: 1_000_000)))
    for _ in 0..<2000 where server.error == nil { server.receive(F.ping(), writing: false) }
    server.write()
    #expect(server.error == .flooded)
  }

  @Test func `header sections without end end the connection`() throws {
    let server = try Server()
    server.receive(F.frame(1, flags: 1, stream: 1, HPACK.encode(HPACK.get())))
    let count = countUntilOver(server) { _ in F.continuation(1, [0x00, 0x01, 0x61, 0x00], ends: false) }
    #expect(try #require(count) <= 9)
  }

  /// One field of 4000 bytes into the table, and then its index again and again.
  private func bomb(_ count: Int) -> [UInt8] {
    HPACK.encode(HPACK.get()) + HPACK.literal("x-a", String(repeating: "a", count: 4000), kind: 0x40)
      + [UInt8](repeating: 0xBE, count: count)
  }

  @Test func `a section that expands is refused and the connection goes on`() throws {
    let server = try Server()
    server.answers = true
    server.receive(F.frame(1, flags: 5, stream: 1, bomb(40)))
    #expect(server.told == ["refused 1 head_too_large", "written 1"])
    #expect(server.status(1) == "431")
    server.receive(F.get(3))
    #expect(server.status(3) == "200")
  }

  @Test func `a section that expands beyond all measure is not read to its end, and many end the connection`() throws {
    let server = try Server()
    server.answers = true
    let start = ContinuousClock.now
    // Each would be 48 MB.
    server.receive(F.frame(1, flags: 5, stream: 1, bomb(12_000)))
    #expect(server.told.isEmpty && server.status(1) == nil)
    #expect(server.reset(1) == 2 && server.session.sectionBeganAt == nil)
    server.receive(F.get(3))
    #expect(server.status(3) == "200")
    let count = countUntilOver(server) { F.frame(1, flags: 5, stream: id($0 + 2), bomb(12_000)) }
    #expect(try #require(count) <= 100 && server.goAway == 11)
    #expect(
      ContinuousClock.now - start < .seconds(3), "a field that is looked at costs 4 us, and there are 1.2 million")
  }

  @Test func `windows that are dribbled end the connection`() throws {
    let server = try Server()
    server.receive(F.settings([(4, 0)]) + F.get(1))
    server.respond(1, HTTP2StoredBody([UInt8](repeating: 0x61, count: 1_000_000).span))
    let count = countUntilOver(server) { _ in F.windowUpdate(1, 1) }
    #expect(try #require(count) <= 1001)
    #expect(server.body(1).count <= 1001)
    #expect(server.goAway == 11)
  }

  @Test func `streams beyond the limit are refused before it is acknowledged`() throws {
    let server = try Server(HTTP2Settings(streams: 4), started: false)
    server.receive(F.start)
    for index in 0..<8 { server.receive(F.post(id(index)) + F.data(id(index), "a")) }
    #expect((4..<8).allSatisfy { server.reset(id($0)) == 7 })
    #expect(server.streamCount == 4)
    #expect(server.goAway == nil)
  }

  @Test func `streams beyond the limit end the connection after it is acknowledged`() throws {
    let server = try Server(HTTP2Settings(streams: 4))
    for index in 0..<5 { server.receive(F.post(id(index))) }
    #expect(server.goAway == 1)
  }

  @Test func `clients that come and go all day are not punished`() throws {
    let server = try Server()
    for index in 0..<1000 {
      server.now = server.now + .milliseconds(60)
      server.receive(F.get(id(index)))
      let body = HTTP2StoredBody()
      server.respond(Int32(id(index)), body)
      body.append("data: 1\n\n".utf8Span.span)
      server.session.resume(Int32(id(index)))
      server.write()
      server.receive(F.reset(id(index)))
    }
    #expect(server.budget == 1000)
    #expect(!server.told.contains("retiring"))
    #expect(server.goAway == nil)
  }

  @Test func `a client that uses up most of its budget has to go, when its streams are over`() throws {
    let server = try Server()
    server.receive(F.get(1))
    let body = HTTP2StoredBody()
    server.respond(1, body)
    for _ in 0..<760 { server.receive(F.ping()) }
    #expect(server.told.filter { $0 == "retiring" }.count == 1)
    #expect(server.goAway == nil)
    body.finish()
    server.session.resume(1)
    server.write()
    #expect(server.goAway == 0)
  }

  @Test func `nothing is told of what stands behind a fault of the connection`() throws {
    let server = try Server()
    server.receive(F.get(1) + F.data(3, "a") + F.get(5) + F.ping())
    #expect(server.told == ["opened 1 GET / none [Host: shop]", "over protocol_error"])
  }

  @Test(arguments: 0..<200) func `any bytes behind the preface do no harm`(_ seed: Int) throws {
    var random = SplitMix(state: UInt64(seed))
    let server = try Server(started: false)
    server.answers = true
    server.receive(F.start)
    for _ in 0..<50 where server.error == nil {
      let payload = (0..<Int(random.next() % 40)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
      let type = UInt8(truncatingIfNeeded: random.next() % 12)
      let flags = UInt8(truncatingIfNeeded: random.next())
      server.receive(F.frame(type, flags: flags, stream: UInt32(random.next() % 6), payload))
    }
    #expect(server.told.filter { $0.hasPrefix("over") }.count <= 1)
  }
}

struct SplitMix {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var word = state
    word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
    word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
    return word ^ (word >> 31)
  }
}
