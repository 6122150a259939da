import HTTP2
import HTTP2Frames

private typealias F = Frames

private func request(_ fields: [(String, String)]) -> [UInt8] { F.headers(1, fields) }

private let long = F.longHeaders(1, HPACK.get(path: "/" + String(repeating: "a", count: 16_384)))

/// A GET with one pseudo-field as it should not be.
private func changed(_ name: String, _ value: String) -> [UInt8] {
  F.headers(1, HPACK.get().map { $0.0 == name ? (name, value) : $0 })
}

private func getWithout(_ name: String) -> [UInt8] { F.headers(1, HPACK.get().filter { $0.0 != name }) }

private func malformed(_ name: String, _ input: [UInt8]...) -> Conformance {
  .init(name, input, .streamError(1, .protocolError))
}

private func refused(_ name: String, _ status: Int, _ input: [UInt8]...) -> Conformance {
  .init(name, input, .answer(1, status))
}

extension ConformanceCases {
  /// RFC 9113, 8: messages.
  static let messages: [Conformance] = [
    .init("GET", [F.get(1)], .answer(1, 200)),
    .init("HEAD", [changed(":method", "HEAD")], .answer(1, 200)),
    .init("POST with a body", [F.post(1), F.data(1, "test", ends: true)], .answer(1, 200)),
    .init("POST without a body", [F.post(1), F.data(1, "", ends: true)], .answer(1, 200)),
    .init("POST with trailers", [F.post(1), F.data(1, "test"), F.headers(1, [("x-checksum", "1")])], .answer(1, 200)),
    .init("POST with trailers and no body", [F.post(1), F.headers(1, [("x-checksum", "1")])], .answer(1, 200)),
    .init(
      "POST of the declared length",
      [F.post(1, [("content-length", "4")]), F.data(1, "te"), F.data(1, "st", ends: true)], .answer(1, 200)),
    malformed(
      "a second head that does not end the stream", F.post(1), F.headers(1, [("x-checksum", "1")], ends: false)),
    malformed("a capital letter in a name", F.get(1, [("X-Test", "a")])),
    malformed("an unknown pseudo-field", F.get(1, [(":test", "a")])),
    malformed("an unknown pseudo-field in front", request([(":test", "a")] + HPACK.get())),
    malformed("a response's pseudo-field", request(HPACK.get() + [(":status", "200")])),
    malformed(":protocol without being offered", request(HPACK.get() + [(":protocol", "websocket")])),
    malformed("a pseudo-field in trailers", F.post(1), F.data(1, "a"), F.headers(1, [(":method", "GET")])),
    malformed("a pseudo-field behind a field", request([("x-a", "1")] + HPACK.get())),
    malformed(
      "a pseudo-field between fields", request(Array(HPACK.get().prefix(2)) + [("x-a", "1")] + HPACK.get().dropFirst(2))
    ),
    malformed("Connection", F.get(1, [("connection", "keep-alive")])),
    malformed("Keep-Alive", F.get(1, [("keep-alive", "timeout=5")])),
    malformed("Proxy-Connection", F.get(1, [("proxy-connection", "keep-alive")])),
    malformed("Transfer-Encoding", F.get(1, [("transfer-encoding", "chunked")])),
    malformed("Upgrade", F.get(1, [("upgrade", "h2c")])),
    malformed("TE of gzip", F.get(1, [("te", "gzip")])),
    malformed("TE of trailers and gzip", F.get(1, [("te", "trailers, gzip")])),
    .init("TE of trailers", [F.get(1, [("te", "trailers")])], .answer(1, 200)),
    malformed("an empty :path", changed(":path", "")),
    malformed("a :path that does not begin with a slash", changed(":path", "a")),
    malformed("a :path that is a URL", changed(":path", "https://shop/")),
    malformed("* for a method other than OPTIONS", changed(":path", "*")),
    .init(
      "* for OPTIONS",
      [request([(":method", "OPTIONS"), (":scheme", "https"), (":path", "*"), (":authority", "shop")])], .answer(1, 200)
    ),
    malformed("no :method", getWithout(":method")),
    malformed("no :scheme", getWithout(":scheme")),
    malformed("no :path", getWithout(":path")),
    malformed("no :authority and no Host", getWithout(":authority")),
    .init("Host instead of :authority", [request(HPACK.get().dropLast() + [("host", "shop")])], .answer(1, 200)),
    malformed(":method twice", request([(":method", "GET")] + HPACK.get())),
    malformed(":scheme twice", request([(":scheme", "https")] + HPACK.get())),
    malformed(":path twice", request([(":path", "/")] + HPACK.get())),
    malformed(":authority twice", request([(":authority", "shop")] + HPACK.get())),
    malformed("Host twice", F.get(1, [("host", "shop"), ("host", "shop")])),
    malformed(
      "Content-Length twice", F.post(1, [("content-length", "4"), ("content-length", "4")]),
      F.data(1, "test", ends: true)),
    malformed("Content-Length that is no number", F.post(1, [("content-length", "+4")]), F.data(1, "test", ends: true)),
    malformed("a body shorter than declared", F.post(1, [("content-length", "5")]), F.data(1, "test", ends: true)),
    malformed("a body longer than declared", F.post(1, [("content-length", "3")]), F.data(1, "test", ends: true)),
    malformed(
      "a body longer than declared, in pieces", F.post(1, [("content-length", "3")]), F.data(1, "te"),
      F.data(1, "st", ends: true)),
    malformed("a body where none was declared", F.post(1, [("content-length", "0")]), F.data(1, "test", ends: true)),
    malformed("a declared body that does not come", F.get(1, [("content-length", "4")])),
    malformed(
      "trailers in place of a declared body", F.post(1, [("content-length", "4")]), F.headers(1, [("x-a", "1")])),
    malformed("a space in front of a value", F.get(1, [("x-a", " 1")])),
    malformed("a space behind a value", F.get(1, [("x-a", "1 ")])),
    malformed("a tab behind a value", F.get(1, [("x-a", "1\t")])),
    malformed("a line's end in a value", F.get(1, [("x-a", "1\r\nx-b: 2")])),
    malformed("a line feed in a value", F.get(1, [("x-a", "1\nx-b: 2")])),
    malformed("a NUL in a value", F.get(1, [("x-a", "1\u{0}")])),
    malformed("a name without a letter", F.get(1, [("", "1")])),
    malformed("a colon in a name", F.get(1, [("x:a", "1")])),
    malformed("a space in a name", F.get(1, [("x a", "1")])),
    malformed("a line's end in a name", F.get(1, [("x-a\r\nhost", "1")])),
    malformed("a line's end in :path", changed(":path", "/ HTTP/1.1\r\nx: y")),
    malformed("a space in :method", changed(":method", "GET / HTTP/1.1")),
    malformed("a colon in :method", changed(":method", "GET:")),
    malformed("an empty :method", changed(":method", "")),
    malformed("a space in :authority", changed(":authority", "shop other")),
    malformed("a slash in :authority", changed(":authority", "a/b")),
    malformed("a space in :path", changed(":path", "/a b")),
    refused("a fragment in :path", 400, changed(":path", "/a#b")),
    malformed("a tab in :path", changed(":path", "/a\tb")),
    refused("user information in :authority", 400, changed(":authority", "shop@evil")),
    refused("a port that is none", 400, changed(":authority", "shop:99999")),
    malformed("an empty :authority", changed(":authority", "")),
    refused("Host that differs from :authority", 400, F.get(1, [("host", "other")])),
    .init("Host that repeats :authority", [F.get(1, [("host", "SHOP")])], .answer(1, 200)),
    refused("a scheme of another protocol", 400, changed(":scheme", "ftp")),
    refused("CONNECT", 501, request([(":method", "CONNECT"), (":authority", "shop:443")])),
    refused("a method that is too long", 501, changed(":method", String(repeating: "A", count: 33))),
    refused("a path that is too long", 414, long),
    refused("more fields than allowed", 431, F.get(1, (0..<129).map { ("x-\($0)", "a") })),
    refused("an expectation that nobody knows", 417, F.post(1, [("expect", "a-miracle")]), F.data(1, "", ends: true)),
    .init("100-continue", [F.post(1, [("expect", "100-continue")]), F.data(1, "a", ends: true)], .answer(1, 200)),
    .init("cookies in pieces", [F.get(1, (0..<500).map { ("cookie", "a\($0)=1") })], .answer(1, 200)),
  ]

  /// RFC 7541: header compression.
  static let sections: [Conformance] = [
    section("indexed fields", [0x82, 0x87, 0x84] + authority),
    section(
      "a literal that is indexed, with an indexed name",
      [0x82, 0x87, 0x84] + authority + [0x40 | 58] + HPACK.string(Array("a".utf8))),
    section("a literal that is indexed, with a new name", get + HPACK.literal("x-a", "1", kind: 0x40)),
    section("a literal that is indexed, and its index", get + HPACK.literal("x-a", "1", kind: 0x40) + [0xBE]),
    section(
      "a literal that is not indexed, with an indexed name",
      get + HPACK.integer(58, prefix: 4) + HPACK.string(Array("a".utf8))),
    section("a literal that is not indexed, with a new name", get + HPACK.literal("x-a", "1")),
    section(
      "a literal that is never indexed, with an indexed name",
      get + HPACK.integer(58, prefix: 4, 0x10) + HPACK.string(Array("a".utf8))),
    section("a literal that is never indexed, with a new name", get + HPACK.literal("x-a", "1", kind: 0x10)),
    section(
      "Huffman code",
      get + [0x40 | 58]
        + HPACK.string([0xF1, 0xE3, 0xC2, 0xE5, 0xF2, 0x3A, 0x6B, 0xA0, 0xAB, 0x90, 0xF4, 0xFF], isHuffman: true)),
    section(
      "Huffman code in a literal that is not indexed",
      get + HPACK.integer(58, prefix: 4) + HPACK.string([0x1F], isHuffman: true)),
    section(
      "Huffman code in a literal that is never indexed",
      get + HPACK.integer(58, prefix: 4, 0x10) + HPACK.string([0x1F], isHuffman: true)),
    section("a table size in front", [0x20] + get),
    section("two table sizes in front", [0x20, 0x3F, 0xE1, 0x1F] + get),
    broken("an index beyond the tables", get + HPACK.integer(70, prefix: 7, 0x80)),
    broken("a name's index beyond the tables", get + HPACK.integer(70, prefix: 6, 0x40) + HPACK.string([0x61])),
    broken("an index into the table that was emptied", HPACK.literal("x-a", "1", kind: 0x40) + [0x20, 0xBE]),
    broken("a table size behind a field", get + [0x20]),
    broken("a table size that is larger than allowed", HPACK.integer(4097, prefix: 5, 0x20) + get),
    broken("index 0", get + [0x80]),
    broken("Huffman padding of 8 bits", get + [0x40 | 58] + HPACK.string([0x1F, 0xFF], isHuffman: true)),
    broken("Huffman padding of zeros", get + [0x40 | 58] + HPACK.string([0x18], isHuffman: true)),
    broken(
      "Huffman code with the end-of-string symbol",
      get + [0x40 | 58] + HPACK.string([0xFF, 0xFF, 0xFF, 0xFF], isHuffman: true)),
    broken("a string that is longer than its section", get + [0x00] + HPACK.integer(200, prefix: 7) + [0x61]),
    broken("a number without an end", get + [0xFF] + [UInt8](repeating: 0xFF, count: 10) + [0x00]),
    broken("a section that stops in a field", get + [0x40]),
    broken("ones", [UInt8](repeating: 0xFF, count: 20)),
  ]

  /// What looks strange and is allowed.
  static let harmless: [Conformance] = [
    .init("GOAWAY from the client", [F.get(1), F.goAway()], .lastAnswer(1, 200)),
    .init("GOAWAY with a code that nobody knows", [F.get(1), F.goAway(0xFF)], .lastAnswer(1, 200)),
    .init("a request with a body that says GET", [F.get(1, ends: false), F.data(1, "a", ends: true)], .answer(1, 200)),
    .init("fields with bytes beyond ASCII", [F.get(1, [("x-a", "\u{e9}")])], .answer(1, 200)),
    .init("an empty field value", [F.get(1, [("x-a", "")])], .answer(1, 200)),
    .init("a path of percent signs", [F.get(1, path: "/%00%2e%2e%2f?%")], .answer(1, 200)),
    .init(
      "an IPv6 authority", [F.headers(1, Array(HPACK.get().dropLast()) + [(":authority", "[::1]:8443")])],
      .answer(1, 200)),
    .init(
      "a method that nobody knows", [F.headers(1, HPACK.get().map { $0.0 == ":method" ? ($0.0, "PURGE") : $0 })],
      .answer(1, 200)),
    .init(
      "http as the scheme", [F.headers(1, HPACK.get().map { $0.0 == ":scheme" ? ($0.0, "http") : $0 })], .answer(1, 200)
    ),
    .init(
      "128 fields", [F.get(1, (0..<127).map { ("x-\($0)", "a") } + [("cookie", "a"), ("cookie", "b")])], .answer(1, 200)
    ),
    .init("128 streams", [(0..<128).flatMap { F.get($0 * 2 + 1) }], .answer(255, 200)),
  ]

  private static let authority = [0x41] + HPACK.string(Array("shop".utf8))
  private static let get: [UInt8] = [0x82, 0x87, 0x84] + authority

  private static func section(_ name: String, _ block: [UInt8]) -> Conformance {
    .init(name, [F.frame(1, flags: 5, stream: 1, block)], .answer(1, 200))
  }

  private static func broken(_ name: String, _ block: [UInt8]) -> Conformance {
    .init(name, [F.frame(1, flags: 5, stream: 1, block)], .connectionError(.compressionError))
  }
}
