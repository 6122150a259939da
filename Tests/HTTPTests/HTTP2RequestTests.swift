import HTTP
import Testing

struct HTTP2RequestTests {
  private typealias Field = (String, String)

  private static let get: [Field] = [
    (":method", "GET"), (":scheme", "https"), (":authority", "shop"), (":path", "/a?b=c"),
  ]

  private func head(
    _ fields: [Field], isWhole: Bool = true, limits: HeadLimits = HeadLimits()
  ) throws(HTTP2Fault) -> RequestHead {
    var builder = HTTP2RequestBuilder(limits: limits)
    for (name, value) in fields {
      let (name, value) = (Array(name.utf8), Array(value.utf8))
      builder.add(name.span, value.span)
    }
    return try builder.finish(isWhole: isWhole)
  }

  private func fault(_ fields: [Field], isWhole: Bool = true, limits: HeadLimits = HeadLimits()) -> HTTP2Fault? {
    do throws(HTTP2Fault) {
      _ = try head(fields, isWhole: isWhole, limits: limits)
      return nil
    } catch { return error }
  }

  private func replacing(_ name: String, _ value: String?) -> [Field] {
    Self.get.compactMap { $0.0 == name ? value.map { (name, $0) } : $0 }
  }

  // MARK: - Pseudo-fields

  @Test func `a request becomes what it would be over HTTP 1`() throws {
    let head = try head(Self.get + [("accept", "text/event-stream"), ("x-a", "1")])
    #expect(head.method == .get)
    #expect(head.target.pathString == "/a")
    #expect(head.target.queryString == "b=c")
    #expect(head.target.form == .origin)
    #expect(head.version == .http2)
    #expect(head.fields.lines == ["Host: shop", "accept: text/event-stream", "x-a: 1"])
    #expect(head.framing == .none)
    #expect(head.isKeepAlive)
    #expect(!head.expectsContinue)
    #expect(head.fields.string(.accept) == "text/event-stream")
  }

  @Test func `what it becomes is read back as the same`() throws {
    let head = try head(Self.get + [("cookie", "a=1"), ("cookie", "b=2"), ("accept", "*/*")])
    let rules = ForwardingRules(upstreamAuthority: FieldValue(literal: "backend"))
    let text = written { Forwarding.writeRequest(head, from: nil, as: rules, into: &$0) }
    let again = try requestHead(text)
    #expect(again.target.pathString == "/a")
    #expect(again.fields.string(.host) == "shop")
    #expect(again.fields.string(.cookie) == "a=1; b=2")
    #expect(again.fields.string(.via) == "2 fermata")
  }

  @Test(arguments: [":method", ":scheme", ":path"]) func `none of three pseudo-fields may be missing`(_ name: String) {
    #expect(fault(replacing(name, nil)) == .missingPseudoField)
  }

  @Test(arguments: [":method", ":scheme", ":path", ":authority"])
  func `no pseudo-field may be given twice`(_ name: String) {
    #expect(fault(Self.get + Self.get.filter { $0.0 == name }) == .repeatedPseudoField)
  }

  @Test(arguments: [":status", ":protocol", ":Method", ":", ":path "])
  func `other pseudo-fields are refused`(_ name: String) {
    #expect(fault(Self.get + [(name, "a")]) == .unknownPseudoField)
  }

  @Test func `pseudo-fields come first`() {
    #expect(fault(Array(Self.get.prefix(3)) + [("x-a", "1")] + Self.get.suffix(1)) == .pseudoFieldAfterField)
    #expect(fault(Array(Self.get.prefix(3)) + [("cookie", "")] + Self.get.suffix(1)) == .pseudoFieldAfterField)
    #expect(fault(Array(Self.get.prefix(3)) + [("host", "shop")] + Self.get.suffix(1)) == .pseudoFieldAfterField)
  }

  @Test(
    arguments: [
      ("", .emptyPath), ("a", .message(.invalidTarget)), ("https://shop/", .message(.invalidTarget)),
      ("*", .message(.invalidTarget)), ("/a b", .message(.invalidTarget)), ("/a#b", .message(.invalidTarget)),
      ("/\u{e9}", .message(.invalidTarget)), ("/a\r\nb", .message(.invalidTarget)),
      ("/a\u{0}", .message(.invalidTarget)),
      ("?a", .message(.invalidTarget)), ("//shop", nil), ("/%2e%2e/", nil), ("/?", nil), ("/a:b@c", nil),
    ] as [(String, HTTP2Fault?)])
  func `a path is one that HTTP 1 has`(_ path: String, _ expected: HTTP2Fault?) {
    #expect(fault(replacing(":path", path)) == expected)
  }

  @Test func `the asterisk is for OPTIONS`() throws {
    let fields: [Field] = [(":method", "OPTIONS"), (":scheme", "https"), (":authority", "shop"), (":path", "*")]
    #expect(try head(fields).target.form == .asterisk)
  }

  @Test(arguments: ["http", "https", "HTTPS"]) func `schemes of the web are taken`(_ scheme: String) {
    #expect(fault(replacing(":scheme", scheme)) == nil)
  }

  @Test(arguments: ["", "ftp", "ws", "https ", "http://x/?"]) func `other schemes are refused`(_ scheme: String) {
    #expect(fault(replacing(":scheme", scheme)) == .unknownScheme)
  }

  @Test(arguments: ["G T", "GET:", "", "GET\r\n", "G\u{e9}T"]) func `a method is a token`(_ method: String) {
    #expect(fault(replacing(":method", method)) == .message(.invalidMethod))
  }

  @Test func `CONNECT is not offered, however it is written`() {
    #expect(fault(replacing(":method", "CONNECT")) == .message(.connectUnsupported))
    #expect(fault([(":method", "CONNECT"), (":authority", "shop:443")]) == .message(.connectUnsupported))
    #expect(fault([(":method", "CONNECT"), (":authority", "shop:443")])?.status == 501)
  }

  // MARK: - Host

  @Test func `Host stands in for the authority`() throws {
    let head = try head(replacing(":authority", nil) + [("host", "shop:8443")])
    #expect(head.fields.lines == ["Host: shop:8443"])
  }

  @Test func `Host may repeat the authority, once or more`() throws {
    #expect(try head(Self.get + [("host", "SHOP"), ("host", "shop")]).fields.lines == ["Host: shop"])
  }

  @Test(arguments: ["other", "shop:443", "shop.", "", "shop,shop"]) func `Host must not differ`(_ host: String) {
    #expect(fault(Self.get + [("host", host)]) == .authorityDiffersFromHost)
  }

  @Test func `without a host there is no request`() {
    #expect(fault(replacing(":authority", nil)) == .message(.missingHost))
    #expect(
      fault(replacing(":authority", nil) + [("host", "shop"), ("host", "shop")]) == .message(.repeatedHost))
  }

  @Test(arguments: ["", "a/b", "user@shop", "shop:99999", "a b", "[::1", "shop\r\n"])
  func `an authority is a host and a port`(_ authority: String) {
    #expect(fault(replacing(":authority", authority)) == .message(.invalidHost))
  }

  @Test func `a Host that is none is refused`() {
    #expect(fault(replacing(":authority", nil) + [("host", "user@shop")]) == .message(.invalidHost))
  }

  // MARK: - Fields

  @Test(arguments: ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"])
  func `fields of an HTTP 1 connection are refused`(_ name: String) {
    #expect(fault(Self.get + [(name, "a")]) == .connectionSpecificField)
  }

  @Test func `TE may say that trailers are understood`() {
    #expect(fault(Self.get + [("te", "trailers")]) == nil)
    #expect(fault(Self.get + [("te", "gzip")]) == .unknownTransferCoding)
    #expect(fault(Self.get + [("te", "trailers, deflate")]) == .unknownTransferCoding)
  }

  @Test(
    arguments: [
      ("X-A", .upperCaseName), ("hosT", .upperCaseName), ("", .message(.invalidFieldName)),
      ("x a", .message(.invalidFieldName)), ("x:a", .message(.invalidFieldName)),
      ("x\r\na", .message(.invalidFieldName)),
      ("x\u{e9}", .message(.invalidFieldName)), (String(repeating: "a", count: 1025), .message(.fieldNameTooLong)),
    ] as [(String, HTTP2Fault)])
  func `a name is a token in lower case`(_ name: String, _ expected: HTTP2Fault) {
    #expect(fault(Self.get + [(name, "1")]) == expected)
  }

  @Test(
    arguments: [
      ("a\r\nb", .message(.controlCharacter)), ("a\nb", .message(.controlCharacter)),
      ("\u{0}", .message(.controlCharacter)),
      ("\u{7f}", .message(.controlCharacter)), (" a", .spaceAroundValue), ("a ", .spaceAroundValue),
      ("\ta", .spaceAroundValue),
      ("a\tb", nil), ("", nil), ("\u{e9}", nil),
    ] as [(String, HTTP2Fault?)])
  func `a value is one line, without spaces around it`(_ value: String, _ expected: HTTP2Fault?) {
    #expect(fault(Self.get + [("x-a", value)]) == expected)
  }

  @Test func `cookies are put together`() throws {
    let head = try head(Self.get + [("cookie", "a=1"), ("x-a", "1"), ("cookie", ""), ("cookie", "b=2; c=3")])
    #expect(head.fields.string(.cookie) == "a=1; b=2; c=3")
    #expect(head.fields.count(of: .cookie) == 1)
  }

  @Test func `only one expectation is known`() throws {
    #expect(try head(Self.get + [("expect", "100-Continue")], isWhole: false).expectsContinue)
    #expect(fault(Self.get + [("expect", "a-miracle")]) == .message(.unknownExpectation))
    let twice = [("expect", "100-continue"), ("expect", "100-continue")]
    #expect(fault(Self.get + twice) == .message(.unknownExpectation))
  }

  // MARK: - The body

  @Test func `the length decides how the body is framed`() throws {
    #expect(try head(Self.get + [("content-length", "5")], isWhole: false).framing == .length(5))
    #expect(try head(Self.get + [("content-length", "0")], isWhole: true).framing == .length(0))
    #expect(try head(Self.get, isWhole: false).framing == .chunked)
    #expect(fault(Self.get + [("content-length", "5")]) == .lengthMismatch)
  }

  @Test(
    arguments: [
      ("", .malformedContentLength), ("+5", .malformedContentLength), ("5, 5", .malformedContentLength),
      ("0x5", .malformedContentLength), ("99999999999999999999", .contentLengthTooLarge),
    ] as [(String, HTTP1Fault)])
  func `a length is a number`(_ value: String, _ expected: HTTP1Fault) {
    #expect(fault(Self.get + [("content-length", value)], isWhole: false) == .message(expected))
  }

  @Test func `a length is given once`() {
    let twice = [("content-length", "5"), ("content-length", "5")]
    #expect(fault(Self.get + twice, isWhole: false) == .message(.repeatedContentLength))
  }

  @Test func `a body is as long as declared`() throws {
    var length = DeclaredLength(.length(5))
    try length.came(3)
    #expect(throws: HTTP2Fault.lengthMismatch) { try length.ended() }
    #expect(throws: HTTP2Fault.lengthMismatch) { try length.came(3) }
    try length.came(2)
    try length.ended()
    #expect(length.rest == 0)
  }

  @Test func `a body without a declared length is as long as it is`() throws {
    var length = DeclaredLength(.chunked)
    try length.came(1 << 40)
    try length.ended()
    #expect(throws: HTTP2Fault.lengthMismatch) {
      var none = DeclaredLength(.none)
      try none.came(1)
    }
  }

  // MARK: - Limits

  @Test func `a section may be as large as the limit`() {
    // 4 fields of 32 bytes each, and their names and values.
    let size = Self.get.reduce(0) { $0 + $1.0.utf8.count + $1.1.utf8.count + 32 }
    #expect(fault(Self.get, limits: HeadLimits(head: size)) == nil)
    #expect(fault(Self.get, limits: HeadLimits(head: size - 1)) == .message(.headTooLarge))
  }

  @Test func `a section that expands without end is passed over`() throws {
    var builder = HTTP2RequestBuilder()
    let (name, value) = (Array("x-a".utf8), [UInt8](repeating: 0x61, count: 4000))
    for _ in 0..<100_000 { builder.add(name.span, value.span) }
    do throws(HTTP2Fault) {
      _ = try builder.finish(isWhole: true)
      Issue.record("it was taken")
    } catch { #expect(error == .message(.headTooLarge)) }
  }

  @Test func `so many fields are allowed, cookies counted as one`() {
    let limits = HeadLimits(fields: 3)
    let three: [Field] = [("x-a", "1"), ("x-b", "2"), ("cookie", "a"), ("cookie", "b"), ("cookie", "c")]
    #expect(fault(Self.get + three, limits: limits) == nil)
    #expect(fault(Self.get + three + [("x-c", "3")], limits: limits) == .message(.tooManyFields))
    #expect(HTTP2Fault.message(.tooManyFields).status == 431)
  }

  @Test func `a path may be as long as a request line`() {
    let limits = HeadLimits(requestLine: 10)
    #expect(fault(replacing(":path", "/123456789"), limits: limits) == nil)
    #expect(fault(replacing(":path", "/1234567890"), limits: limits) == .message(.requestLineTooLong))
  }

  // MARK: - Trailers

  private func trailerFault(_ fields: [Field], limits: HeadLimits = HeadLimits()) -> HTTP2Fault? {
    var check = HTTP2TrailerCheck(limits: limits)
    for (name, value) in fields {
      let (name, value) = (Array(name.utf8), Array(value.utf8))
      check.add(name.span, value.span)
    }
    return check.fault
  }

  @Test func `trailers are fields`() {
    #expect(trailerFault([("x-checksum", "1"), ("grpc-status", "0")]) == nil)
    #expect(trailerFault([(":path", "/")]) == .pseudoFieldInTrailers)
    #expect(trailerFault([("transfer-encoding", "chunked")]) == .connectionSpecificField)
    #expect(trailerFault([("X-A", "1")]) == .upperCaseName)
    #expect(trailerFault([("x-a", "1\r\n")]) == .message(.controlCharacter))
  }

  @Test func `trailers are bounded`() {
    #expect(trailerFault([("x-a", "1")], limits: HeadLimits(trailers: 35)) == .message(.trailersTooLarge))
    #expect(trailerFault([("x-a", "1")], limits: HeadLimits(trailers: 36)) == nil)
    #expect(trailerFault([("x-a", "1"), ("x-b", "1")], limits: HeadLimits(fields: 1)) == .message(.tooManyFields))
  }

  @Test func `every fault has a code and a sentence`() {
    let faults: [HTTP2Fault] = [
      .pseudoFieldAfterField, .repeatedPseudoField, .unknownPseudoField, .missingPseudoField, .emptyPath,
      .unknownScheme,
      .authorityDiffersFromHost, .upperCaseName, .spaceAroundValue, .connectionSpecificField, .unknownTransferCoding,
      .lengthMismatch, .pseudoFieldInTrailers, .message(.invalidHost),
    ]
    #expect(Set(faults.map(\.code)).count == faults.count)
    #expect(Set(faults.map(\.description)).count == faults.count)
    #expect(faults.allSatisfy { $0.status == 400 })
  }
}
