import Bytes
import HTTP
import Testing

struct RefusedResponse: Sendable, CustomTestStringConvertible {
  let text: String
  let fault: HTTP1Fault

  init(_ text: String, _ fault: HTTP1Fault) {
    self.text = text
    self.fault = fault
  }

  var testDescription: String { "\(fault.rawValue): \(text.debugDescription)" }

  static let startLines: [RefusedResponse] = [
    .init("⏎", .malformedStatusLine),
    .init("hello⏎", .malformedStatusLine),
    .init("<html><body>no head</body></html>⏎", .malformedStatusLine),
    .init("HTTP/1.1⏎", .malformedStatusLine),
    .init("HTTP/1.1 ⏎", .malformedStatusLine),
    .init("HTTP/1.1 2⏎", .malformedStatusLine),
    .init("HTTP/1.1 20⏎", .malformedStatusLine),
    .init("HTTP/1.1 20 OK⏎", .malformedStatusLine),
    .init("HTTP/1.1 2000 OK⏎", .malformedStatusLine),
    .init("HTTP/1.1 200OK⏎", .malformedStatusLine),
    .init("HTTP/1.1 200\tOK⏎", .malformedStatusLine),
    .init("HTTP/1.1  200 OK⏎", .malformedStatusLine),
    .init("HTTP/1.1\t200 OK⏎", .malformedStatusLine),
    .init("HTTP/1.1 -20 OK⏎", .malformedStatusLine),
    .init("HTTP/1.1 +20 OK⏎", .malformedStatusLine),
    .init("HTTP/1.1 2x0 OK⏎", .malformedStatusLine),
    .init("HTTP/1.1 0x2 OK⏎", .malformedStatusLine),
    .init(" HTTP/1.1 200 OK⏎", .malformedStatusLine),
    .init("HTTP/1.1 000 OK⏎", .invalidStatus),
    .init("HTTP/1.1 099 OK⏎", .invalidStatus),
    .init("HTTP/1.1 600 OK⏎", .invalidStatus),
    .init("HTTP/1.1 999 OK⏎", .invalidStatus),
    .init("http/1.1 200 OK⏎", .malformedVersion),
    .init("HTTP/11. 200 OK⏎", .malformedVersion),
    .init("HTTP/1.10 200 OK⏎", .malformedStatusLine),
    .init("ICY 200 OK⏎", .malformedStatusLine),
    .init("HTTP/0.9 200 OK⏎", .unsupportedVersion),
    .init("HTTP/1.2 200 OK⏎", .unsupportedVersion),
    .init("HTTP/2.0 200 OK⏎", .unsupportedVersion),
    .init("HTTP/1.1 200 O\0K⏎", .controlCharacter),
    .init("HTTP/1.1 200 O\u{1b}K⏎", .controlCharacter),
    .init("HTTP/1.1 200 OK\nX: y⏎⏎", .bareLineFeed),
    .init("HTTP/1.1 200 OK\rX: y⏎⏎", .bareCarriageReturn),
  ]

  static let fields: [RefusedResponse] =
    [
      .init("X: a\nY: b", .bareLineFeed),
      .init("X: a\rY: b", .bareCarriageReturn),
      .init("X: a\0", .controlCharacter),
      .init("X: a⏎ folded", .obsoleteFolding),
      .init("X : a", .whitespaceBeforeColon),
      .init("X", .missingColon),
      .init("X Y: a", .invalidFieldName),
      .init(": a", .invalidFieldName),
      .init("Content-Length: 5⏎Content-Length: 5", .repeatedContentLength),
      .init("Content-Length: 5⏎Content-Length: 6", .repeatedContentLength),
      .init("Content-Length: 5⏎Transfer-Encoding: chunked", .contentLengthWithTransferEncoding),
      .init("Content-Length: -1", .malformedContentLength),
      .init("Content-Length: 5, 5", .malformedContentLength),
      .init("Content-Length: 0x10", .malformedContentLength),
      .init("Content-Length:", .malformedContentLength),
      .init("Content-Length: 18446744073709551618", .contentLengthTooLarge),
      .init("Transfer-Encoding: gzip", .unsupportedTransferCoding),
      .init("Transfer-Encoding: gzip, chunked", .unsupportedTransferCoding),
      .init("Transfer-Encoding: chunked,", .malformedTransferEncoding),
      .init("Transfer-Encoding: chunked, identity", .malformedTransferEncoding),
      .init("Transfer-Encoding: chunked⏎Transfer-Encoding: chunked", .repeatedTransferEncoding),
    ]
}

@Suite struct ResponseHeadTests {
  static let accepted: [String] = [
    "HTTP/1.1 200 OK⏎⏎",
    "HTTP/1.1 200 ⏎⏎",
    "HTTP/1.1 200⏎Content-Length: 3⏎⏎abc",
    "HTTP/1.0 200 OK⏎⏎body",
    "HTTP/1.1 599 Whatever \u{e9}⏎⏎",
    "HTTP/1.1 404 Not\tFound  here⏎⏎",
    "HTTP/1.1 100 Continue⏎⏎HTTP/1.1 200 OK⏎⏎",
    "HTTP/1.1 200 OK⏎Transfer-Encoding: Chunked⏎Content-Type: text/event-stream⏎⏎0⏎⏎",
    "HTTP/1.1 204 No Content⏎Content-Length: 0⏎⏎",
    "HTTP/1.1 200 OK⏎Set-Cookie: a=b⏎Set-Cookie: c=d⏎Connection: close, X-Hop⏎X-Hop: 1⏎⏎",
    "HTTP/1.1 200 OK⏎Connection: content-length⏎Content-Length: 0⏎⏎",
  ]

  @Test(arguments: RefusedResponse.startLines)
  func `a bad status line is refused`(row: RefusedResponse) {
    expectRefusal(row.text, row.fault)
  }

  @Test(arguments: RefusedResponse.fields)
  func `a bad field is refused`(row: RefusedResponse) {
    expectRefusal("HTTP/1.1 200 OK⏎\(row.text)⏎⏎", row.fault)
  }

  @Test func `an HTTP/1.0 response has no transfer coding`() {
    expectRefusal("HTTP/1.0 200 OK⏎Transfer-Encoding: chunked⏎⏎", .transferEncodingInHTTP10)
  }

  @Test(arguments: accepted)
  func `a response comes out the same however it is cut`(text: String) {
    let input = wire(text)
    let whole = parseResponse(input)
    guard case .head(let head) = whole else {
      Issue.record("refused: \(whole)")
      return
    }
    #expect(parseResponse(input, cuts: Array(1..<input.count)) == whole)
    for cut in 0..<input.count { #expect(parseResponse(input, cuts: [cut]) == whole) }
    for length in 0..<head.consumed { #expect(parseResponse(Array(input.prefix(length))) == .needMore) }
  }

  @Test func `status, reason and fields are read`() throws {
    let head = try responseHead("HTTP/1.1 503 Back soon\r\nRetry-After: 5\r\n\r\n")
    #expect(head.status == 503)
    #expect(String(copying: head.reason) == "Back soon")
    #expect(head.fields.string(.retryAfter) == "5")
    let bare = try responseHead("HTTP/1.1 200\r\n\r\n")
    #expect(String(copying: bare.reason) == "")
  }

  @Test func `a head can be made without a parser`() {
    let head = ResponseHead(status: 429, fields: Fields(), framing: .length(0))
    #expect(String(copying: head.reason) == "Too Many Requests")
    #expect(head.isKeepAlive && !head.isInformational && !head.isEventStream)
  }

  @Test func `partial input is known, and refusing goes on`() throws {
    var parser = ResponseHeadParser()
    let (begun, bad) = (wire("HTTP/1.1 2"), wire("x⏎"))
    _ = try parser.parse(begun.span)
    #expect(parser.hasPartialInput)
    for _ in 0..<2 {
      #expect(throws: HTTP1Error.response(.malformedStatusLine)) { try parser.parse(bad.span) }
    }
  }

  @Test func `framing follows the method, the status and the fields`() throws {
    func framing(_ text: String, to method: Method = .get) throws -> BodyFraming {
      BodyFraming.ofResponse(try responseHead(text), to: method)
    }
    #expect(try framing("HTTP/1.1 200 OK\r\n\r\n") == .untilClose)
    #expect(try framing("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") == .length(0))
    #expect(try framing("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n") == .chunked)
    #expect(try framing("HTTP/1.0 200 OK\r\nContent-Length: 7\r\n\r\n") == .length(7))
    #expect(try framing("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", to: .head) == .none)
    #expect(try framing("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", to: .head) == .none)
    for status in [100, 101, 103, 204, 304] {
      #expect(try framing("HTTP/1.1 \(status) X\r\nContent-Length: 7\r\n\r\n") == .none)
    }
    #expect(BodyFraming(BodyFraming.chunked.plan, for: .http10) == .untilClose)
    #expect(BodyFraming(BodyFraming.untilClose.plan, for: .http11) == .chunked)
    #expect(BodyFraming(BodyFraming.length(3).plan, for: .http10) == .length(3))
    #expect(BodyFraming(BodyFraming.none.plan, for: .http11) == .none)
  }

  @Test func `keep-alive follows the version and the Connection field`() throws {
    #expect(try responseHead("HTTP/1.1 200 OK\r\n\r\n").isKeepAlive)
    #expect(try responseHead("HTTP/1.1 200 OK\r\nConnection: x, CLOSE\r\n\r\n").isKeepAlive == false)
    #expect(try responseHead("HTTP/1.0 200 OK\r\n\r\n").isKeepAlive == false)
    #expect(try responseHead("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n").isKeepAlive)
  }

  @Test func `an event stream is known by its media type alone`() throws {
    func isEventStream(_ type: String) throws -> Bool {
      try responseHead("HTTP/1.1 200 OK\r\nContent-Type: \(type)\r\n\r\n").isEventStream
    }
    #expect(try isEventStream("text/event-stream"))
    #expect(try isEventStream("Text/Event-Stream ; charset=utf-8"))
    #expect(try isEventStream("text/event-stream;charset=utf-8"))
    #expect(try isEventStream("text/event-streams") == false)
    #expect(try isEventStream("application/json") == false)
    #expect(try responseHead("HTTP/1.1 200 OK\r\n\r\n").isEventStream == false)
  }

  @Test func `informational heads are passed over up to a limit`() throws {
    let early = try responseHead("HTTP/1.1 103 Early Hints\r\n\r\n")
    let final = try responseHead("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
    var sequence = ResponseSequence(method: .get)
    for _ in 0..<8 { #expect(try sequence.receive(early) == nil) }
    #expect(try sequence.receive(final) == .length(2))
    #expect(throws: HTTP1Error.response(.tooManyInformationalResponses)) { try sequence.receive(early) }
  }

  @Test func `protocols are not switched`() throws {
    let switching = try responseHead("HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n")
    var sequence = ResponseSequence(method: .get)
    #expect(throws: HTTP1Error.response(.unrequestedUpgrade)) { try sequence.receive(switching) }
  }

  private func expectRefusal(_ text: String, _ fault: HTTP1Fault) {
    let input = wire(text)
    let expected = Parsed<ParsedResponse>.fault(.response(fault))
    #expect(parseResponse(input) == expected)
    #expect(parseResponse(input, cuts: Array(1..<input.count)) == expected)
    for cut in 1..<input.count { #expect(parseResponse(input, cuts: [cut]) == expected, "cut at \(cut)") }
  }
}
