import EventSamples
import Streams
import Testing

struct DialectTests {
  /// What the only event of `text` means in `dialect`.
  private func mark(_ text: String, _ dialect: Dialect) -> EventMark {
    let recorder = RecordingReader()
    _ = Play(dialect: dialect)(recorder, [Array((text + "\n\n").utf8)], .cut(.reset))
    return recorder.blocks.first?.mark ?? []
  }

  private func means(_ text: String, _ expected: EventMark, in dialects: Set<Dialect> = Set(Dialect.allCases)) {
    for dialect in Dialect.allCases {
      let found = mark(text, dialect)
      #expect(found == (dialects.contains(dialect) ? expected : []), "\(text) in \(dialect)")
    }
  }

  @Test func `completion events are told by their type, in the line or in the payload`() {
    for name in EventClassifier.defaultCompletionNames {
      means("event: \(name)\ndata: x", [.completion, .terminal])
      means("data: x\nevent: \(name)", [.completion, .terminal])
      means("data: {\"type\":\"\(name)\"}", [.completion, .terminal])
      means("event: message\ndata: {\"type\" : \"\(name)\"}", [.completion, .terminal])
      means("data:   {\"a\":[{\"type\":\"x\"}], \"type\":\t\"\(name)\"}", [.completion, .terminal])
      means("data: {\ndata:   \"type\": \"\(name)\"\ndata: }", [.completion, .terminal])
    }
  }

  @Test func `what only looks like a completion event is none`() {
    for text in [
      "event: done", "event: Done\ndata: x", "event: done \ndata: x", "event: donee\ndata: x", "data: done",
      "event: other\ndata: {\"type\":\"done\"}", "data: {\"a\":{\"type\":\"done\"}}", "data: [{\"type\":\"done\"}]",
      "data: {\"a\":\"type\",\"b\":\"done\"}", "data: {\"a\":\"\\\"type\\\":\\\"done\\\"\"}",
      "data: {\"type\":[\"done\"]}",
      "data: {\"type\":\"done", "data: {\"type\":", "data: {\"type\"", "data: {\"type", "data: {",
      "data: \"type\":\"done\"",
      "data: {}\"type\":\"done\"", "data: {\"a\\\\\":1,\"b\":{\"type\":\"done\"}}", "data:",
      "data: {\"type\":\"do\\u006ee\"}",
      "data: {\"x\":\"\(String(repeating: "y", count: 2000))\",\"type\":\"done\"}",
      "data: x\ndata: {\"type\":\"done\"}",
      "id: {\"type\":\"done\"}\ndata: x", "data: x\nid: {\"type\":\"done\"}",
    ] {
      means(text, [])
    }
  }

  @Test func `the terminal of OpenAI chat`() {
    let dialects: Set<Dialect> = [.openai, .auto]
    means("data: [DONE]", .terminal, in: dialects)
    means("data:[DONE]", .terminal, in: dialects)
    means("data: [DONE] ", .terminal, in: dialects)
    means("event: x\ndata: [DONE]", .terminal, in: dialects)
    means("data: [DONE", [])
    means("data:  [DONE]", [])
    for dialect in Dialect.allCases {
      #expect(mark("event: done\ndata: [DONE]", dialect).isSuperset(of: [.completion, .terminal]))
    }
  }

  @Test func `the terminals of OpenAI responses`() {
    let dialects: Set<Dialect> = [.openaiResponses, .auto]
    for (name, expected) in [
      ("completed", EventMark.terminal), ("incomplete", .terminal), ("failed", [.terminal, .error]), ("created", []),
      ("completed.x", []), ("", []),
    ] {
      means("event: response.\(name)\ndata: {}", expected, in: dialects)
      means("data: {\"type\":\"response.\(name)\",\"response\":{\"error\":null}}", expected, in: dialects)
    }
  }

  @Test func `the terminal of Anthropic`() {
    means("event: message_stop\ndata: {\"type\":\"message_stop\"}", .terminal, in: [.anthropic, .auto])
    means("data: {\"type\":\"message_stop\"}", .terminal, in: [.anthropic, .auto])
    means("event: message_delta\ndata: {\"type\":\"message_delta\"}", [])
    means("event: ping\ndata: {\"type\":\"ping\"}", [])
  }

  @Test func `errors in-band`() {
    means("event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}", .error)
    means("data: {\"type\":\"error\",\"message\":\"no\"}", .error)
    let openAI: Set<Dialect> = [.openai, .auto]
    for value in ["{\"message\":\"no\"}", "\"no\"", "true", "1", "[1]", " {\"a\":1}"] {
      means("data: {\"error\":\(value)}", .error, in: openAI)
      means("data: {\"id\":\"e\",\"t\":\"e\",\"error\":\(value)}", .error, in: openAI)
      means("event: x\ndata: {\"error\":\(value)}", .error, in: openAI)
    }
    for value in ["null", "false", "0", "\"\"", "{}", "[]", " null"] { means("data: {\"error\":\(value)}", []) }
    means("data: {\"choices\":[{\"error\":{}}]}", [])
    means("data: {\"a\":\"error\"}", [])
    means("data: {\"error\"", [])
    means("data: {\"error\":", [])
  }

  @Test func `completion events have the names of the route`() {
    let classifier = EventClassifier(dialect: .generic, completionNames: ["finished", ""])
    let feed = EventFeed(id: Play.stream, classifier: classifier, eventLimit: 1000)
    let recorder = RecordingReader()
    var out = Play.buffer()
    let text = "event: done\ndata: x\n\nevent:\ndata: y\n\nevent: finished\ndata: z\n\n"
    _ = feed.receive(Array(text.utf8).span, for: recorder, into: &out)
    #expect(recorder.blocks.map(\.mark) == [[], [], [.completion, .terminal]])
  }

  @Test func `no payload breaks the classifier`() {
    let alphabet = Array("{}[]\":,\\ tedn0\ntype".utf8)
    for seed in 0..<3000 {
      var random = SeededGenerator(seed: UInt64(seed))
      var payload = Array("data: {".utf8)
      for _ in 0..<random.below(80) {
        switch random.below(5) {
        case 0: payload += Array(random.pick(["\"type\"", "\"error\"", "\"done\"", ":", "\\\"", "\""]).utf8)
        default: payload.append(random.chance(90) ? random.pick(alphabet) : UInt8(random.below(256)))
        }
      }
      _ = Play()(.graceful, EventSamples.pieces(payload, using: &random))
    }
  }
}
