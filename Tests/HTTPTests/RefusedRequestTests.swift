import HTTP
import Testing

/// Every row is one way in which two readers could see different requests, or one could be fooled.
struct RefusedRequest: Sendable, CustomTestStringConvertible {
  let text: String
  let fault: HTTP1Fault

  init(_ text: String, _ fault: HTTP1Fault) {
    self.text = text
    self.fault = fault
  }

  var testDescription: String { "\(fault.rawValue): \(text.debugDescription)" }

  static let startLines: [RefusedRequest] = [
    .init("GET /⏎", .malformedRequestLine),
    .init("GET⏎", .malformedRequestLine),
    .init("GET / ⏎", .malformedVersion),
    .init(" GET / HTTP/1.1⏎", .malformedRequestLine),
    .init("GET  / HTTP/1.1⏎", .malformedRequestLine),
    .init("GET /  HTTP/1.1⏎", .malformedRequestLine),
    .init("GET / HTTP/1.1 ⏎", .malformedRequestLine),
    .init("GET /a b HTTP/1.1⏎", .malformedRequestLine),
    .init("GET\t/ HTTP/1.1⏎", .malformedRequestLine),
    .init("GET /\tHTTP/1.1⏎", .malformedRequestLine),
    .init("GET / HTTP/1.1\t⏎", .malformedVersion),
    .init("G(T / HTTP/1.1⏎", .invalidMethod),
    .init("G\u{e9}T / HTTP/1.1⏎", .invalidMethod),
    .init("\"GET\" / HTTP/1.1⏎", .invalidMethod),
    .init("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1⏎", .methodTooLong),
    .init("CONNECT example.com:443 HTTP/1.1⏎", .connectUnsupported),
    .init("CONNECT / HTTP/1.1⏎", .connectUnsupported),
    .init("GET a HTTP/1.1⏎", .invalidTarget),
    .init("GET example.com:80 HTTP/1.1⏎", .invalidTarget),
    .init("GET * HTTP/1.1⏎", .invalidTarget),
    .init("GET /a#b HTTP/1.1⏎", .invalidTarget),
    .init("GET # HTTP/1.1⏎", .invalidTarget),
    .init("GET /caf\u{e9} HTTP/1.1⏎", .invalidTarget),
    .init("GET ?x HTTP/1.1⏎", .invalidTarget),
    .init("GET ftp://a/ HTTP/1.1⏎", .invalidTarget),
    .init("GET http:/a/ HTTP/1.1⏎", .invalidTarget),
    .init("GET http:// HTTP/1.1⏎", .invalidTarget),
    .init("GET http:///x HTTP/1.1⏎", .invalidTarget),
    .init("GET http://u@a/ HTTP/1.1⏎", .invalidTarget),
    .init("GET http://u:p@a/ HTTP/1.1⏎", .invalidTarget),
    .init("GET http://a:b/ HTTP/1.1⏎", .invalidTarget),
    .init("GET http://a:99999/ HTTP/1.1⏎", .invalidTarget),
    .init("GET http://[::1/ HTTP/1.1⏎", .invalidTarget),
    .init("GET javascript:alert(1) HTTP/1.1⏎", .invalidTarget),
    .init("GET / http/1.1⏎", .malformedVersion),
    .init("GET / Http/1.1⏎", .malformedVersion),
    .init("GET / HTTP/1.10⏎", .malformedVersion),
    .init("GET / HTTP/1.32⏎", .malformedVersion),
    .init("GET / HTTP/11⏎", .malformedVersion),
    .init("GET / HTTP/1⏎", .malformedVersion),
    .init("GET / HTTP/1.⏎", .malformedVersion),
    .init("GET / HTTP/.1⏎", .malformedVersion),
    .init("GET / HTTP/1,1⏎", .malformedVersion),
    .init("GET / HTTP/+1.1⏎", .malformedVersion),
    .init("GET / HTTP/01.1⏎", .malformedVersion),
    .init("GET / HTTP/a.b⏎", .malformedVersion),
    .init("GET / HTTPS/1.1⏎", .malformedVersion),
    .init("GET / ICY/1.1⏎", .malformedVersion),
    .init("GET / HTTP/0.9⏎", .unsupportedVersion),
    .init("GET / HTTP/1.2⏎", .unsupportedVersion),
    .init("GET / HTTP/1.9⏎", .unsupportedVersion),
    .init("GET / HTTP/2.0⏎", .unsupportedVersion),
    .init("GET / HTTP/9.9⏎", .unsupportedVersion),
    .init("PRI * HTTP/2.0⏎⏎SM⏎⏎", .unsupportedVersion),
    .init("\rGET / HTTP/1.1⏎", .bareCarriageReturn),
    .init("\nGET / HTTP/1.1⏎", .bareLineFeed),
    .init("⏎⏎GET / HTTP/1.1⏎", .malformedRequestLine),
    .init("GET / HTTP/1.1\nHost: a⏎⏎", .bareLineFeed),
    .init("GET / HTTP/1.1\rHost: a⏎⏎", .bareCarriageReturn),
    .init("GET / HTTP/1.1\r\rHost: a⏎⏎", .bareCarriageReturn),
    .init("GET /\0 HTTP/1.1⏎", .controlCharacter),
    .init("GET /\u{7f} HTTP/1.1⏎", .controlCharacter),
    .init("GE\u{1b}T / HTTP/1.1⏎", .controlCharacter),
    .init("\u{16}\u{3}\u{1}", .controlCharacter),
  ]

  static let lines: [RefusedRequest] = [
    .init("Host: a⏎X: a\n⏎", .bareLineFeed),
    .init("Host: a⏎X: a\nY: b⏎⏎", .bareLineFeed),
    .init("Host: a⏎X: a\rY: b⏎⏎", .bareCarriageReturn),
    .init("Host: a⏎\rX: a⏎⏎", .bareCarriageReturn),
    .init("Host: a⏎X: a⏎\n", .bareLineFeed),
    .init("Host: a⏎X: a⏎\r\r\n", .bareCarriageReturn),
    .init("Host: a⏎X: a\0b⏎⏎", .controlCharacter),
    .init("Host: a⏎X: \u{1}⏎⏎", .controlCharacter),
    .init("Host: a⏎X: a\u{8}b⏎⏎", .controlCharacter),
    .init("Host: a⏎X: a\u{b}b⏎⏎", .controlCharacter),
    .init("Host: a⏎X: a\u{c}b⏎⏎", .controlCharacter),
    .init("Host: a⏎X: a\u{1f}b⏎⏎", .controlCharacter),
    .init("Host: a⏎X: a\u{7f}b⏎⏎", .controlCharacter),
    .init("Host: a⏎X\0Y: b⏎⏎", .controlCharacter),
    .init("Host: a⏎X: a⏎ b⏎⏎", .obsoleteFolding),
    .init("Host: a⏎X: a⏎\tb⏎⏎", .obsoleteFolding),
    .init("Host: a⏎X: a⏎ ⏎⏎", .obsoleteFolding),
    .init(" Host: a⏎⏎", .obsoleteFolding),
    .init("\tHost: a⏎⏎", .obsoleteFolding),
    .init("Host : a⏎⏎", .whitespaceBeforeColon),
    .init("Host\t: a⏎⏎", .whitespaceBeforeColon),
    .init("Host: a⏎Content-Length : 5⏎⏎", .whitespaceBeforeColon),
    .init("Host: a⏎Transfer-Encoding : chunked⏎⏎", .whitespaceBeforeColon),
    .init("Host: a⏎X⏎⏎", .missingColon),
    .init("Host: a⏎Xyz abc⏎⏎", .invalidFieldName),
    .init("Host: a⏎: b⏎⏎", .invalidFieldName),
    .init("Host: a⏎X Y: b⏎⏎", .invalidFieldName),
    .init("Host: a⏎X(Y: b⏎⏎", .invalidFieldName),
    .init("Host: a⏎X/Y: b⏎⏎", .invalidFieldName),
    .init("Host: a⏎X@Y: b⏎⏎", .invalidFieldName),
    .init("Host: a⏎X[0]: b⏎⏎", .invalidFieldName),
    .init("Host: a⏎\"X\": b⏎⏎", .invalidFieldName),
    .init("Host: a⏎X\u{e9}: b⏎⏎", .invalidFieldName),
    .init("Host: a⏎{X}: b⏎⏎", .invalidFieldName),
  ]

  static let hosts: [RefusedRequest] =
    [
      .init("X: a⏎⏎", .missingHost),
      .init("⏎", .missingHost),
      .init("Host: a⏎Host: b⏎⏎", .repeatedHost),
      .init("Host: a⏎host: a⏎⏎", .repeatedHost),
      .init("Host: a⏎X: y⏎HOST: a⏎⏎", .repeatedHost),
    ]
    + [
      "", "a b", "a, b", "a/b", "a/", "/", "http://a", "u@a", "u:p@a", "@a", "a@", "a:b", "a:-1", "a:+80", "a:80:80",
      "a:65536", "a:999999", "a: 80", ":80", ":", "a?b", "a#b", "a\\b", "\"a\"", "<a>", "{a}", "a|b", "a^b", "a`b",
      "a%", "a%2", "a%zz", "\u{e9}.com", "[::1", "::1", "[::1]]", "[]", "[::1]a", "[::1]:x", "[1::2::3]", "[::g]",
      "[12345::]", "[1:2:3:4:5:6:7]", "[1:2:3:4:5:6:7:8:9]", "[::1%25eth0]", "[::256.0.0.1]", "[::1.2.3]",
      "[v1.a]", "a\tb", "a;b c",
    ].map { RefusedRequest("Host: \($0)⏎⏎", .invalidHost) }

  static let framing: [RefusedRequest] =
    [
      .init("Content-Length: 5⏎Transfer-Encoding: chunked", .contentLengthWithTransferEncoding),
      .init("Transfer-Encoding: chunked⏎Content-Length: 5", .contentLengthWithTransferEncoding),
      .init("Transfer-Encoding: chunked⏎Content-Length: 0", .contentLengthWithTransferEncoding),
      .init("transfer-encoding: CHUNKED⏎content-length: 5", .contentLengthWithTransferEncoding),
      .init("Transfer-Encoding: gzip⏎Content-Length: 5", .contentLengthWithTransferEncoding),
      .init("Content-Length: 5⏎Content-Length: 5", .repeatedContentLength),
      .init("Content-Length: 5⏎Content-Length: 6", .repeatedContentLength),
      .init("Content-Length: 0⏎content-length: 5", .repeatedContentLength),
      .init("Transfer-Encoding: chunked⏎Transfer-Encoding: chunked", .repeatedTransferEncoding),
      .init("Transfer-Encoding: gzip⏎Transfer-Encoding: chunked", .repeatedTransferEncoding),
      .init("Transfer-Encoding:⏎Transfer-Encoding: chunked", .repeatedTransferEncoding),
    ]
    + [
      "", "-1", "+5", "5, 5", "5,5", "5 5", "0x5", "5a", "a", "5.0", "1e3", "5;", "\"5\"", "½", "5_0", "-", "+", "0 5",
    ].map { RefusedRequest("Content-Length: \($0)", .malformedContentLength) }
    + [
      "9223372036854775808", "18446744073709551616", "18446744073709551618", "99999999999999999999999999",
    ].map { RefusedRequest("Content-Length: \($0)", .contentLengthTooLarge) }
    + ["gzip, chunked", "gzip", "identity", "xchunked", "chunkedx", "x-chunked", "deflate,gzip,chunked"]
    .map { RefusedRequest("Transfer-Encoding: \($0)", .unsupportedTransferCoding) }
    + [
      "", "chunked,", ",chunked", "chunked, chunked", "chunked, gzip", "chunked;q=1", "chunked; a=b", "\"chunked\"",
      "chunked chunked", "chunk ed", ",", "gzip,", "gzip, identity", "chunked\u{a0}", "[chunked]",
    ].map { RefusedRequest("Transfer-Encoding: \($0)", .malformedTransferEncoding) }

  static let meaning: [RefusedRequest] =
    [
      .init("Expect: 100-continued", .unknownExpectation),
      .init("Expect: x", .unknownExpectation),
      .init("Expect: 100-continue, x", .unknownExpectation),
      .init("Expect: 100-continue⏎Expect: 100-continue", .unknownExpectation),
      .init("Connection: close, host", .protectedFieldNominated),
      .init("Connection: Content-Length⏎Content-Length: 5", .protectedFieldNominated),
      .init("Connection: keep-alive⏎Connection: Authorization", .protectedFieldNominated),
      .init("Connection: x-forwarded-for", .protectedFieldNominated),
      .init("Connection: Cookie", .protectedFieldNominated),
      .init("Connection: \(String(repeating: "a,", count: 33))", .tooManyConnectionOptions),
    ]

  static let http10: [RefusedRequest] = [
    .init("Transfer-Encoding: chunked⏎⏎", .transferEncodingInHTTP10),
    .init("Transfer-Encoding: identity⏎⏎", .transferEncodingInHTTP10),
    .init("Host: a⏎Host: a⏎⏎", .repeatedHost),
    .init("Host: a b⏎⏎", .invalidHost),
    .init("Content-Length: +1⏎⏎", .malformedContentLength),
  ]
}

@Suite struct RefusedRequestTests {
  @Test(arguments: RefusedRequest.startLines)
  func `a bad start line is refused as soon as it is whole`(row: RefusedRequest) {
    expectRefusal(row.text, row.fault)
  }

  @Test(arguments: RefusedRequest.lines + RefusedRequest.hosts)
  func `a bad line or host is refused`(row: RefusedRequest) {
    expectRefusal("GET / HTTP/1.1⏎" + row.text, row.fault)
  }

  @Test(arguments: RefusedRequest.framing + RefusedRequest.meaning)
  func `a bad field is refused`(row: RefusedRequest) {
    expectRefusal("POST / HTTP/1.1⏎Host: a⏎\(row.text)⏎⏎", row.fault)
  }

  @Test(arguments: RefusedRequest.http10)
  func `an HTTP/1.0 request is held to the same rules`(row: RefusedRequest) {
    expectRefusal("POST / HTTP/1.0⏎" + row.text, row.fault)
  }

  @Test func `a host is checked even when the target overrides it`() {
    expectRefusal("GET http://a/ HTTP/1.1⏎Host: b c⏎⏎", .invalidHost)
    expectRefusal("GET http://a/ HTTP/1.1⏎⏎", .missingHost)
  }

  @Test func `statuses tell the client what is wrong`() {
    let expected: [(HTTP1Fault, Int)] = [
      (.malformedRequestLine, 400), (.requestLineTooLong, 414), (.headTooLarge, 431), (.tooManyFields, 431),
      (.unsupportedTransferCoding, 501), (.connectUnsupported, 501), (.unsupportedVersion, 505),
      (.unknownExpectation, 417), (.contentLengthTooLarge, 413), (.chunkTooLarge, 413), (.missingHost, 400),
      (.contentLengthWithTransferEncoding, 400), (.malformedTransferEncoding, 400), (.malformedVersion, 400),
    ]
    for (fault, status) in expected {
      #expect(HTTP1Error.request(fault).status == status)
      #expect(HTTP1Error.response(fault).status == 502)
    }
  }

  @Test func `every fault has a code in snake case and a sentence`() {
    for fault in HTTP1Fault.allCases {
      #expect(fault.rawValue.allSatisfy { $0.isLowercase || $0.isNumber || $0 == "_" })
      #expect(fault.description != fault.rawValue)
      #expect(HTTP1Error.request(fault).code == fault.rawValue)
    }
  }

  @Test func `a parser that has refused goes on refusing`() {
    var parser = RequestHeadParser()
    let bad = wire("GET /\n")
    let good = wire("GET / HTTP/1.1⏎Host: a⏎⏎")
    #expect(throws: HTTP1Error.request(.bareLineFeed)) { try parser.parse(bad.span) }
    #expect(throws: HTTP1Error.request(.bareLineFeed)) { try parser.parse(good.span) }
  }
}

/// Expects the same fault in one piece, byte by byte, and in two pieces cut anywhere.
func expectRefusal(_ text: String, _ fault: HTTP1Fault, sourceLocation: SourceLocation = #_sourceLocation) {
  let input = wire(text)
  let expected = Parsed<ParsedRequest>.fault(.request(fault))
  #expect(parseRequest(input) == expected, sourceLocation: sourceLocation)
  #expect(parseRequest(input, cuts: Array(1..<input.count)) == expected, sourceLocation: sourceLocation)
  for cut in 1..<input.count {
    let result = parseRequest(input, cuts: [cut])
    if result != expected {
      Issue.record("cut at \(cut): \(result)", sourceLocation: sourceLocation)
      return
    }
  }
}
