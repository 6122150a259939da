import Bytes
import HTTP
import Testing

struct HTTP2ResponseTests {
  private func lines(_ draft: borrowing ResponseDraft, framing: BodyFraming = .chunked) -> [String] {
    var block = HTTP2FieldBlock()
    block.set(draft, framing: framing)
    return Self.lines(block)
  }

  private static func lines(_ block: borrowing HTTP2FieldBlock) -> [String] {
    block.entries.map { entry in
      let name = String(decoding: block.bytes.toArray()[entry.name], as: UTF8.self)
      let value = String(decoding: block.bytes.toArray()[entry.value], as: UTF8.self)
      return "\(name)=\(value)\(entry.isIndexed ? "" : " never indexed")"
    }
  }

  @Test func `names are in lower case and the status comes first`() {
    var draft = ResponseDraft(status: 201)
    draft.append("Content-Type", "text/event-stream")
    draft.append("X-Stream-Mode", "graceful")
    #expect(lines(draft) == [":status=201", "content-type=text/event-stream", "x-stream-mode=graceful"])
  }

  @Test func `a reason is not passed on`() {
    var draft = ResponseDraft()
    let reason = Array("Fine".utf8)
    draft.begin(status: 200, reason: reason.span)
    #expect(lines(draft) == [":status=200"])
  }

  @Test func `fields about an HTTP 1 connection stay behind`() {
    var draft = ResponseDraft()
    for name in ["Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Upgrade", "TE", "Trailer"]
      as [StaticString]
    {
      draft.append(name, "a")
    }
    draft.append("Content-Length", "99")
    #expect(lines(draft) == [":status=200"])
  }

  @Test func `a length that is known is told`() {
    #expect(lines(ResponseDraft(), framing: .length(5)) == [":status=200", "content-length=5 never indexed"])
    #expect(lines(ResponseDraft(), framing: .untilClose) == [":status=200"])
    #expect(lines(ResponseDraft(status: 204), framing: .none) == [":status=204"])
  }

  @Test func `the length of a body that is not sent is told`() {
    var draft = ResponseDraft(status: 304)
    draft.unsentLength = 7
    #expect(lines(draft, framing: .none) == [":status=304", "content-length=7 never indexed"])
  }

  @Test func `what differs each time, or is secret, is not indexed`() {
    var draft = ResponseDraft()
    draft.append("X-Stream-Id", "abc")
    draft.append("Set-Cookie", "a=1")
    draft.append("Set-Cookie", "b=2")
    draft.append("Cache-Control", "no-cache")
    #expect(
      lines(draft) == [
        ":status=200", "x-stream-id=abc never indexed", "set-cookie=a=1 never indexed", "set-cookie=b=2 never indexed",
        "cache-control=no-cache",
      ])
  }

  @Test func `values keep their bytes`() {
    var draft = ResponseDraft()
    draft.append("X-A", "Mixed: CASE, and colons")
    draft.append("X-Empty", "")
    #expect(lines(draft) == [":status=200", "x-a=Mixed: CASE, and colons", "x-empty="])
  }

  @Test func `a block can be used again`() {
    var block = HTTP2FieldBlock()
    var draft = ResponseDraft()
    draft.append("X-A", "1")
    block.set(draft, framing: .none)
    block.set(informational: 100)
    #expect(Self.lines(block) == [":status=100"])
  }
}
