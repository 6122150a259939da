import Bytes
import EventSamples
import JSON
import SSE
import Streams
import Testing
import Time

struct StreamEndTests {
  static func object(_ text: String) throws -> JSONValue {
    try JSONDocument(parsing: Array(text.utf8)).value
  }

  private func streamEnd(reason: String = "why", outcome: Outcome = .completed) -> StreamEnd {
    StreamEnd(
      stream: Play.stream, run: "job-7", time: WallTime(milliseconds: 0), outcome: outcome,
      reason: reason, events: .max, bytes: 12, isResumable: true, hasPartialEvent: true)
  }

  private func written(_ write: (inout ByteBuffer) -> Void) throws -> JSONValue {
    var out = ByteBuffer()
    write(&out)
    let messages = EventSourceClient.messages(in: out.toArray())
    // One block, two lines, nothing around them.
    let lines = EventSourceClient.lines(of: out.toArray())
    #expect(messages.count == 1 && lines.count == 3 && lines.last?.isEmpty == true)
    return try Self.object(messages.first?.text ?? "")
  }

  @Test func `stream_end has all its members`() throws {
    let json = try written { streamEnd().write(lastEventID: Array("x.7".utf8).span, to: &$0) }
    #expect(
      json.object?.names == [
        "type", "source", "streamId", "runId", "timestamp", "outcome", "reason", "events", "bytes", "lastEventId",
        "resumable",
        "partialEvent", "message",
      ])
    #expect(json["type"] == "stream_end" && json["source"] == "gateway")
    #expect(json["runId"] == "job-7")
    #expect(json["streamId"]?.string == Play.streamText)
    #expect(json["timestamp"] == "1970-01-01T00:00:00.000Z")
    #expect(json["events"]?.number == Double(UInt64.max))
    #expect(json["bytes"] == 12)
    #expect(json["lastEventId"] == "x.7")
    #expect(json["resumable"] == true)
    #expect(json["partialEvent"] == true)
  }

  @Test(arguments: Outcome.allCases)
  func `every outcome is told`(_ outcome: Outcome) throws {
    let end = try written { streamEnd(outcome: outcome).write(lastEventID: [UInt8]().span, to: &$0) }
    #expect(end["outcome"]?.string == outcome.rawValue)
    let error = try written { streamEnd(outcome: outcome).writeError(to: &$0) }
    #expect(error["type"] == "error" && error["source"] == "gateway")
    #expect(error["error"]?["type"]?.string == outcome.rawValue)
    #expect(error["error"]?["message"] == "why")
  }

  @Test func `no reason and no id breaks the line or the JSON`() throws {
    let hostile = [
      "", "\n\ndata: x\n\n", "\r\r", "\"}", "\\", "\u{0}\u{1}\u{1F}\u{7F}", "\u{2028}\u{2029}", "é漢😀", "\u{FEFF}",
      String(repeating: "x", count: 100_000), String(repeating: "😀", count: 1000),
    ]
    for text in hostile {
      let end = try written { streamEnd(reason: text).write(lastEventID: Array(text.utf8).span, to: &$0) }
      if text.utf8.count <= 1024 {
        #expect(end["reason"]?.string?.sameBytes(as: text) == true)
        #expect(end["lastEventId"]?.string?.sameBytes(as: text) == true)
      }
      #expect((end["reason"]?.string?.utf8.count ?? 0) <= 1030)
      #expect(try written { streamEnd(reason: text).writeError(to: &$0) }["error"]?["message"] == end["reason"])
    }
  }

  @Test func `an id of any bytes is told as text`() throws {
    for seed in 0..<300 {
      var random = SeededGenerator(seed: UInt64(seed))
      let bytes = (0..<random.below(60)).map { _ in UInt8(random.below(256)) }
      let end = try written { streamEnd().write(lastEventID: bytes.span, to: &$0) }
      #expect(end["lastEventId"] != nil)
    }
  }
}
