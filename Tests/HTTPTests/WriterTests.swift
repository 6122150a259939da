import Bytes
import HTTP
import Testing

@Suite struct WriterTests {
  @Test func `a response of the gateway's own says how it ends`() {
    func head(_ framing: BodyFraming, _ version: HTTPVersion = .http11, _ isKeepAlive: Bool = true) -> String {
      written {
        ResponseWriter.writeHead(
          status: 200, framing: framing, version: version, isKeepAlive: isKeepAlive, into: &$0)
      }
    }
    #expect(head(.chunked) == "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    #expect(head(.length(0), .http11, false) == "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    #expect(head(.untilClose, .http10) == "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    #expect(head(.length(1), .http10) == "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\n")
    #expect(written { ResponseWriter.writeInformational(100, into: &$0) } == "HTTP/1.1 100 Continue\r\n\r\n")
  }

  @Test func `chunks are framed in hexadecimal and empty ones left out`() {
    let payload = [UInt8](repeating: UInt8(ascii: "x"), count: 26)
    let text = written {
      ChunkedEncoder.append(payload.span, to: &$0)
      ChunkedEncoder.append(payload.span.extracting(0..<0), to: &$0)
      ChunkedEncoder.appendLast(to: &$0)
    }
    #expect(text == "1a\r\n\(String(repeating: "x", count: 26))\r\n0\r\n\r\n")
  }

  @Test func `a buffer becomes one chunk in place`() {
    for length in [0, 1, 9, 10, 15, 16, 255, 256, 4096, 70_000] {
      let payload = [UInt8](repeating: UInt8(ascii: "x"), count: length)
      var framed = ByteBuffer(headroom: ChunkedEncoder.maximumHeaderLength)
      framed.append(payload)
      framed.frameAsChunk()
      var copied = ByteBuffer()
      ChunkedEncoder.append(payload.span, to: &copied)
      #expect(framed.toArray() == copied.toArray())
    }
  }

  @Test func `a short answer has its length, its type and a way out`() throws {
    var fields = Fields()
    fields.append(.retryAfter, decimal: 3)
    let text = written {
      StandardResponses.write(
        status: 503, code: "no_upstream", message: "say \"please\" \\ \u{1}\n", fields: fields, into: &$0)
    }
    let body = #"{"error":{"code":"no_upstream","message":"say \"please\" \\ \u0001\u000a"}}"# + "\n"
    #expect(text.hasSuffix("\r\n\r\n" + body))
    let head = try responseHead(text)
    #expect(head.status == 503)
    #expect(head.declaredFraming == .length(body.utf8.count))
    #expect(!head.isKeepAlive)
    #expect(head.fields.string(.retryAfter) == "3")
    #expect(head.fields.hasMediaType("application/json"))
  }

  @Test func `an answer to HEAD keeps the length and leaves the body out`() throws {
    let text = written {
      StandardResponses.write(
        status: 404, code: "not_found", message: "no such run", body: .plain, isKeepAlive: true, isHead: true,
        into: &$0)
    }
    #expect(text.hasSuffix("\r\n\r\n"))
    let head = try responseHead(text)
    #expect(head.declaredFraming == .length(12))
    #expect(head.isKeepAlive)
  }

  @Test func `an unreadable request is answered with its fault, an unreadable response without details`() throws {
    let request = written { StandardResponses.write(.request(.missingHost), into: &$0) }
    #expect(request.hasPrefix("HTTP/1.1 400 Bad Request\r\n"))
    #expect(request.contains("Connection: close\r\n"))
    #expect(request.contains("\"code\":\"missing_host\""))
    let response = written { StandardResponses.write(.response(.bareLineFeed), into: &$0) }
    #expect(response.hasPrefix("HTTP/1.1 502 Bad Gateway\r\n"))
    #expect(response.contains("malformed"))
  }

  @Test func `every status the gateway answers with has a phrase`() {
    for fault in HTTP1Fault.allCases {
      #expect(ReasonPhrase.of(fault.status).utf8CodeUnitCount > 0)
    }
    for status in [100, 101, 200, 204, 304, 404, 408, 429, 502, 503, 504] {
      #expect(ReasonPhrase.of(status).utf8CodeUnitCount > 0)
    }
    #expect(ReasonPhrase.of(299).utf8CodeUnitCount == 0)
    #expect(ReasonPhrase.of(0).utf8CodeUnitCount == 0)
  }
}
