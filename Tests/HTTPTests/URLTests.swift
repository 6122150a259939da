import Bytes
import HTTP
import Testing

@Suite struct UpstreamURLTests {
  @Test(
    arguments: [
      ("http://a", "a", 80, "", "a"), ("http://a/", "a", 80, "", "a"), ("https://a", "a", 443, "", "a"),
      ("HTTP://A.example:8080/v1/", "A.example", 8080, "/v1", "A.example:8080"),
      ("https://a:443/x/y", "a", 443, "/x/y", "a"), ("http://a:443", "a", 443, "", "a:443"),
      ("http://[::1]:9000/b", "::1", 9000, "/b", "[::1]:9000"), ("https://[::1]", "::1", 443, "", "[::1]"),
      ("http://127.0.0.1:1", "127.0.0.1", 1, "", "127.0.0.1:1"), ("http://a//", "a", 80, "", "a"),
    ])
  func `a URL is taken apart`(
    text: String, host: String, port: Int, basePath: String, authority: String
  ) throws {
    let url = try UpstreamURL(parsing: text)
    #expect(url.host == host)
    #expect(Int(url.port) == port)
    #expect(url.basePath == basePath)
    #expect(url.authority == authority)
    #expect(url.authorityValue.string == authority)
    #expect(try UpstreamURL(parsing: url.description) == url)
  }

  @Test(
    arguments: [
      ("", UpstreamURL.Fault.scheme), ("a:80", .scheme), ("ftp://a", .scheme), ("http:a", .scheme),
      ("http://", .authority), ("http:///x", .authority), ("http://a:b", .authority), ("http://a:0", .authority),
      ("http://a:70000", .authority), ("http://a b", .authority), ("http://[::1", .authority),
      ("http://u:p@a", .userInformation), ("http://a/?x", .queryOrFragment), ("http://a#x", .queryOrFragment),
      ("http://a/b c", .path), ("http://a/caf\u{e9}", .path), ("http://a/\r\n", .path),
    ])
  func `what is no upstream's URL is told why`(text: String, fault: UpstreamURL.Fault) {
    #expect(throws: fault) { try UpstreamURL(parsing: text) }
    #expect(!fault.description.isEmpty)
  }
}

@Suite struct QueryStringTests {
  private func value(_ name: StaticString, _ query: String) -> String? {
    let bytes = Array(query.utf8)
    return QueryString.value(of: name, in: bytes.span).map { String(decoding: $0, as: UTF8.self) }
  }

  @Test func `a parameter's value is found and decoded`() {
    #expect(value("a", "a=1") == "1")
    #expect(value("b", "a=1&b=2&b=3") == "2")
    #expect(value("a", "a") == "")
    #expect(value("a", "a=") == "")
    #expect(value("a", "a=b=c") == "b=c")
    #expect(value("a", "x=a&aa=1") == nil)
    #expect(value("a", "") == nil)
    #expect(value("", "a&&b") == "")
    #expect(value("last_event_id", "last_event_id=ab%2Ec%20d+e") == "ab.c d e")
    #expect(value("stream_end", "stream%5Fend=1") == "1")
    #expect(value("a b", "a+b=1") == "1")
  }

  @Test(arguments: ["a=%", "a=%2", "a=%zz", "a=%2g", "a=x%"])
  func `broken encoding is no value`(query: String) {
    #expect(value("a", query) == nil)
    let bytes = Array(query.utf8)
    let isThere = QueryString.contains(anyOf: ["a"], in: bytes.span)
    #expect(isThere)
  }

  @Test(
    arguments: [
      ("stream_end=1", ""), ("a=1&stream_end=1", "a=1"), ("stream_end=1&a=1", "a=1"), ("a&stream_end&b", "a&b"),
      ("a=%20&last_event_id=x&b=%zz", "a=%20&b=%zz"), ("stream_end=1&stream_end=2", ""), ("a&&b", "a&&b"),
      ("stream%5fend=1&a", "a"), ("stream_ending=1", "stream_ending=1"), ("", ""), ("%=%&a", "%=%&a"),
    ])
  func `parameters are removed and the rest keeps its bytes`(query: String, expected: String) {
    let bytes = Array(query.utf8)
    let result = written { QueryString.write(bytes.span, removing: ["stream_end", "last_event_id"], into: &$0) }
    #expect(result == expected)
  }
}

@Suite struct TargetTests {
  @Test func `a target of the program's own is checked like any other`() {
    #expect(Target("/a?b")?.pathString == "/a")
    #expect(Target("http://a")?.pathString == "/")
    #expect(Target("") == nil)
    #expect(Target("a b") == nil)
    #expect(Target("/a\r\nX: y") == nil)
    #expect(Method("BREW")?.name == "BREW")
    #expect(Method("GET") == .get)
    #expect(Method("a b") == nil)
    #expect(Method("") == nil)
  }

  @Test func `methods know what may be repeated`() {
    #expect(Method.get.isSafe && Method.head.isIdempotent && Method.put.isIdempotent && Method.delete.isIdempotent)
    #expect(!Method.post.isIdempotent && !Method.patch.isIdempotent && !Method.put.isSafe)
    #expect(!Method.other("GETX").isIdempotent)
  }
}
