import Bytes
import HTTP
import Testing

@Suite struct RequestForwardingTests {
  private let rules = ForwardingRules(upstreamAuthority: FieldValue(literal: "backend:9000"))
  private let stranger = ForwardedClient(address: "203.0.113.9", isSecure: false, isTrusted: false)
  private let proxy = ForwardedClient(address: "10.0.0.1", isSecure: true, isTrusted: true)

  private func forward(_ text: String, from client: ForwardedClient?, as rules: ForwardingRules) throws -> String {
    let head = try requestHead(text)
    return written { Forwarding.writeRequest(head, from: client, as: rules, into: &$0) }
  }

  @Test func `a request is written anew`() throws {
    let result = try forward(
      "POST /p?q HTTP/1.1\r\nx-a:1 \r\nHost: shop\r\nContent-Length: 007\r\nAccept:  */*\r\n\r\n",
      from: stranger, as: rules)
    #expect(
      result == """
        POST /p?q HTTP/1.1\r
        Host: shop\r
        x-a: 1\r
        Accept: */*\r
        X-Forwarded-For: 203.0.113.9\r
        X-Forwarded-Proto: http\r
        X-Forwarded-Host: shop\r
        Via: 1.1 fermata\r
        Content-Length: 7\r
        \r

        """)
  }

  @Test func `what is written is read back as the same request`() throws {
    for text in RequestHeadTests.accepted {
      let input = wire(text)
      var parser = RequestHeadParser()
      guard case .complete(let head, _) = try parser.parse(input.span) else { continue }
      let result = written { Forwarding.writeRequest(head, from: stranger, as: rules, into: &$0) }
      let again = try requestHead(result)
      #expect(again.method == head.method)
      #expect(again.target.pathString == head.target.pathString)
      #expect(again.target.queryString == head.target.queryString)
      #expect(again.framing == head.framing)
      #expect(again.version == .http11)
      #expect(again.fields.string(.host) == head.fields.string(.host) ?? "backend:9000")
    }
  }

  @Test func `hop-by-hop and nominated fields stay behind`() throws {
    let hop = """
      Connection: keep-alive, X-Private, TE\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\nTE: trailers\r
      Trailer: X\r\nUpgrade: h2c\r\nHTTP2-Settings: AAAA\r\nProxy-Authorization: Basic x\r\nx-private: secret\r
      X-Kept: yes\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n
      """
    let result = try forward("POST / HTTP/1.1\r\nHost: a\r\n\(hop)\r\n", from: nil, as: rules)
    #expect(
      result == """
        POST / HTTP/1.1\r\nHost: a\r\nX-Kept: yes\r\nVia: 1.1 fermata\r\nTransfer-Encoding: chunked\r\n\r

        """)
  }

  @Test func `a known field may be nominated unless it is protected`() throws {
    let result = try forward(
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: referer\r\nReferer: x\r\nPragma: y\r\n\r\n", from: nil, as: rules)
    #expect(result == "GET / HTTP/1.1\r\nHost: a\r\nPragma: y\r\nVia: 1.1 fermata\r\n\r\n")
  }

  @Test func `a stranger's word about the client is replaced`() throws {
    let claims = """
      X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nX-Real-IP: 1.2.3.4\r
      Forwarded: for=1.2.3.4\r\nX-Forwarded-Port: 1\r\nX-Forwarded-Prefix: /x\r\nX_Forwarded_For: 1.2.3.4\r\n
      """
    let result = try forward("GET / HTTP/1.1\r\nHost: a\r\n\(claims)\r\n", from: stranger, as: rules)
    #expect(!result.contains("1.2.3.4") && !result.contains("evil") && !result.contains("Prefix"))
    #expect(result.contains("X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\n"))
  }

  @Test func `a trusted peer's word is kept and its address added`() throws {
    let claims = """
      X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: shop\r\nx-forwarded-for: 5.6.7.8\r
      X-Real-IP: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\n
      """
    let result = try forward("GET / HTTP/1.1\r\nHost: a\r\n\(claims)\r\n", from: proxy, as: rules)
    #expect(result.contains("X-Forwarded-For: 1.2.3.4, 5.6.7.8, 10.0.0.1\r\n"))
    #expect(result.contains("X-Forwarded-Proto: http\r\n") && !result.contains("https"))
    #expect(result.contains("X-Forwarded-Host: shop\r\n") && !result.contains("Host: a\r\nX-Forwarded-Host: a"))
    #expect(result.contains("X-Real-IP: 1.2.3.4\r\n") && result.contains("Forwarded: for=1.2.3.4\r\n"))
    let bare = try forward("GET / HTTP/1.1\r\nHost: a\r\n\r\n", from: proxy, as: rules)
    #expect(bare.contains("X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: a\r\n"))
  }

  @Test func `a field that only looks different to a machine stays behind`() throws {
    let fields = "Content_Length: 5\r\nTransfer_Encoding: chunked\r\nX_Own: 1\r\n"
    let result = try forward("GET / HTTP/1.1\r\nHost: a\r\n\(fields)\r\n", from: nil, as: rules)
    #expect(result == "GET / HTTP/1.1\r\nHost: a\r\nX_Own: 1\r\nVia: 1.1 fermata\r\n\r\n")
  }

  @Test func `the upstream's host, base path and parameters follow the rules`() throws {
    var rules = rules
    rules.host = .upstream
    rules.basePath = "/v1"
    rules.strippedParameters = ["stream_end", "last_event_id"]
    let result = try forward(
      "GET /p?a=1&stream_end=1&b=2 HTTP/1.1\r\nHost: shop\r\n\r\n", from: nil, as: rules)
    #expect(
      result == "GET /v1/p?a=1&b=2 HTTP/1.1\r\nHost: backend:9000\r\nVia: 1.1 fermata\r\n\r\n")
    let bare = try forward("GET /p?stream_end=1 HTTP/1.1\r\nHost: shop\r\n\r\n", from: nil, as: rules)
    #expect(bare.hasPrefix("GET /v1/p HTTP/1.1\r\n"))
    let asterisk = try forward("OPTIONS * HTTP/1.1\r\nHost: shop\r\n\r\n", from: nil, as: rules)
    #expect(asterisk.hasPrefix("OPTIONS * HTTP/1.1\r\n"))
    let old = try forward("GET / HTTP/1.0\r\n\r\n", from: nil, as: self.rules)
    #expect(old == "GET / HTTP/1.1\r\nHost: backend:9000\r\nVia: 1.0 fermata\r\n\r\n")
  }

  @Test func `fields of the rules replace the client's`() throws {
    var rules = rules
    rules.dropped = [.cookie]
    rules.droppedNames = [try #require(FieldName("X-Drop"))]
    rules.overrides.append(.acceptEncoding, literal: "identity")
    rules.overrides.append(.authorization, literal: "rule")
    rules.overrides.append(try #require(FieldName("X-Key")), FieldValue(literal: "k"))
    let sent = "Accept-Encoding: gzip\r\nCookie: c\r\nX-DROP: 1\r\nx-key: 2\r\nX-TRACE: 3\r\nauthorization: mine\r\n"
    let result = try forward("GET / HTTP/1.1\r\nHost: a\r\n\(sent)\r\n", from: nil, as: rules)
    #expect(
      result == """
        GET / HTTP/1.1\r\nHost: a\r\nX-TRACE: 3\r\nAccept-Encoding: identity\r\nAuthorization: rule\r\nX-Key: k\r
        Via: 1.1 fermata\r\n\r

        """)
  }

  @Test(arguments: [false, true])
  func `what is removed does not arrive, whoever would write it`(isTrusted: Bool) throws {
    var rules = rules
    rules.dropped = [
      .xForwardedFor, .xForwardedProto, .xForwardedHost, .via, .forwarded, .traceparent, .xRequestID, .userAgent,
    ]
    let client = ForwardedClient(address: "203.0.113.9", isSecure: true, isTrusted: isTrusted)
    let sent = """
      X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: shop\r\nVia: 1.1 edge\r
      Forwarded: for=1.2.3.4\r\ntraceparent: 00-1-2-01\r\nX-Request-Id: 7\r\nUser-Agent: x\r\nX-Kept: 1\r\n
      """
    for fields in ["", sent] {
      let result = try forward("GET / HTTP/1.1\r\nHost: a\r\n\(fields)\r\n", from: client, as: rules)
      #expect(result == "GET / HTTP/1.1\r\nHost: a\r\n\(fields.isEmpty ? "" : "X-Kept: 1\r\n")\r\n")
    }
  }

  @Test(arguments: [KnownField.xForwardedFor, .xForwardedProto, .xForwardedHost])
  func `one of the fields about the client is removed, the others stay`(field: KnownField) throws {
    var rules = rules
    rules.dropped = [field]
    let result = try forward("GET / HTTP/1.1\r\nHost: a\r\n\r\n", from: stranger, as: rules)
    for other in [KnownField.xForwardedFor, .xForwardedProto, .xForwardedHost] {
      #expect(result.contains("\r\n\(other.name): ") == (other != field), "\(other.name)")
    }
  }

  @Test(arguments: [false, true])
  func `a field about the client that is set goes over the gateway's own`(isTrusted: Bool) throws {
    var rules = rules
    for field in [KnownField.xForwardedFor, .xForwardedProto, .xForwardedHost] {
      rules.overrides.append(field, literal: "set")
    }
    let client = ForwardedClient(address: "203.0.113.9", isSecure: true, isTrusted: isTrusted)
    let result = try forward(
      "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n", from: client, as: rules)
    #expect(
      result == """
        GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: set\r\nX-Forwarded-Proto: set\r\nX-Forwarded-Host: set\r
        Via: 1.1 fermata\r\n\r

        """)
  }

  @Test func `no protocol is asked for that the gateway does not speak`() throws {
    let result = try forward(
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n",
      from: nil, as: rules)
    #expect(result == "GET / HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key: k\r\nVia: 1.1 fermata\r\n\r\n")
  }
}

@Suite struct ResponseForwardingTests {
  private func forward(
    _ text: String, framing: BodyFraming, version: HTTPVersion = .http11, isKeepAlive: Bool = true,
    as rules: ResponseRules = ResponseRules()
  ) throws -> String {
    let head = try responseHead(text)
    var draft = ResponseDraft()
    Forwarding.draftResponse(head, as: rules, into: &draft)
    var out = ByteBuffer()
    HTTP1Head.write(draft, framing: framing, version: version, isKeepAlive: isKeepAlive, into: &out)
    return String(copying: out.span)
  }

  @Test func `a response is written anew with its own reason`() throws {
    let sent = """
      HTTP/1.0 200 Fine\r\ncontent-type:text/event-stream\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: x\r
      Transfer_Encoding: chunked\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n\r

      """
    #expect(
      try forward(sent, framing: .chunked) == """
        HTTP/1.1 200 Fine\r\ncontent-type: text/event-stream\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r
        Via: 1.0 fermata\r\nTransfer-Encoding: chunked\r\n\r

        """)
  }

  @Test func `the connection's future is told to each client in its own way`() throws {
    let sent = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
    let head = "HTTP/1.1 200 OK\r\nVia: 1.1 fermata\r\n"
    #expect(try forward(sent, framing: .length(2)) == head + "Content-Length: 2\r\n\r\n")
    #expect(
      try forward(sent, framing: .length(2), isKeepAlive: false)
        == head + "Content-Length: 2\r\nConnection: close\r\n\r\n")
    #expect(
      try forward(sent, framing: .length(2), version: .http10)
        == head + "Content-Length: 2\r\nConnection: keep-alive\r\n\r\n")
    #expect(try forward(sent, framing: .untilClose) == head + "Connection: close\r\n\r\n")
  }

  @Test func `a length is kept for a body that is not sent, and where none may be it is not`() throws {
    let length = "Content-Length: 7\r\n\r\n"
    #expect(try forward("HTTP/1.1 200 OK\r\n\(length)", framing: .none).hasSuffix("Content-Length: 7\r\n\r\n"))
    #expect(try forward("HTTP/1.1 304 X\r\n\(length)", framing: .none).hasSuffix("Content-Length: 7\r\n\r\n"))
    #expect(try !forward("HTTP/1.1 204 X\r\n\(length)", framing: .none).contains("Length"))
    #expect(try !forward("HTTP/1.1 304 X\r\n\r\n", framing: .none).contains("Length"))
  }

  @Test func `a protected field cannot be nominated away`() throws {
    let fields = "Connection: content-type, vary, age\r\nContent-Type: a/b\r\nVary: x\r\nAge: 1\r\n"
    let sent = "HTTP/1.1 200 OK\r\n\(fields)\r\n"
    #expect(
      try forward(sent, framing: .chunked) == """
        HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nVary: x\r\nVia: 1.1 fermata\r\nTransfer-Encoding: chunked\r\n\r

        """)
  }

  @Test func `fields of the rules replace the upstream's`() throws {
    var rules = ResponseRules(dropped: [.server])
    rules.overrides.append(.cacheControl, literal: "no-cache, no-transform")
    rules.overrides.append(.xStreamMode, literal: "graceful")
    let sent = "HTTP/1.1 200 OK\r\nServer: x\r\nCache-Control: private\r\nX-Stream-Mode: forged\r\nX: y\r\n\r\n"
    #expect(
      try forward(sent, framing: .chunked, as: rules) == """
        HTTP/1.1 200 OK\r\nX: y\r\nCache-Control: no-cache, no-transform\r\nX-Stream-Mode: graceful\r
        Via: 1.1 fermata\r\nTransfer-Encoding: chunked\r\n\r

        """)
  }
}
