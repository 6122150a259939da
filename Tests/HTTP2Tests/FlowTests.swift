import HTTP
import HTTP2
import HTTP2Frames
import Testing
import Time

private typealias F = Frames

/// Windows, shares and back-pressure.
struct FlowTests {
  private func bytes(_ count: Int) -> [UInt8] { [UInt8](repeating: 0x61, count: count) }

  private func updates(_ server: Server, _ stream: UInt32) -> Int {
    server.frames.filter { $0.type == 8 && $0.stream == stream }
      .reduce(0) { $0 + $1.payload.reduce(0) { $0 << 8 | Int($1) } }
  }

  // MARK: - Uploads

  @Test func `a body that nobody takes stops its own stream only`() throws {
    let server = try Server()
    server.consumes = false
    server.receive(F.post(1) + F.post(3))
    server.clearFrames()
    for _ in 0..<3 { server.receive(F.data(1, count: 16_384)) }
    server.receive(F.data(1, count: 65_535 - 3 * 16_384))
    #expect(updates(server, 1) == 0)
    // 1 MiB of other streams goes through meanwhile, because the connection's window is given back at once.
    server.consumes = true
    for _ in 0..<128 { server.receive(F.data(3, count: 8192)) }
    #expect(updates(server, 0) > 1 << 19)
    #expect(server.goAway == nil)
    server.session.consume(1, 65_535)
    server.write()
    #expect(updates(server, 1) == 65_535)
  }

  @Test func `padding is given back`() throws {
    let server = try Server()
    server.receive(F.post(1))
    server.clearFrames()
    for _ in 0..<3000 { server.receive(F.frame(0, flags: 8, stream: 1, [250, 0x61] + bytes(250))) }
    #expect(server.goAway == nil)
    #expect(server.reset(1) == nil)
  }

  @Test func `bodies of streams that are gone are given back`() throws {
    let server = try Server()
    server.receive(F.post(1))
    server.session.reset(1, .cancel)
    server.write()
    for _ in 0..<200 { server.receive(F.data(1, count: 16_384)) }
    #expect(server.goAway == nil)
    #expect(updates(server, 0) > 2 << 20)
  }

  @Test func `the body of a request that is refused is dropped`() throws {
    let server = try Server()
    server.receive(F.post(1, [("host", "other")]) + F.data(1, "abc"))
    #expect(server.told == ["refused 1 authority_differs_from_host"])
    server.respond(1, HTTP2StoredBody("no".utf8Span.span), status: 400)
    server.write()
    #expect(server.status(1) == "400")
    server.answerPings()
    #expect(server.reset(1) == 0)
  }

  // MARK: - Downloads

  @Test func `a window of 0 holds the body and not the head`() throws {
    let server = try Server()
    server.receive(F.settings([(4, 0)]) + F.get(1))
    let body = HTTP2StoredBody(bytes(100).span)
    server.respond(1, body)
    server.write()
    #expect(server.status(1) == "200")
    #expect(server.body(1).isEmpty)
    #expect(body.count == 100)
    server.receive(F.windowUpdate(1, 60))
    #expect(server.body(1).count == 60)
    #expect(server.told.last == "room 1")
    server.receive(F.windowUpdate(1, 60))
    #expect(server.body(1).count == 100)
    #expect(server.isEnded(1))
  }

  @Test func `an end waits for the window as the body does`() throws {
    let server = try Server()
    server.receive(F.settings([(4, 3)]) + F.get(1))
    let body = HTTP2StoredBody()
    body.append("abc".utf8Span.span)
    server.respond(1, body)
    server.write()
    body.finish()
    server.session.resume(1)
    server.write()
    #expect(!server.isEnded(1))
    server.receive(F.windowUpdate(1, 1))
    #expect(server.isEnded(1))
  }

  @Test func `the connection's window is shared`() throws {
    let server = try Server()
    server.receive(F.get(1) + F.get(3))
    for id: Int32 in [1, 3] { server.respond(id, HTTP2StoredBody(bytes(60_000).span)) }
    server.write()
    #expect(server.body(1).count + server.body(3).count == 65_535)
    server.receive(F.windowUpdate(0, 1 << 20))
    #expect(server.body(1).count + server.body(3).count == 120_000)
  }

  @Test func `frames are no larger than 16 KiB, whatever the client takes`() throws {
    let server = try Server()
    server.receive(F.settings([(4, 1 << 24), (5, 1 << 20)]) + F.windowUpdate(0, 1 << 24) + F.get(1))
    server.respond(1, HTTP2StoredBody(bytes(1 << 20).span))
    server.write()
    #expect(server.body(1).count == 1 << 20)
    #expect(server.frames.allSatisfy { $0.payload.count <= 16_384 })
  }

  @Test func `a sink that takes no more holds bodies up, and nothing else`() throws {
    let server = try Server()
    server.receive(F.get(1))
    let body = HTTP2StoredBody(bytes(1000).span)
    server.sink.takesBody = false
    server.respond(1, body)
    server.write()
    #expect(server.status(1) == "200")
    #expect(body.count == 1000)
    server.receive(F.ping())
    #expect(server.frames.contains { $0.type == 6 && $0.flags == 1 })
    server.sink.takesBody = true
    server.write()
    #expect(server.body(1).count == 1000)
    #expect(server.told.contains("room 1"))
    #expect(server.isEnded(1))
  }

  @Test func `room is told once, and only of what was held up`() throws {
    let server = try Server()
    server.receive(F.get(1))
    let body = HTTP2StoredBody()
    server.respond(1, body)
    server.write()
    server.clearTold()
    for _ in 0..<10 {
      body.append("event".utf8Span.span)
      server.session.resume(1)
      server.write()
    }
    #expect(server.told.isEmpty)
    body.append(bytes(200_000).span)
    server.session.resume(1)
    server.write()
    #expect(server.told.isEmpty)
    server.receive(F.windowUpdate(0, 1 << 20) + F.windowUpdate(1, 1 << 20))
    #expect(server.told == ["room 1"])
  }

  // MARK: - Shares

  private func waiting(isEventStream: Bool, _ more: [(String, String)] = []) throws -> Int {
    let server = try Server()
    server.receive(F.settings([(4, 1 << 24)]) + F.windowUpdate(0, 1 << 24) + F.get(1, more) + F.get(3, more))
    let (backlog, live) = (HTTP2StoredBody(), HTTP2StoredBody())
    server.respond(1, backlog, isEventStream: isEventStream)
    server.respond(3, live, isEventStream: isEventStream)
    server.write()
    backlog.append(bytes(1_600_000).span)
    server.session.resume(1)
    live.append("event".utf8Span.span)
    server.session.resume(3)
    server.write()
    return try #require(server.frames.filter { $0.type == 0 }.firstIndex { $0.stream == 3 })
  }

  @Test func `an event waits for one frame of another stream's backlog at most`() throws {
    #expect(try waiting(isEventStream: true) <= 1)
  }

  @Test func `other answers share too, unless the client says otherwise`() throws {
    #expect(try waiting(isEventStream: false) <= 1)
    #expect(try waiting(isEventStream: false, [("priority", "u=3")]) > 90)
    #expect(try waiting(isEventStream: false, [("priority", "u=3, i")]) <= 1)
  }

  @Test func `event streams share whatever the client says`() throws {
    #expect(try waiting(isEventStream: true, [("priority", "u=3")]) <= 1)
    let server = try Server()
    server.receive(F.settings([(4, 1 << 24)]) + F.windowUpdate(0, 1 << 24) + F.get(1) + F.get(3))
    let (backlog, live) = (HTTP2StoredBody(bytes(1_600_000).span), HTTP2StoredBody("event".utf8Span.span))
    server.respond(1, backlog)
    server.respond(3, live)
    server.receive(F.priorityUpdate(3, "u=7") + F.priorityUpdate(1, "u=0"))
    #expect(try #require(server.frames.filter { $0.type == 0 }.firstIndex { $0.stream == 3 }) <= 1)
  }

  @Test func `a stream that comes in the middle of a backlog is served next`() throws {
    let server = try Server()
    server.receive(F.settings([(4, 1 << 24)]) + F.get(1))
    server.respond(1, HTTP2StoredBody(bytes(1_600_000).span))
    server.write()
    server.clearFrames()
    server.receive(F.get(3), writing: false)
    server.respond(3, HTTP2StoredBody("event".utf8Span.span))
    server.receive(F.windowUpdate(0, 1 << 24))
    #expect(try #require(server.frames.filter { $0.type == 0 }.firstIndex { $0.stream == 3 }) <= 1)
  }

  @Test func `a hundred streams get their shares`() throws {
    let server = try Server()
    server.receive(F.settings([(4, 1 << 24)]) + F.windowUpdate(0, 100 * 16_384 - 65_535))
    for index in 0..<100 { server.receive(F.get(UInt32(index) * 2 + 1)) }
    for index in 0..<100 { server.respond(Int32(index) * 2 + 1, HTTP2StoredBody(bytes(100_000).span)) }
    server.write()
    let shares = (0..<100).map { server.body(UInt32($0) * 2 + 1).count }
    #expect(shares.allSatisfy { $0 > 0 })
    #expect(shares.max() ?? 0 <= 3 * 16_384)
  }
}
