import Bytes
import HTTP
import Testing

@Suite struct RequestHeadTests {
  @Test func `a plain request is read in one go`() throws {
    let head = try requestHead("GET /a/b?x=1 HTTP/1.1\r\nHost: example.com\r\nAccept:text/event-stream \r\n\r\nrest")
    #expect(head.method == .get)
    #expect(head.target.pathString == "/a/b")
    #expect(head.target.queryString == "x=1")
    #expect(head.fields.string(.host) == "example.com")
    #expect(head.fields.string(.accept) == "text/event-stream")
    #expect(head.framing == .none)
    #expect(head.isKeepAlive)
  }
}
