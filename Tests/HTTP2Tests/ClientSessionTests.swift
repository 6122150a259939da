import HTTP
import HTTP2
import HTTP2Frames
import Testing
import Time

/// A client's session and a server's, which speak with each other.
struct ClientSessionTests {
  /// Both sides, and the bytes between them.
  private final class Pair {
    let server: Server
    let client: HTTP2ClientSession
    private let sink = Sink()
    private(set) var told: [String] = []

    init() throws {
      server = try Server(started: false)
      client = try HTTP2ClientSession()
    }

    /// Carries bytes until neither side has any more.
    func talk() throws {
      for _ in 0..<100 {
        try client.write(to: sink)
        let up = sink.take()
        if !up.isEmpty { server.receive(up) } else { server.write() }
        let down = server.takeBytes()
        if up.isEmpty, down.isEmpty { break }
        try client.receive(down.span)
        takeEvents(down)
      }
      takeEvents([])
    }

    func receive(_ bytes: [UInt8]) throws {
      try client.receive(bytes.span)
      takeEvents(bytes)
    }

    private func takeEvents(_ input: [UInt8]) {
      while let event = client.nextEvent() {
        switch event {
        case .head(let id, let status, let fields):
          let lines = fields.indices.map { "\(String(decoding: [UInt8](fields.name(at: $0)), as: UTF8.self))" }
          told.append("head \(id) \(status) [\(lines.joined(separator: ", "))]")
        case .data(let id, let range):
          let text = String(decoding: input[range], as: UTF8.self)
          if let last = told.last, last.hasPrefix("data \(id) ") {
            told[told.count - 1] = last + text
          } else {
            told.append("data \(id) \(text)")
          }
        case .ended(let id): told.append("ended \(id)")
        case .reset(let id, let code): told.append("reset \(id) \(code)")
        case .goAway(let code): told.append("goaway \(code)")
        case .over: told.append("over")
        }
      }
    }
  }

  private let get = HTTP2Request(authority: "shop", path: "/a?b")

  @Test func `a request is answered`() throws {
    let pair = try Pair()
    #expect(try pair.client.request(get) == 1)
    try pair.talk()
    #expect(pair.server.told == ["opened 1 GET /a?b none [Host: shop]"])
    var draft = ResponseDraft(status: 201)
    draft.append("Content-Type", "text/plain")
    pair.server.session.respond(1, draft, framing: .length(2), body: HTTP2StoredBody("ok".utf8Span.span))
    try pair.talk()
    #expect(pair.told == ["head 1 201 [content-type, content-length]", "data 1 ok", "ended 1"])
    // The end is confirmed without a word of the client's owner.
    #expect(pair.server.told.last == "confirmed 1")
  }

  @Test func `a body goes up, however large`() throws {
    let pair = try Pair()
    let body = [UInt8](repeating: 0x61, count: 300_000)
    _ = try pair.client.request(HTTP2Request(method: .post, authority: "shop", path: "/", body: body))
    try pair.talk()
    #expect(pair.server.told.first == "opened 1 POST / length(300000) [Host: shop, content-length: 300000] and more")
    #expect(pair.server.told[1].utf8.count == "data 1 ".utf8.count + 300_000)
    #expect(pair.server.told[2] == "ended 1")
  }

  @Test func `fields of an HTTP 1 connection are not sent`() throws {
    let pair = try Pair()
    var fields = Fields()
    fields.append(.host, literal: "other")
    fields.append(.connection, literal: "close")
    fields.append(.accept, literal: "text/event-stream")
    fields.append(.contentLength, literal: "7")
    _ = try pair.client.request(HTTP2Request(authority: "shop", path: "/", fields: fields))
    try pair.talk()
    #expect(pair.server.told == ["opened 1 GET / none [Host: shop, accept: text/event-stream]"])
  }

  @Test func `interim heads are passed over`() throws {
    let pair = try Pair()
    _ = try pair.client.request(get)
    try pair.talk()
    pair.server.session.inform(1, status: 103)
    try pair.talk()
    #expect(pair.told.isEmpty)
    pair.server.respond(1, nil, status: 204)
    try pair.talk()
    #expect(pair.told == ["head 1 204 []", "ended 1"])
  }

  @Test func `streams run beside each other`() throws {
    let pair = try Pair()
    for _ in 0..<10 { _ = try pair.client.request(get) }
    try pair.talk()
    let bodies = (0..<10).map { _ in HTTP2StoredBody() }
    for (index, body) in bodies.enumerated() { pair.server.respond(Int32(index * 2 + 1), body) }
    for (index, body) in bodies.enumerated().reversed() {
      body.append("event \(index)".utf8Span.span)
      body.finish()
      pair.server.session.resume(Int32(index * 2 + 1))
      try pair.talk()
    }
    #expect(pair.told.filter { $0.hasPrefix("ended") }.count == 10)
    #expect(pair.told.last == "ended 1")
  }

  @Test func `a cut is seen, and so is what came before it`() throws {
    let pair = try Pair()
    _ = try pair.client.request(get)
    try pair.talk()
    let body = HTTP2StoredBody()
    body.append("tail".utf8Span.span)
    body.finish(isCut: true)
    pair.server.respond(1, body)
    try pair.talk()
    #expect(pair.server.told.last == "confirmed 1")
    pair.server.session.reset(1, .internalError)
    try pair.talk()
    #expect(pair.told == ["head 1 200 []", "data 1 tail", "reset 1 internal_error"])
  }

  @Test func `a request can be given up`() throws {
    let pair = try Pair()
    _ = try pair.client.request(get)
    try pair.talk()
    pair.client.cancel(1)
    pair.client.cancel(1)
    pair.client.cancel(7)
    try pair.talk()
    #expect(pair.server.told.last == "reset 1 cancel")
    #expect(pair.told.isEmpty)
  }

  @Test func `a server that leaves is over when its streams are`() throws {
    let pair = try Pair()
    _ = try pair.client.request(get)
    try pair.talk()
    pair.server.session.announceShutdown()
    pair.server.respond(1, HTTP2StoredBody("ok".utf8Span.span))
    try pair.talk()
    #expect(pair.told == ["head 1 200 []", "data 1 ok", "ended 1", "goaway no_error", "over"])
    #expect(pair.server.told.last == "over no_error")
  }

  @Test func `what is no HTTP 2 is the end`() throws {
    let pair = try Pair()
    try pair.receive(Array("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".utf8))
    try pair.talk()
    #expect(pair.told == ["over"])
  }

  @Test(arguments: 0..<200) func `any bytes from a server do no harm`(_ seed: Int) throws {
    var random = SplitMix(state: UInt64(seed))
    let pair = try Pair()
    for _ in 0..<3 { _ = try pair.client.request(get) }
    let sink = Sink()
    do {
      try pair.client.write(to: sink)
      try pair.receive(Frames.settings())
      for _ in 0..<60 {
        let payload = (0..<Int(random.next() % 40)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        let type = UInt8(truncatingIfNeeded: random.next() % 10)
        let flags = UInt8(truncatingIfNeeded: random.next())
        try pair.receive(Frames.frame(type, flags: flags, stream: UInt32(random.next() % 7), payload))
        try pair.client.write(to: sink)
      }
    } catch is HTTP2SessionError {}
    #expect(pair.told.filter { $0 == "over" }.count <= 1)
  }
}

extension [UInt8] {
  fileprivate init(_ span: Span<UInt8>) {
    self = span.indices.map { span[$0] }
  }
}
