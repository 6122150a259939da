import Bytes
import HTTP
import Testing

@Suite struct `A request of the program's own` {
  private func wire(_ request: HTTP1Request) -> String {
    var out = ByteBuffer()
    request.write(into: &out)
    return String(copying: out.span).replacing("\r\n", with: "⏎")
  }

  private func accept() -> Fields {
    var fields = Fields()
    fields.append(.accept, literal: "*/*")
    return fields
  }

  @Test func `the last of its connection says so, and names the host first`() {
    let request = HTTP1Request(
      .get, "/v1/health?deep", authority: "[::1]:80", fields: accept(), isLast: true)
    #expect(wire(request) == "GET /v1/health?deep HTTP/1.1⏎Host: [::1]:80⏎Accept: */*⏎Connection: close⏎⏎")
  }

  @Test func `another has the fields that it was given, and no others`() {
    #expect(wire(HTTP1Request(.get, "/", fields: accept())) == "GET / HTTP/1.1⏎Accept: */*⏎⏎")
    #expect(wire(HTTP1Request(.get, "/", fields: Fields())) == "GET / HTTP/1.1⏎⏎")
  }

  @Test func `a body follows the head, byte by byte`() {
    var fields = Fields()
    fields.append(.contentLength, decimal: 3)
    let request = HTTP1Request(.post, "/chat", authority: "h", fields: fields, body: [0x61, 0x0d, 0x0a], isLast: true)
    #expect(wire(request) == "POST /chat HTTP/1.1⏎Host: h⏎Content-Length: 3⏎Connection: close⏎⏎a⏎")
  }
}
