import Bytes
import EventSamples
import SSE
import Streams
import Testing
import Time

struct EventContentTests {
  private func bearsContent(_ text: String, _ dialect: Dialect) -> Bool {
    let bytes = Array((text + "\n\n").utf8)
    var parser = EventParser(limit: 1 << 20)
    var offset = 0
    guard case .event(let event) = parser.next(in: bytes.span, at: &offset) else { return false }
    return EventClassifier(dialect: dialect).bearsContent(event, in: bytes.span)
  }

  private func bears(_ text: String, _ expected: Bool, in dialects: [Dialect]) {
    for dialect in dialects { #expect(bearsContent(text, dialect) == expected, "\(text) in \(dialect)") }
  }

  @Test func `a chat completion's chunk bears content when its delta says more than the role`() {
    for delta in [
      #"{"content":"Hi"}"#, #"{"role":"assistant","content":"Hi"}"#, #"{"content":null,"tool_calls":[{"index":0}]}"#,
      #"{"refusal":"I can't"}"#, #"{"reasoning_content":"so"}"#, #"{"reasoning":"so"}"#, #"{"content":" "}"#,
      #"{"function_call":{"name":"f"}}"#, #"{"content":["part"]}"#, #"{"audio":{"id":"a"}}"#,
      #"{ "role" : "assistant" , "content" : "\"" }"#,
    ] {
      bears("data: {\"choices\":[{\"index\":0,\"delta\":\(delta)}]}", true, in: [.openai, .auto])
      bears("data: {\"choices\":[{\"delta\":{}},{\"delta\":\(delta)}]}", true, in: [.openai, .auto])
      bears(
        "data: {\"a\":[{\"x\":\"}\"}],\"choices\":[\ndata: {\"delta\":\ndata:\(delta)}]}", true, in: [.openai, .auto])
      bears("data: {\"x\":1,\ndata:\ndata: \"choices\":[{\"delta\":\(delta)}]}", true, in: [.openai, .auto])
    }
    for delta in [
      "{}", "null", "[]", "\"\"", #"{"role":"assistant"}"#, #"{"role":"assistant","content":""}"#,
      #"{"role":"assistant","content":null,"refusal":null,"tool_calls":[],"audio":{}}"#, #"{"content":false}"#,
      #"{"content""#, #"{"content":"#,
    ] {
      bears(
        "data: {\"choices\":[{\"index\":0,\"delta\":\(delta),\"finish_reason\":null}]}", false, in: [.openai, .auto])
    }
    for payload in [#"{"choices":[]}"#, #"{"choices":null}"#, #"{"choices":[],"prompt_filter_results":[{}]}"#, "{}"] {
      bears("data: \(payload)", false, in: [.openai])
    }
  }

  @Test func `a choice that has come to its end, and a text, are content`() {
    bears(#"data: {"choices":[{"delta":{},"finish_reason":"content_filter"}]}"#, true, in: [.openai, .auto])
    bears(#"data: {"choices":[{"index":0,"text":"Hi","logprobs":null}]}"#, true, in: [.openai, .auto])
    bears(#"data: {"choices":[{"index":0,"text":"","finish_reason":null}]}"#, false, in: [.openai, .auto])
  }

  @Test func `parts of a response are content, its announcements are not`() {
    let dialects: [Dialect] = [.openaiResponses, .auto]
    for type in [
      "output_text.delta", "reasoning_summary_text.delta", "function_call_arguments.delta", "refusal.delta",
      "audio.delta", "output_text.done", "output_item.done",
    ] {
      bears("event: response.\(type)\ndata: {}", true, in: dialects)
      bears("data: {\"type\":\"response.\(type)\",\"delta\":\"x\"}", true, in: dialects)
      bears("event: message\ndata: {\"type\":\"response.\(type)\"}", true, in: dialects)
    }
    for type in ["created", "queued", "in_progress", "output_item.added", "content_part.added", "delta.x", ""] {
      bears("event: response.\(type)\ndata: {\"type\":\"response.\(type)\"}", false, in: dialects)
      bears("data: {\"sequence_number\":0,\"type\":\"response.\(type)\"}", false, in: dialects)
    }
  }

  @Test func `blocks of a message are content, their announcements are not`() {
    let dialects: [Dialect] = [.anthropic, .auto]
    for type in ["content_block_delta", "content_block_stop", "message_delta"] {
      bears("event: \(type)\ndata: {\"type\":\"\(type)\"}", true, in: dialects)
      bears("data: {\"type\":\"\(type)\"}", true, in: dialects)
    }
    for type in ["message_start", "content_block_start", "ping"] {
      bears("event: \(type)\ndata: {\"type\":\"\(type)\"}", false, in: dialects)
      bears("data: {\"type\":\"\(type)\"}", false, in: dialects)
    }
  }

  @Test func `of an unknown backend everything is content but signs of life`() {
    let dialects: [Dialect] = [.generic, .auto]
    for text in [
      "data: x", "data: {}", "data: [1]", "data: {\"a\":1}", "event: delta\ndata: {\"a\":1}", "event: token\ndata: x",
      "data: {\"type\":\"delta\"}", "event: message\ndata: x", "data: {\"type\":5}", "data: {\"type\":",
    ] {
      bears(text, true, in: dialects)
    }
    for type in ["ping", "heartbeat", "keepalive", "connected", "open", "start", "status", "control", "metadata"] {
      bears("event: \(type)\ndata: x", false, in: dialects)
      bears("event: \(type)\ndata: {}", false, in: dialects)
      bears("data: {\"type\":\"\(type)\"}", false, in: dialects)
    }
    bears("data:", false, in: Dialect.allCases)
    bears("id: 4", false, in: Dialect.allCases)
    bears(": {\"choices\":[{\"text\":\"a\"}]}", false, in: Dialect.allCases)
    bears("data: [DONE]", false, in: Dialect.allCases)
  }

  @Test func `a dialect's own streams have nothing but JSON`() {
    bears("data: hello", false, in: [.openai, .openaiResponses, .anthropic])
    bears("data: {\"choices\":[{\"text\":\"a\"}]}", false, in: [.openaiResponses, .anthropic])
  }

  @Test func `no payload breaks the search for content`() {
    let alphabet = Array("{}[]\":,\\ tn0\ndata:".utf8)
    let words = [
      "\"choices\":[", "{\"delta\":{", "\"content\":\"", "\"type\":\"", "\n", "\ndata:", "\r\n", "null", "}]",
    ]
    for seed in 0..<5000 {
      var random = SeededGenerator(seed: UInt64(seed))
      var text = "data: {"
      for _ in 0..<random.below(60) {
        text += random.chance(50) ? random.pick(words) : String(Unicode.Scalar(random.pick(alphabet)))
      }
      for dialect in Dialect.allCases { _ = bearsContent(text, dialect) }
    }
  }

  @Test func `the time to the first token is that of the first event with content`() {
    let started = MonotonicTime(nanoseconds: 5_000_000_000)
    let recorder = RecordingReader()
    let feed = EventFeed(id: Play.stream, classifier: EventClassifier(dialect: .anthropic), eventLimit: 1 << 20)
    var timeline = AttemptTimeline(startedAt: started)
    timeline.headAt = started + .milliseconds(20)
    var out = Play.buffer()
    let events = [
      ": comment\n\n", "event: message_start\ndata: {\"type\":\"message_start\"}\n\n", "event: ping\ndata: {}\n\n",
      "event: content_block_delta\ndata: {\"type\":\"content_block_delta\"}\n\n",
      "event: content_block_delta\ndata: {\"type\":\"content_block_delta\"}\n\n",
      "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    ]
    for (number, event) in events.enumerated() {
      let before = feed.events
      _ = feed.receive(Array(event.utf8).span, for: recorder, into: &out)
      guard feed.events > before else { continue }
      timeline.eventsCame(bearsContent: feed.hasContent, at: started + .milliseconds(100 * (number + 1)))
    }
    #expect(timeline.milliseconds(.connect) == nil && timeline.milliseconds(.tls) == nil)
    #expect(timeline.milliseconds(.head) == 20)
    #expect(timeline.milliseconds(.firstEvent) == 200)
    #expect(timeline.milliseconds(.firstToken) == 400)
    #expect(timeline.milliseconds(.lastEvent) == 600)
  }

  @Test func `an error is an event, and no content`() {
    for (dialect, text) in [
      (Dialect.generic, "event: error\ndata: {\"type\":\"error\"}\n\n"), (.auto, "data: {\"error\":\"no\"}\n\n"),
    ] {
      let feed = EventFeed(id: Play.stream, classifier: EventClassifier(dialect: dialect), eventLimit: 1 << 20)
      var out = Play.buffer()
      _ = feed.receive(Array(text.utf8).span, for: RecordingReader(), into: &out)
      #expect(feed.events == 1 && !feed.hasContent)
    }
  }
}
