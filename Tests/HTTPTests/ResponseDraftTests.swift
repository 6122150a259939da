import Bytes
import HTTP
import Testing

@Suite struct ResponseDraftTests {
  /// A head as HTTP/1.1 writes it.
  struct Sample: Sendable, CustomTestStringConvertible {
    var framing = BodyFraming.none
    var version = HTTPVersion.http11
    var isKeepAlive = true
    var unsentLength: Int?
    /// What the head has after the fields of the draft, which are the same in all samples.
    let end: String

    var testDescription: String { end }
  }

  static let samples = [
    Sample(end: ""),
    Sample(isKeepAlive: false, end: "Connection: close⏎"),
    Sample(version: .http10, end: "Connection: keep-alive⏎"),
    Sample(version: .http10, isKeepAlive: false, end: "Connection: close⏎"),
    Sample(framing: .chunked, end: "Transfer-Encoding: chunked⏎"),
    Sample(framing: .chunked, isKeepAlive: false, end: "Transfer-Encoding: chunked⏎Connection: close⏎"),
    Sample(framing: .length(0), end: "Content-Length: 0⏎"),
    Sample(framing: .length(12), version: .http10, end: "Content-Length: 12⏎Connection: keep-alive⏎"),
    Sample(framing: .untilClose, end: "Connection: close⏎"),
    Sample(framing: .untilClose, version: .http10, end: "Connection: close⏎"),
    Sample(unsentLength: 7, end: "Content-Length: 7⏎"),
    Sample(framing: .chunked, unsentLength: 7, end: "Transfer-Encoding: chunked⏎"),
    Sample(framing: .length(3), unsentLength: 7, end: "Content-Length: 3⏎"),
  ]

  @Test(arguments: samples)
  func `the body's framing and the connection's future follow the fields`(_ sample: Sample) {
    var fields = Fields()
    fields.append(.contentType, literal: "text/plain")
    var draft = ResponseDraft(status: 404, fields: fields)
    draft.unsentLength = sample.unsentLength
    #expect(write(draft, sample) == wire("HTTP/1.1 404 Not Found⏎Content-Type: text/plain⏎\(sample.end)⏎"))
  }

  @Test(arguments: samples)
  func `fields can be put after those that frame the body`(_ sample: Sample) {
    var draft = ResponseDraft(status: 200)
    draft.unsentLength = sample.unsentLength
    draft.append("Via", "1.1 x")
    draft.placeBodyFields()
    draft.append("X-Stream-Id") { $0.append(decimal: 17) }
    draft.append("X-Last", "")
    #expect(
      write(draft, sample) == wire("HTTP/1.1 200 OK⏎Via: 1.1 x⏎\(sample.end)X-Stream-Id: 17⏎X-Last: ⏎⏎"))
  }

  private func write(_ draft: borrowing ResponseDraft, _ sample: Sample) -> [UInt8] {
    var out = ByteBuffer()
    HTTP1Head.write(
      draft, framing: sample.framing, version: sample.version, isKeepAlive: sample.isKeepAlive, into: &out)
    return out.toArray()
  }

  @Test(arguments: [
    (200, nil, "200 OK"), (404, "Gone fishing", "404 Gone fishing"), (200, "", "200 "), (299, nil, "299 "),
    (503, "caf\u{E9}", "503 caf\u{E9}"),
  ])
  func `a reason is the backend's own or the registered one`(status: Int, reason: String?, line: String) {
    var draft = ResponseDraft()
    if let reason {
      draft.begin(status: status, reason: reason.utf8Span.span)
    } else {
      draft.begin(status: status)
    }
    #expect(draft.status == status)
    #expect(write(draft, Sample(end: "")) == wire("HTTP/1.1 \(line)⏎⏎"))
    #expect(String(copying: draft.reason) == String(line.dropFirst(4)))
  }

  @Test func `names and values can be read in their order`() {
    var fields = Fields()
    fields.append(.setCookie, literal: "a=b")
    fields.append(.setCookie, literal: "c=d")
    var draft = ResponseDraft(status: 200, fields: fields)
    draft.placeBodyFields()
    draft.append("X-Empty", "")
    draft.append("X-Last", "a: b")
    var lines: [String] = []
    draft.forEachField { lines.append("\(String(copying: $0))=\(String(copying: $1))") }
    #expect(lines == ["Set-Cookie=a=b", "Set-Cookie=c=d", "X-Empty=", "X-Last=a: b"])
    #expect(draft.count == 4)
  }

  @Test func `values that came with more than one space, or none, are written with one`() throws {
    let head = try responseHead("HTTP/1.1 200 OK\r\na:1\r\nb:   2  \r\n\r\n")
    var draft = ResponseDraft(status: 200, fields: head.fields)
    draft.append("c", "3")
    var lines: [String] = []
    draft.forEachField { lines.append("\(String(copying: $0))=\(String(copying: $1))") }
    #expect(lines == ["a=1", "b=2", "c=3"])
    #expect(write(draft, Sample(end: "")) == wire("HTTP/1.1 200 OK⏎a: 1⏎b: 2⏎c: 3⏎⏎"))
  }

  @Test func `a draft that is begun again has nothing of the last response`() {
    var draft = ResponseDraft(status: 200)
    draft.append("X-Old", "1")
    draft.placeBodyFields()
    draft.append("X-Old", "2")
    draft.unsentLength = 5
    draft.begin(status: 503)
    #expect(draft.count == 0)
    draft.append("X-New", "3")
    #expect(
      write(draft, Sample(isKeepAlive: false, end: ""))
        == wire("HTTP/1.1 503 Service Unavailable⏎X-New: 3⏎Connection: close⏎⏎"))
  }

  @Test func `an interim head has no fields`() {
    #expect(written { HTTP1Head.writeInformational(100, into: &$0) } == "HTTP/1.1 100 Continue\r\n\r\n")
  }
}

@Suite struct ErrorResponseTests {
  private func text(_ response: borrowing ErrorResponse) -> String {
    var out = ByteBuffer()
    response.writeLast(into: &out)
    return String(copying: out.span)
  }

  @Test func `an error has its length, its type and a way out`() throws {
    var fields = Fields()
    fields.append(.retryAfter, decimal: 3)
    let text = text(
      ErrorResponse(status: 503, code: "no_upstream", message: "say \"please\" \\ \u{1}\n", fields: fields))
    let body = #"{"error":{"code":"no_upstream","message":"say \"please\" \\ \u0001\u000a"}}"# + "\n"
    #expect(text.hasSuffix("\r\n\r\n" + body))
    let head = try responseHead(text)
    #expect(head.status == 503)
    #expect(head.declaredFraming == .length(body.utf8.count))
    #expect(!head.isKeepAlive)
    #expect(head.fields.string(.retryAfter) == "3")
    #expect(head.fields.hasMediaType("application/json"))
  }

  @Test func `an unreadable request is answered with its fault, an unreadable response without details`() throws {
    let request = text(ErrorResponse(.request(.missingHost)))
    #expect(request.hasPrefix("HTTP/1.1 400 Bad Request\r\n"))
    #expect(request.contains("Connection: close\r\n"))
    #expect(request.contains("\"code\":\"missing_host\""))
    let response = text(ErrorResponse(.response(.bareLineFeed)))
    #expect(response.hasPrefix("HTTP/1.1 502 Bad Gateway\r\n"))
    #expect(response.contains("malformed"))
  }
}
