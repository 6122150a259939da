import EventSamples
import Streams
import Testing

/// The name that a backend gives its error.
@Suite struct ErrorNameTests {
  private func name(_ text: String, _ dialect: Dialect = .auto) -> String {
    let feed = EventFeed(id: Play.stream, classifier: EventClassifier(dialect: dialect), eventLimit: 1 << 20)
    var out = Play.buffer()
    _ = feed.receive(Array(text.utf8).span, for: RecordingReader(), into: &out)
    return feed.errorName
  }

  @Test(arguments: [
    // Anthropic's, OpenAI's chat completions and responses.
    (#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#, "overloaded_error"),
    (#"{"error":{"message":"no","type":"server_error","param":null,"code":null}}"#, "server_error"),
    (#"{"error":{"message":"no","type":null,"code":"rate_limit_exceeded"}}"#, "rate_limit_exceeded"),
    (#"{"type":"error","code":"ERR_SOMETHING","message":"no","param":null}"#, "ERR_SOMETHING"),
    // Others: a number, a word, their own type.
    (#"{"error":{"code":429,"message":"no"}}"#, "429"), (#"{"error":"timeout"}"#, "timeout"),
    (#"{"type":"overloaded"}"#, "overloaded"), (#"{"code":-32603,"message":"no"}"#, "-32603"),
    ("{\ndata:  \"type\": \"overloaded\"\ndata: }", "overloaded"),
  ])
  func `an error has the type, or else the code, that the backend gives it`(payload: String, expected: String) {
    #expect(name("event: error\ndata: \(payload)\n\n") == expected)
  }

  @Test func `a response that has failed has the code of its error`() {
    let payload = #"{"type":"response.failed","response":{"id":"r","error":{"code":"server_error","message":"no"}}}"#
    #expect(name("event: response.failed\ndata: \(payload)\n\n", .openaiResponses) == "server_error")
  }

  @Test func `a bare error has its name too`() {
    #expect(name("{\"error\":{\"type\":\"overloaded_error\"}}\n\n") == "overloaded_error")
  }

  @Test(arguments: [
    "no JSON", "{}", "{\"error\":", "{\"type\":\"error\"}", "{\"error\":{}}", "{\"error\":[{\"type\":\"x\"}]}",
    "{\"error\":\"what a user wrote\"}", "{\"error\":{\"type\":\"a\\\"b\"}}", "{\"type\":\"a<b\"}", "{\"type\":\"ä\"}",
    "{\"type\":\"\(String(repeating: "x", count: 65))\"}", "{\"type\":true}", "{\"code\":null}",
    "{\"message\":\"{\\\"type\\\":\\\"x\\\"}\"}", "{\"error\":{\"error\":{\"error\":{\"type\":\"x\"}}}}",
    "{\"x\":\"\(String(repeating: "x", count: 5000))\",\"type\":\"late\"}",
  ])
  func `what is no name is none`(payload: String) {
    #expect(name("event: error\ndata: \(payload)\n\n") == "")
  }

  @Test func `the last error that has a name gives it`() {
    let first = "event: error\ndata: {\"type\":\"first\"}\n\n"
    #expect(name(first + "event: error\ndata: {\"type\":\"second\"}\n\n") == "second")
    #expect(name(first + "event: error\ndata: x\n\n") == "first")
    #expect(name("data: {\"type\":\"token\"}\n\n") == "", "of an event that is no error there is none")
  }

  @Test func `no payload breaks the search for a name`() {
    let alphabet = Array("{}[]\":,\\ tedn0-\ntype".utf8)
    for seed in 0..<3000 {
      var random = SeededGenerator(seed: UInt64(seed))
      var payload = Array("event: error\ndata: {".utf8)
      for _ in 0..<random.below(80) {
        switch random.below(5) {
        case 0: payload += Array(random.pick(["\"type\"", "\"error\"", "\"code\"", "{", "\\\"", "-1"]).utf8)
        default: payload.append(random.chance(90) ? random.pick(alphabet) : UInt8(random.below(256)))
        }
      }
      _ = Play()(.graceful, EventSamples.pieces(payload, using: &random))
    }
  }
}
