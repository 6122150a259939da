import Bytes
import HTTP
import HTTP2
import HTTP2Frames
import Testing
import Time

private typealias F = Frames

/// How a session treats its owner: events, order, resets, PINGs, the end.
struct SessionTests {
  @Test func `the settings are what was asked for`() throws {
    let server = try Server()
    let settings = try #require(server.frames.first { $0.type == 4 && $0.flags == 0 })
    let entries = stride(from: 0, to: settings.payload.count, by: 6).map { offset in
      settings.payload[offset..<offset + 6].map { String($0, radix: 16) }.joined(separator: " ")
    }
    // MAX_CONCURRENT_STREAMS 128, INITIAL_WINDOW_SIZE 65535, MAX_HEADER_LIST_SIZE 65536, NO_RFC7540_PRIORITIES 1.
    #expect(Set(entries) == ["0 3 0 0 0 80", "0 4 0 0 ff ff", "0 6 0 1 0 0", "0 9 0 0 0 1"])
    let window = try #require(server.frames.first { $0.type == 8 && $0.stream == 0 })
    #expect(window.payload == F.word(1 << 20 - 65_535))
    #expect(server.settingsAreAcknowledged)
  }

  @Test func `settings that are not acknowledged are known`() throws {
    let server = try Server(started: false)
    server.receive(F.start)
    #expect(!server.settingsAreAcknowledged)
    server.receive(F.settingsAcknowledgement)
    #expect(server.settingsAreAcknowledged)
  }

  @Test func `a request and its body are told in order`() throws {
    let server = try Server()
    server.receive(F.post(1) + F.data(1, "ab") + F.get(3, path: "/x?y") + F.data(1, "cd", ends: true))
    #expect(
      server.told == [
        "opened 1 POST / chunked [Host: shop] and more", "data 1 ab", "opened 3 GET /x?y none [Host: shop]",
        "data 1 cd",
        "ended 1",
      ])
  }

  @Test func `trailers end the body and are not passed on`() throws {
    let server = try Server()
    server.receive(F.post(1) + F.data(1, "ab") + F.headers(1, [("x-checksum", "1")]))
    #expect(server.told.suffix(2) == ["data 1 ab", "ended 1"])
  }

  @Test func `trailers that are too large end the stream`() throws {
    let server = try Server()
    server.receive(F.post(1))
    server.receive(F.headers(1, [("x-a", String(repeating: "a", count: 9000))]))
    #expect(server.told.last == "reset 1 protocol_error")
    #expect(server.reset(1) == 1)
  }

  @Test func `a stream that is opened and reset in one read is never told of`() throws {
    let server = try Server()
    server.receive(F.get(1) + F.reset(1) + F.post(3) + F.data(3, "a") + F.reset(3) + F.get(5))
    #expect(server.told == ["opened 5 GET / none [Host: shop]"])
    #expect(server.streamCount == 1)
  }

  @Test func `a stream that is reset later is told of`() throws {
    let server = try Server()
    server.receive(F.get(1))
    server.receive(F.reset(1))
    #expect(server.told == ["opened 1 GET / none [Host: shop]", "reset 1 cancel"])
    #expect(server.streamCount == 0)
  }

  @Test func `an interim head comes before the answer`() throws {
    let server = try Server()
    server.receive(F.post(1, [("expect", "100-continue")]))
    server.session.inform(1, status: 100)
    server.write()
    server.receive(F.data(1, "a", ends: true))
    server.respond(1, nil, status: 204)
    server.write()
    #expect(server.frames.filter { $0.type == 1 }.compactMap(\.fields.first?.1) == ["100", "204"])
    #expect(server.isEnded(1))
  }

  @Test func `an interim head is too late after the answer`() throws {
    let server = try Server()
    server.receive(F.get(1))
    server.respond(1, nil)
    server.session.inform(1, status: 100)
    server.write()
    #expect(server.frames.filter { $0.type == 1 }.count == 1)
  }

  @Test func `a head leaves before there is a body`() throws {
    let server = try Server()
    server.receive(F.get(1))
    server.respond(1, HTTP2StoredBody())
    server.write()
    #expect(server.status(1) == "200")
    #expect(!server.isEnded(1))
  }

  @Test func `a stream is answered once`() throws {
    let server = try Server()
    server.receive(F.get(1))
    #expect(server.respond(1, nil))
    #expect(!server.respond(1, nil))
    #expect(!server.respond(3, nil))
    server.write()
    #expect(server.frames.filter { $0.type == 1 }.count == 1)
  }

  @Test func `a large head is sent in several frames`() throws {
    let server = try Server()
    server.receive(F.get(1))
    var draft = ResponseDraft(status: 200)
    draft.append("X-Large") { value in for _ in 0..<100_000 { value.append(UInt8(ascii: "~")) } }
    server.session.respond(1, draft, framing: .none, body: nil)
    server.write()
    let types = server.frames.filter { $0.stream == 1 }.map(\.type)
    #expect(types.count > 5 && types.first == 1 && types.dropFirst().allSatisfy { $0 == 9 })
    #expect(server.told.last == "written 1")
    #expect(server.streamCount == 0)
  }

  @Test func `a head that is too large ends its stream and costs the client nothing`() throws {
    let server = try Server()
    server.receive(F.get(1))
    var draft = ResponseDraft(status: 200)
    draft.append("X-Large") { value in for _ in 0..<300_000 { value.append(UInt8(ascii: "~")) } }
    server.session.respond(1, draft, framing: .none, body: nil)
    server.write()
    #expect(server.reset(1) == 2)
    #expect(server.told.last == "reset 1 internal_error")
    #expect(server.budget == 999)
  }

  @Test func `body follows in the write in which it came`() throws {
    let server = try Server()
    server.receive(F.get(1))
    let body = HTTP2StoredBody()
    server.respond(1, body)
    server.write()
    for text in ["one", "two"] {
      body.append(text.utf8Span.span)
      server.session.resume(1)
      #expect(server.wantsWrite)
      server.write()
    }
    #expect(server.body(1) == Array("onetwo".utf8))
    #expect(server.frames.filter { $0.type == 0 }.count == 2)
    #expect(body.count == 0)
    body.finish()
    server.session.resume(1)
    server.write()
    #expect(server.isEnded(1))
    #expect(server.streamCount == 0)
  }

  @Test func `nothing comes after a client's reset`() throws {
    let server = try Server()
    server.receive(F.get(1))
    let body = HTTP2StoredBody("late".utf8Span.span)
    server.receive(F.reset(1))
    server.clearFrames()
    server.respond(1, body)
    server.session.resume(1)
    server.session.reset(1, .internalError)
    server.write()
    #expect(server.frames.isEmpty)
  }

  @Test func `whatever is done to streams that are not there does nothing`() throws {
    let server = try Server()
    for id: Int32 in [-1, 0, 1, 2, .max] {
      server.session.resume(id)
      server.session.consume(id, 100)
      server.session.reset(id, .cancel)
      server.session.inform(id, status: 100)
    }
    server.clearFrames()
    server.write()
    #expect(server.frames.isEmpty)
    #expect(server.error == nil)
  }

  // MARK: - Resets

  @Test func `a reset loses nothing of what was ready`() throws {
    let server = try Server()
    server.receive(F.get(1))
    server.respond(1, HTTP2StoredBody([UInt8](repeating: 0x61, count: 48_000).span))
    server.session.reset(1, .internalError)
    server.write()
    #expect(server.status(1) == "200")
    #expect(server.body(1).count == 48_000)
    #expect(server.reset(1) == 2 || server.isEnded(1))
  }

  @Test func `a reset stands behind the last frame`() throws {
    let server = try Server()
    server.receive(F.get(1))
    let body = HTTP2StoredBody()
    body.append([UInt8](repeating: 0x61, count: 48_000).span)
    server.respond(1, body)
    server.session.reset(1, .internalError)
    server.write()
    let types = server.frames.filter { $0.stream == 1 }.map(\.type)
    #expect(types == [1, 0, 0, 0, 3])
    #expect(server.told == ["opened 1 GET / none [Host: shop]"])
  }

  @Test func `a cut is confirmed before the owner resets it`() throws {
    let server = try Server()
    server.receive(F.get(1))
    let body = HTTP2StoredBody()
    body.append("tail".utf8Span.span)
    body.finish(isCut: true)
    server.respond(1, body)
    server.clearTold()
    server.clearFrames()
    server.write()
    #expect(server.frames.map(\.type) == [1, 0, 6])
    #expect(server.body(1) == Array("tail".utf8))
    #expect(!server.isEnded(1))
    server.answerPings()
    #expect(server.told == ["written 1", "confirmed 1"])
    #expect(server.reset(1) == nil)
    server.session.reset(1, .internalError)
    server.write()
    #expect(server.reset(1) == 2)
    #expect(server.streamCount == 0)
  }

  // MARK: - PING

  @Test func `a PING stands behind the end and confirms it`() throws {
    let server = try Server()
    server.receive(F.get(1))
    server.respond(1, HTTP2StoredBody([UInt8](repeating: 0x61, count: 40_000).span))
    server.clearFrames()
    server.write()
    #expect(server.frames.map(\.type) == [1, 0, 0, 0, 6])
    server.answerPings()
    #expect(server.told.last == "confirmed 1")
  }

  @Test func `a PING waits for an end that waits for the window`() throws {
    let server = try Server()
    server.receive(F.settings([(4, 10)]) + F.get(1))
    server.respond(1, HTTP2StoredBody([UInt8](repeating: 0x61, count: 15).span))
    server.write()
    #expect(!server.frames.contains { $0.type == 6 })
    server.receive(F.windowUpdate(1, 5))
    #expect(server.frames.last?.type == 6)
  }

  @Test func `one PING is on its way, and streams share the next`() throws {
    let server = try Server()
    server.answers = true
    server.receive(F.get(1))
    for id: UInt32 in [3, 5, 7] { server.receive(F.get(id)) }
    #expect(server.frames.filter { $0.type == 6 }.count == 1)
    server.answerPings()
    #expect(server.told.last == "confirmed 1")
    #expect(server.frames.filter { $0.type == 6 }.count == 1)
    server.answerPings()
    #expect(server.told.suffix(3) == ["confirmed 3", "confirmed 5", "confirmed 7"])
    #expect(!server.frames.contains { $0.type == 6 })
  }

  @Test func `the owner's own PING is answered`() throws {
    let server = try Server()
    server.session.ping()
    #expect(server.wantsWrite)
    server.write()
    server.answerPings()
    #expect(server.told == ["ping answered"])
    #expect(!server.wantsWrite)
  }

  @Test func `answers that nobody asked for confirm nothing`() throws {
    let server = try Server()
    server.answers = true
    server.receive(F.get(1))
    server.receive(F.ping([1, 1, 1, 1, 1, 1, 1, 1], isAnswer: true))
    #expect(!server.told.contains("confirmed 1"))
    server.answerPings()
    #expect(server.told.last == "confirmed 1")
  }

  @Test func `clients that answer no PING can't make the lists grow`() throws {
    let server = try Server(HTTP2Settings(budget: FrameBudget.Limits(tokens: 1_000_000)))
    server.answers = true
    for index in 0..<3000 { server.receive(F.get(UInt32(index) * 2 + 1)) }
    #expect(server.streamCount == 0)
    server.clearTold()
    server.answerPings()
    server.answerPings()
    #expect(server.told.count == 1025)
  }

  @Test func `an upload that is not wanted stops when the answer has arrived`() throws {
    let server = try Server()
    server.receive(F.post(1) + F.data(1, "ab"))
    server.respond(1, HTTP2StoredBody("no".utf8Span.span), status: 413)
    server.write()
    #expect(server.isEnded(1))
    #expect(server.reset(1) == nil)
    server.receive(F.data(1, "cd"))
    server.answerPings()
    #expect(server.reset(1) == 0)
    #expect(server.streamCount == 0)
    // What the client had sent by then does no harm.
    server.receive(F.data(1, "ef", ends: true))
    #expect(server.goAway == nil)
  }

  // MARK: - The end

  @Test func `no GOAWAY comes while streams are open`() throws {
    let server = try Server()
    server.receive(F.get(1))
    let body = HTTP2StoredBody()
    server.respond(1, body)
    server.session.announceShutdown()
    server.write()
    server.receive(F.get(3))
    #expect(server.goAway == nil)
    #expect(server.told.last == "opened 3 GET / none [Host: shop]")
    server.respond(3, nil, status: 503)
    body.append("end".utf8Span.span)
    body.finish()
    server.session.resume(1)
    server.write()
    let ends = server.frames.filter { $0.type == 7 }
    #expect(ends.map { $0.payload.prefix(4) } == [[0x7F, 0xFF, 0xFF, 0xFF]])
    #expect(server.isEnded(1) && server.isEnded(3))
    server.answerPings()
    server.answerPings()
    #expect(server.frames.filter { $0.type == 7 }.map { $0.payload.prefix(4) }.last == [0, 0, 0, 3])
    #expect(server.goAway == 0)
    #expect(server.told.last == "over no_error")
    #expect(!server.wantsWrite)
  }

  @Test func `an idle connection takes its leave at once`() throws {
    let server = try Server()
    server.session.announceShutdown()
    server.write()
    #expect(server.goAway == 0)
    // A request that was on its way is still taken.
    server.receive(F.get(1))
    server.respond(1, nil)
    server.answerPings()
    #expect(server.isEnded(1))
    server.answerPings()
    #expect(server.told.last == "over no_error")
  }

  @Test func `early leave does not wait for streams`() throws {
    let server = try Server()
    server.receive(F.get(1))
    let body = HTTP2StoredBody()
    server.respond(1, body)
    server.session.announceShutdown(isEarly: true)
    server.write()
    #expect(server.goAway == 0)
    server.answerPings()
    #expect(!server.told.contains("over no_error"))
    body.finish()
    server.session.resume(1)
    server.write()
    #expect(server.isEnded(1))
    #expect(server.told.last == "over no_error")
  }

  @Test func `after the last GOAWAY new streams are ignored`() throws {
    let server = try Server()
    server.receive(F.get(1))
    let body = HTTP2StoredBody()
    server.respond(1, body)
    server.session.shutDown()
    server.session.shutDown()
    server.write()
    #expect(server.frames.filter { $0.type == 7 }.count == 1)
    server.receive(F.post(3) + F.data(3, "a", ends: true))
    #expect(server.streamCount == 1)
    body.finish()
    server.session.resume(1)
    server.write()
    #expect(server.told.last == "over no_error")
  }

  @Test func `what a client sends behind its leave, with nothing open, is not read`() throws {
    let server = try Server()
    server.receive(F.goAway() + F.get(1) + F.data(3, "a"))
    #expect(server.told == ["over no_error"])
    let busy = try Server()
    busy.receive(F.get(1) + F.goAway() + F.get(3))
    #expect(busy.told.count == 2)
  }

  @Test func `a session can be ended with a reason`() throws {
    let server = try Server()
    server.receive(F.get(1))
    server.session.terminate(.settingsTimeout)
    server.write()
    #expect(server.goAway == 4)
    #expect(server.told.last == "over settings_timeout")
    server.clearTold()
    server.receive(F.get(3))
    #expect(server.told.isEmpty)
  }

  @Test func `a header section that does not end is known`() throws {
    let server = try Server()
    #expect(server.sectionBeganAt == nil)
    let section = F.get(1)
    server.receive(Array(section.dropLast()))
    #expect(server.sectionBeganAt == server.now)
    server.now = server.now + .seconds(1)
    server.receive(section.suffix(1))
    #expect(server.sectionBeganAt == nil)
    server.receive(F.frame(1, flags: 1, stream: 3, []))
    #expect(server.sectionBeganAt == server.now)
  }
}
