import Gateway
import HTTP2Frames
import Loop
import Streams
import Testing
import Time

private typealias F = Frames

/// Many streams on one HTTP/2 connection, without sockets: none holds up another, and together they hold little.
@Suite struct PlayedHTTP2Tests {
  /// A client's HTTP/2 connection, and the bodies that came over it.
  private final class Session {
    let gateway: PlayedGateway
    let connection: PlayedConnection
    /// The streams of the frames with bytes of bodies, in their order.
    private(set) var order: [UInt32] = []
    private(set) var bodies: [UInt32: [UInt8]] = [:]
    /// The kinds of all frames, in their order.
    private(set) var kinds: [UInt8] = []
    private var unread: [UInt8] = []
    /// Whether the client says that it has read what came before a PING.
    var answersPings = false

    /// - Parameter window: of each stream.
    init(_ gateway: PlayedGateway, window: UInt32) {
      self.gateway = gateway
      connection = gateway.connect(http2: true)
      connection.send(F.start + F.settings([(4, window)]) + F.settingsAcknowledgement + F.windowUpdate(0, 1 << 30))
      gateway.turns()
    }

    func get(_ id: UInt32, _ path: String) -> PlayedConnection? {
      let before = gateway.backends.connections.count
      connection.send(F.get(id, path: path, [("authorization", "Bearer alice"), ("prefer", "stream-end")]))
      gateway.turns()
      return gateway.backends.connections.count > before ? gateway.backends.last : nil
    }

    /// Takes the frames that were sent.
    func read() {
      unread += connection.takeBytes()
      var rest = unread[...]
      while rest.count >= 9 {
        let head = Array(rest.prefix(9))
        let length = Int(head[0]) << 16 | Int(head[1]) << 8 | Int(head[2])
        guard rest.count >= 9 + length else { break }
        kinds.append(head[3])
        if answersPings, head[3] == 6, head[4] == 0 {
          connection.send(F.ping(Array(rest.dropFirst(9).prefix(8)), isAnswer: true))
        }
        if head[3] == 0, length > 0 {
          let id = head[5..<9].reduce(0) { $0 << 8 | UInt32($1) }
          order.append(id)
          bodies[id, default: []] += rest.dropFirst(9).prefix(length)
        }
        rest = rest.dropFirst(9 + length)
      }
      unread = Array(rest)
    }

    /// Lets the loop do what is due, and reads.
    func turn(_ count: Int = 1) {
      gateway.turns(count)
      read()
    }

    func count(_ text: String, in id: UInt32) -> Int {
      String(decoding: bodies[id] ?? [], as: UTF8.self).split(separator: "\n").filter { $0 == text }.count
    }
  }

  private func gateway(runs: String? = nil) throws -> PlayedGateway {
    let more = "limits: { stallTimeout: \"60s\" },"
    return try PlayedGateway(
      runs.map { PlayedGateway.usual(runs: $0, more: more) } ?? PlayedGateway.direct(more: more),
      variant: runs == nil ? .legacy : .graceful)
  }

  private static func id(_ index: Int) -> UInt32 { UInt32(index) * 2 + 1 }

  @Test func `a stream that is not read holds up none of ninety-nine others`() throws {
    let session = Session(try gateway(), window: 65_535)
    let backends = try (0..<100).map { index in
      let backend = try #require(session.get(Self.id(index), "/chat"))
      backend.openStream()
      return backend
    }
    for _ in 0..<100 where backends[0].isReading {
      backends[0].event(String(repeating: "x", count: 30_000))
      session.turn()
    }
    #expect(!backends[0].isReading && session.bodies[1]?.count == 65_535)
    for round in 1...20 {
      for backend in backends.dropFirst() { backend.event("live \(round)") }
      // What came in one turn leaves at its end.
      session.turn()
      for index in 1..<100 { #expect(session.count("data: live \(round)", in: Self.id(index)) == 1) }
    }
    #expect(session.bodies[1]?.count == 65_535)
  }

  @Test func `an event waits for two frames of another stream's replay at most`() throws {
    let gateway = try gateway(runs: "{ limit: \"16MiB\" }")
    let (owner, backend) = try gateway.open()
    for _ in 0..<330 { backend.event(String(repeating: "x", count: 32_000)) }
    gateway.turns()
    #expect(owner.body.utf8.count > 10 << 20)
    let session = Session(gateway, window: 1 << 30)
    session.connection.isStuck = true
    let live = try #require(session.get(1, "/chat"))
    live.openStream()
    session.turn()
    #expect(session.get(3, "/fermata/streams/\(owner.stream)") == nil)
    var waits: [Int] = []
    for _ in 0..<12 {
      session.read()
      let (before, events) = (session.order.count, session.count("data: live", in: 1))
      live.event("live")
      // The client takes what the connection holds, as often as it must to get the event.
      for _ in 0..<10 where session.count("data: live", in: 1) == events {
        session.connection.drain()
        session.connection.isStuck = true
        session.turn(2)
      }
      let place = try #require(session.order[before...].firstIndex(of: 1))
      waits.append(place - before)
      // Then more of the replay.
      for _ in 0..<5 {
        session.connection.drain()
        session.connection.isStuck = true
        session.turn(2)
      }
    }
    #expect(waits.allSatisfy { $0 <= 2 }, "\(waits)")
    let replayed = session.bodies[3]?.count ?? 0
    #expect(replayed > 1 << 20 && replayed < 10 << 20, "there must be more of the replay all the time: \(replayed)")
  }

  @Test func `a hundred and twenty-eight streams that are not read hold little together, and come whole when they are`()
    throws
  {
    let session = Session(try gateway(), window: 0)
    let backends = try (0..<128).map { index in
      let backend = try #require(session.get(Self.id(index), "/chat"))
      backend.openStream()
      return backend
    }
    let before = backends.reduce(0) { $0 + $1.readBytes }
    let event = "data: " + String(repeating: "x", count: 16_000) + "\n\n"
    let chunk = "\(String(event.utf8.count, radix: 16))\r\n\(event)\r\n"
    for backend in backends { backend.send(String(repeating: chunk, count: 16)) }
    session.turn(60)
    let held = backends.reduce(0) { $0 + $1.readBytes } - before
    #expect(session.order.isEmpty)
    #expect(held <= 3 << 19, "\(held) bytes are held")
    #expect(held > 1 << 18)
    session.connection.send(F.settings([(4, 1 << 30)]))
    for backend in backends { backend.endStream() }
    for _ in 0..<4000 where session.bodies.values.reduce(0, { $0 + $1.count }) < 128 * 16 * 16_008 { session.turn() }
    for index in 0..<128 { #expect(session.bodies[Self.id(index)]?.count == 16 * 16_008) }
  }

  @Test func `a stream that its client resets lets its backend go, and no other`() throws {
    let session = Session(try gateway(), window: 65_535)
    let backends = try (0..<3).map { index in
      let backend = try #require(session.get(Self.id(index), "/chat"))
      backend.openStream()
      return backend
    }
    session.connection.send(F.reset(Self.id(1)))
    session.turn(4)
    #expect(backends.map(\.isClosed) == [false, true, false])
    for backend in backends { backend.event("live") }
    session.turn(4)
    #expect((0..<3).map { session.count("data: live", in: Self.id($0)) } == [1, 0, 1])
  }

  @Test(arguments: ["breaks", "ends"])
  func `a client that leaves in the middle leaves nothing behind`(how: String) throws {
    let session = Session(try gateway(), window: 65_535)
    weak let client = session.connection.handler
    let backends = try [UInt32(1), 3].map { id in
      let backend = try #require(session.get(id, "/chat"))
      backend.openStream()
      backend.event("one")
      return backend
    }
    session.turn()
    #expect(client != nil && session.count("data: one", in: 3) == 1)
    if how == "breaks" { session.connection.fail() } else { session.connection.finish() }
    session.turn(4)
    #expect(backends.allSatisfy { $0.isClosed })
    #expect(client == nil, "the connection that is gone is held")
  }

  @Test func `a drain refuses new streams, lets the open ones end, and says that it goes`() throws {
    let gateway = try gateway()
    let session = Session(gateway, window: 65_535)
    session.answersPings = true
    let backend = try #require(session.get(1, "/chat"))
    backend.openStream()
    session.turn()
    var isDrained = false
    gateway.drain { isDrained = true }
    session.turn(4)
    #expect(session.get(3, "/chat") == nil)
    session.turn(4)
    #expect(String(decoding: session.bodies[3] ?? [], as: UTF8.self).contains("draining"))
    #expect(!isDrained && !session.connection.isClosed)
    backend.event("last")
    backend.endStream()
    session.turn(4)
    #expect(session.count("data: last", in: 1) == 1)
    session.turn(4)
    let goAway: UInt8 = 7
    #expect(session.kinds.contains(goAway))
    session.connection.finish()
    gateway.pass(.seconds(6), tick: .milliseconds(250))
    #expect(isDrained)
  }
}
