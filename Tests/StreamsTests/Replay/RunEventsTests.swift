import Bytes
import EventSamples
import JSON
import SSE
import Streams
import Testing
import Time

struct RunEventsTests {
  private func written(_ write: (inout ByteBuffer) -> Void) -> String {
    var out = ByteBuffer()
    write(&out)
    return String(decoding: out.toArray(), as: UTF8.self)
  }

  @Test func `a reset says why, and where it goes on`() {
    var reset = StreamReset(
      stream: Play.stream, reason: .evicted, oldest: 12, time: WallTime(milliseconds: 1_769_860_800_000))
    let text = """
      event: stream_reset
      data: {"type":"stream_reset","source":"gateway","streamId":"\(Play.streamText)","reason":"evicted",\
      "oldest":"\(Play.streamText).12","timestamp":"2026-01-31T12:00:00.000Z"}


      """
    #expect(written { reset.write(to: &$0) } == text)
    reset.reason = .unknown
    reset.oldest = nil
    #expect(
      written { reset.write(to: &$0) }
        == text.replacing("\"evicted\"", with: "\"unknown\"").replacing("\"\(Play.streamText).12\"", with: "null"))
  }

  @Test func `a prompt that was taken is told, with the client's own name for it`() {
    var ready = PromptReady(
      stream: Play.stream, time: WallTime(milliseconds: 0), sinceStart: .milliseconds(17),
      clientMessageID: Array("a\"b\n".utf8))
    let text = """
      event: control
      data: {"type":"prompt_ready","source":"gateway","name":"prompt_ready","streamId":"\(Play.streamText)",\
      "at":"1970-01-01T00:00:00.000Z","sinceStartMs":17,"client_message_id":"a\\"b\\n"}


      """
    #expect(written { ready.write(to: &$0) } == text)
    ready.clientMessageID = nil
    #expect(written { ready.write(to: &$0) } == text.replacing(",\"client_message_id\":\"a\\\"b\\n\"", with: ""))
  }

  @Test(arguments: [
    ("event: control\ndata: {\"type\":\"prompt_ready\"}\n\n", true), ("data: {\"type\":\"prompt_ready\"}\n\n", true),
    ("data:\n\n", false), ("event: control\ndata: {\"type\":\"other\"}\n\n", false),
    ("event: delta\ndata: {\"type\":\"prompt_ready\"}\n\n", false), ("data: prompt_ready\n\n", false),
    ("data: {\"x\":{\"type\":\"prompt_ready\"}}\n\n", false), (": prompt_ready\n\n", false),
  ])
  func `a backend that says it too is recognised`(_ block: String, _ says: Bool) {
    let bytes = Array(block.utf8)
    let isSaid = PromptReady.isSaid(by: Event(reading: bytes.span), in: bytes.span)
    #expect(isSaid == says)
  }

  @Test(arguments: [
    ("data: {\"a\":1}\n\n", "data: {<>,\"a\":1}\n\n"), ("data:{}\r\n\r\n", "data:{<>}\r\n\r\n"),
    ("data: {\n\n", nil), ("data:  { \"a\" : [ {} ] } \n\n", "data:  {<>, \"a\" : [ {} ] } \n\n"),
    ("event: x\nid: 4\ndata: {\"index\":7}\n\n", "event: x\nid: 4\ndata: {<s>,\"index\":7}\n\n"),
    ("data: {\"streamId\" : 1}\n\n", "data: {<i>,\"streamId\" : 1}\n\n"),
    ("data: {\"streamId\":1,\"index\":2}\n\n", nil),
    ("data: {\"a\":{\"index\":1,\"streamId\":2}}\n\n", "data: {<>,\"a\":{\"index\":1,\"streamId\":2}}\n\n"),
    ("data: {\"a\":\"index\",\"b\":\"\\\"index\\\":\"}\n\n", "data: {<>,\"a\":\"index\",\"b\":\"\\\"index\\\":\"}\n\n"),
    ("data: {\ndata: }\n\n", "data: {<>\ndata: }\n\n"),
    ("data: {\ndata: \"a\":1}\n\n", "data: {<>,\ndata: \"a\":1}\n\n"),
    ("data: {\"a\":1}\nid: 3\n\n", "data: {<>,\"a\":1}\nid: 3\n\n"), ("data: {}{}\n\n", nil), ("data: [1]\n\n", nil),
    ("data: [DONE]\n\n", nil), ("data: {\"a\":1}]\n\n", nil), ("data: x{}\n\n", nil), ("data: {\"a\n\n", nil),
    ("data: {]\n\n", nil), (": {}\n\n", nil), ("data\n\n", nil), ("data: {\"a\":1}\ndata: x\n\n", nil),
    ("data: \"{}\"\n\n", nil), ("data: {\"a\":\"\\\n\n", nil),
  ])
  func `an object is stamped behind its brace, and nothing else is touched`(_ block: String, _ stamped: String?) {
    let bytes = Array(block.utf8)
    let stream = "\"streamId\":\"\(Play.streamText)\""
    let expected = (stamped ?? block).replacing("<>", with: "\(stream),\"index\":5")
      .replacing("<s>", with: stream).replacing("<i>", with: "\"index\":5")
    let text = written {
      PayloadStamp(stream: Play.stream).write(Event(reading: bytes.span), bytes.span, index: 5, to: &$0)
    }
    #expect(text == expected)
  }

  @Test func `whatever is stamped stays one event, and an object stays JSON`() throws {
    for seed in 0..<2000 {
      var random = SeededGenerator(seed: UInt64(seed))
      let pieces = ["{", "}", "\"", ":", ",", "[", "]", "\\", "index", "a", "1", " ", "\ndata: ", "{\"a\":1}", "{}"]
      let payload = (0..<random.below(9)).map { _ in pieces[random.below(pieces.count)] }.joined()
      let bytes = Array("data: \(payload)\n\n".utf8)
      let text = written {
        PayloadStamp(stream: Play.stream).write(Event(reading: bytes.span), bytes.span, index: 5, to: &$0)
      }
      let before = EventSourceClient.messages(in: bytes)
      let after = EventSourceClient.messages(in: Array(text.utf8))
      #expect(before.count == 1 && after.count == 1)
      guard let object = try? StreamEndTests.object(before[0].text), object.object != nil else { continue }
      #expect(try StreamEndTests.object(after[0].text)["index"] != nil, "\(before[0].text)")
    }
  }

  @Test func `digests differ by what belongs to them, and are read as they are written`() {
    let key = Array("key".utf8)
    let alice = Digest.principal(credentials: [Array("a".utf8), []])
    let others = [
      Digest.principal(credentials: [[], Array("a".utf8)]), .principal(credentials: [Array("a".utf8)]),
      .idempotency(key: key, of: alice), .idempotency(key: key, of: .principal(credentials: [])),
      .request(method: "POST", target: key, body: []), .request(method: "POST", target: [], body: key),
    ]
    #expect(Set(others + [alice]).count == others.count + 1)
    #expect(alice == .principal(credentials: [Array("a".utf8), []]))
    let nobody = Digest.principal(credentials: [])
    #expect(nobody == .principal(credentials: [[], [], []]) && nobody != alice)
    #expect(Digest(parsing: Array(alice.description.utf8).span) == alice)
    #expect(alice.description.utf8.count == 64)
    for text in ["", String(alice.description.dropLast()), alice.description.dropLast() + "G"] {
      #expect(Digest(parsing: Array(text.utf8).span) == nil)
    }
    // Of nothing it is the hash of the empty message, which everybody knows.
    #expect(Digest([]).description == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
  }
}
