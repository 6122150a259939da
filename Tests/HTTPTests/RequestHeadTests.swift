import Bytes
import HTTP
import Testing

@Suite struct RequestHeadTests {
  static let accepted: [String] = [
    "GET / HTTP/1.1⏎Host: a⏎⏎",
    "⏎GET / HTTP/1.1⏎Host: a⏎⏎",
    "GET / HTTP/1.0⏎⏎",
    "GET /a/b/../c?x=1&y=%20 HTTP/1.1⏎Host: example.com:8080⏎⏎",
    "GET /\"<>[\\]^`{|}?\"<>[\\]^`{|} HTTP/1.1⏎Host: a⏎⏎",
    "GET //double//slash HTTP/1.1⏎Host: a⏎⏎",
    "GET /% HTTP/1.1⏎Host: a⏎⏎",
    "GET /? HTTP/1.1⏎Host: a⏎⏎",
    "GET /?a?b HTTP/1.1⏎Host: a⏎⏎",
    "OPTIONS * HTTP/1.1⏎Host: a⏎⏎",
    "GET http://example.com/x?y HTTP/1.1⏎Host: other⏎⏎",
    "GET HTTP://example.com:80 HTTP/1.1⏎Host: other⏎⏎",
    "GET https://[::1]:443?q HTTP/1.1⏎Host: other⏎⏎",
    "OPTIONS http://example.com HTTP/1.1⏎Host: other⏎⏎",
    "GET http://example.com/ HTTP/1.0⏎⏎",
    "M-SEARCH / HTTP/1.1⏎Host: a⏎⏎",
    "get / HTTP/1.1⏎Host: a⏎⏎",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF / HTTP/1.1⏎Host: a⏎⏎",
    "POST / HTTP/1.1⏎Host: a⏎Content-Length: 5⏎⏎hello",
    "POST / HTTP/1.1⏎Host: a⏎Content-Length:\t5\t ⏎⏎hello",
    "POST / HTTP/1.1⏎Host: a⏎Content-Length: 0⏎⏎",
    "POST / HTTP/1.1⏎Host: a⏎Content-Length: 00012⏎⏎",
    "POST / HTTP/1.1⏎Host: a⏎Content-Length: 9223372036854775807⏎⏎",
    "POST / HTTP/1.1⏎Host: a⏎Transfer-Encoding: chunked⏎⏎0⏎⏎",
    "POST / HTTP/1.1⏎Host: a⏎transfer-encoding:\tChUnKeD \t⏎⏎0⏎⏎",
    "GET / HTTP/1.1⏎Host:a⏎X:⏎Y: ⏎Z:\t\t⏎⏎",
    "GET / HTTP/1.1⏎Host: a⏎X:  a\tb  c \t⏎⏎",
    "GET / HTTP/1.1⏎Host: a⏎X: caf\u{e9} \u{2713}⏎⏎",
    "GET / HTTP/1.1⏎Host: a⏎!#$%&'*+-.^_`|~09azAZ: x⏎⏎",
    "GET / HTTP/1.1⏎Host: a⏎X: 1⏎x: 2⏎X: 3⏎⏎GET / HTTP/1.1⏎",
    "GET / HTTP/1.1⏎Host: a⏎Expect: 100-Continue⏎⏎",
    "GET / HTTP/1.1⏎Host: a⏎Connection: close, X-Private, te⏎⏎",
    "GET / HTTP/1.1⏎Host: a⏎Connection: \"odd\", ,keep-alive⏎⏎",
  ]

  @Test(arguments: accepted)
  func `a request comes out the same however it is cut`(text: String) {
    let input = wire(text)
    let whole = parseRequest(input)
    guard case .head = whole else {
      Issue.record("refused: \(whole)")
      return
    }
    #expect(parseRequest(input, cuts: Array(1..<input.count)) == whole)
    for cut in 0..<input.count { #expect(parseRequest(input, cuts: [cut]) == whole) }
  }

  @Test(arguments: accepted)
  func `a request that is not whole needs more`(text: String) {
    let input = wire(text)
    guard case .head(let head) = parseRequest(input) else { return }
    for length in 0..<head.consumed { #expect(parseRequest(Array(input.prefix(length))) == .needMore) }
    #expect(parseRequest(Array(input.prefix(head.consumed))) == .head(head))
  }

  @Test(
    arguments: [
      "a", "a.b-c_d~e", "example.com:8080", "example.com:", "EXAMPLE.com", "1.2.3.4:5", "[::1]", "[::1]:80", "[::]",
      "[2001:db8::1]:443", "[1:2:3:4:5:6:7:8]", "[::ffff:1.2.3.4]", "[1::]", "a%20b", "a!$&'()*+,;=b", "a:0",
      "a:65535",
    ])
  func `a host of RFC 3986 is taken`(host: String) throws {
    let head = try requestHead("GET / HTTP/1.1\r\nHost: \(host)\r\n\r\n")
    #expect(head.fields.string(.host) == host)
  }

  @Test func `a plain request is read in one go`() throws {
    let head = try requestHead("GET /a/b?x=1 HTTP/1.1\r\nHost: example.com\r\nAccept:text/event-stream \r\n\r\nrest")
    #expect(head.method == .get)
    #expect(head.target.form == .origin)
    #expect(String(copying: head.path) == "/a/b")
    #expect(head.target.queryString == "x=1")
    #expect(head.fields.string(.accept) == "text/event-stream")
    #expect(head.framing == .none)
    #expect(head.isKeepAlive)
    #expect(!head.expectsContinue)
  }

  @Test func `the authority of an absolute target replaces Host`() throws {
    let head = try requestHead("GET http://right:81/p?q HTTP/1.1\r\nHost: wrong\r\nX: y\r\n\r\n")
    #expect(head.target.form == .absolute)
    #expect(head.target.pathString == "/p")
    #expect(head.target.queryString == "q")
    #expect(head.fields.string(.host) == "right:81")
    #expect(head.fields.count(of: .host) == 1)
    let old = try requestHead("GET http://right/ HTTP/1.0\r\n\r\n")
    #expect(old.fields.string(.host) == "right")
  }

  @Test func `an absolute target without a path means the root, or the server for OPTIONS`() throws {
    #expect(try requestHead("GET http://a HTTP/1.1\r\nHost: a\r\n\r\n").target.pathString == "/")
    let query = try requestHead("GET http://a?x HTTP/1.1\r\nHost: a\r\n\r\n").target
    #expect(query.pathString == "/")
    #expect(query.queryString == "x")
    #expect(try requestHead("OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n").target.pathString == "*")
    #expect(try requestHead("OPTIONS http://a/ HTTP/1.1\r\nHost: a\r\n\r\n").target.pathString == "/")
  }

  @Test func `keep-alive follows the version and the Connection field`() throws {
    func isKeepAlive(_ version: String, _ connection: String?) throws -> Bool {
      let field = connection.map { "Connection: \($0)\r\n" } ?? ""
      return try requestHead("GET / HTTP/\(version)\r\nHost: a\r\n\(field)\r\n").isKeepAlive
    }
    #expect(try isKeepAlive("1.1", nil))
    #expect(try isKeepAlive("1.1", "keep-alive"))
    #expect(try isKeepAlive("1.1", "x, Close") == false)
    #expect(try isKeepAlive("1.1", "close, keep-alive") == false)
    #expect(try isKeepAlive("1.0", nil) == false)
    #expect(try isKeepAlive("1.0", "Keep-Alive"))
    #expect(try isKeepAlive("1.0", "keep-alive, close") == false)
  }

  @Test func `an expectation counts in HTTP/1.1 only`() throws {
    #expect(try requestHead("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n").expectsContinue)
    #expect(try requestHead("POST / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n").expectsContinue == false)
    #expect(try requestHead("POST / HTTP/1.0\r\nExpect: x\r\n\r\n").expectsContinue == false)
  }

  @Test func `pipelined requests come out one by one`() throws {
    let input = wire("GET /1 HTTP/1.1⏎Host: a⏎⏎⏎GET /2 HTTP/1.1⏎Host: a⏎⏎GET /3 HTTP/1.1⏎Host: a⏎⏎")
    var parser = RequestHeadParser()
    var offset = 0
    var paths: [String] = []
    while offset < input.count {
      guard case .complete(let head, let consumed) = try parser.parse(input.span.extracting(droppingFirst: offset))
      else { break }
      paths.append(head.target.pathString)
      offset += consumed
    }
    #expect(paths == ["/1", "/2", "/3"])
    #expect(!parser.hasPartialInput)
  }

  @Test func `a head can be made without a parser`() throws {
    var fields = Fields()
    fields.append(.host, literal: "a")
    let target = try #require(Target("http://b:1/p?q"))
    let head = RequestHead(method: .get, target: target, version: .http2, fields: fields)
    #expect(head.isKeepAlive && head.framing == .none && !head.expectsContinue)
    let isAuthority = if let authority = target.authority { authority.equals("b:1") } else { false }
    #expect(isAuthority)
    let result = written {
      Forwarding.writeRequest(
        head, from: nil, as: ForwardingRules(upstreamAuthority: FieldValue(literal: "u")), into: &$0)
    }
    #expect(result == "GET /p?q HTTP/1.1\r\nHost: a\r\nVia: 2 fermata\r\n\r\n")
  }

  @Test func `partial input is known from silence`() throws {
    var parser = RequestHeadParser()
    #expect(!parser.hasPartialInput)
    let pieces: [(String, Bool)] = [("⏎", false), ("G", true), ("ET / HTTP/1.1⏎Host: a⏎⏎", false)]
    for (text, isPartial) in pieces {
      let piece = wire(text)
      _ = try parser.parse(piece.span)
      #expect(parser.hasPartialInput == isPartial)
    }
  }

  @Test func `a head is read under the limits that it began with`() throws {
    let input = wire("GET /12345678901234567890 HTTP/1.1⏎Host: a⏎⏎")
    let (wide, narrow) = (HeadLimits(), HeadLimits(requestLine: 16, head: 20))
    for cut in 1..<input.count {
      var parser = RequestHeadParser()
      guard case .needMore = try parser.parse(input.span.extracting(first: cut), limits: wide),
        case .complete(let head, _) = try parser.parse(input.span.extracting(droppingFirst: cut), limits: narrow)
      else { throw IncompleteInput() }
      #expect(head.target.pathString == "/12345678901234567890")
      #expect(throws: HTTP1Error.request(.requestLineTooLong)) { try parser.parse(input.span, limits: narrow) }
    }
  }

  @Test func `what a connection keeps of its heads and bodies is small`() {
    // Every open stream has them twice.
    #expect(MemoryLayout<RequestHeadParser>.size <= 16)
    #expect(MemoryLayout<ResponseHeadParser>.size <= 16)
    #expect(MemoryLayout<BodyDecoder>.size <= 72)
  }
}
