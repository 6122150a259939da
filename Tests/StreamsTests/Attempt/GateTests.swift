import Bytes
import EventSamples
import SSE
import Streams
import Testing

/// What a gate made of a body.
struct GatePlay: Equatable {
  var verdict = Gate.Verdict.holding
  /// Bytes taken in when the verdict fell; one more than all when it fell at the end.
  var place = 0
  var held: [UInt8] = []

  init(_ pieces: [[UInt8]], _ end: UpstreamEnd?, _ gate: consuming Gate) {
    for piece in pieces where verdict == .holding {
      verdict = gate.receive(piece.span)
      place += piece.count
    }
    if verdict == .holding, let end {
      verdict = gate.ended(end)
      place += 1
    }
    gate.withHeld { held = [UInt8](copying: $0) }
  }
}

struct GateTests {
  private func play(
    _ text: String, _ condition: GateCondition, _ dialect: Dialect, _ end: UpstreamEnd? = nil, limit: Int = 64 << 10
  ) -> Gate.Verdict {
    let bytes = Array(text.utf8)
    func gate() -> Gate {
      Gate(condition: condition, classifier: EventClassifier(dialect: dialect), limit: limit)
    }
    let whole = GatePlay([bytes], end, gate())
    #expect(whole.held == bytes, "what came is what is held")
    let single = GatePlay(bytes.map { [$0] }, end, gate())
    #expect(single.verdict == whole.verdict, "byte by byte: \(text)")
    for cut in 0...bytes.count {
      let split = GatePlay([Array(bytes[..<cut]), Array(bytes[cut...])], end, gate())
      #expect(split.verdict == whole.verdict, "cut at \(cut): \(text)")
      #expect(split.held == Array(bytes.prefix(split.held.count)), "cut at \(cut): \(text)")
    }
    return whole.verdict
  }

  /// A beginning that says nothing, the first content, and what the dialect is called.
  static let dialects: [(dialect: Dialect, preamble: String, content: String)] = [
    (
      .openai,
      """
      data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant",\
      "content":"","refusal":null},"finish_reason":null}]}\n\n
      """, "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"},\"finish_reason\":null}]}\n\n"
    ),
    (
      .openaiResponses,
      """
      event: response.created\ndata: {"type":"response.created","response":{"id":"r","error":null}}\n
      event: response.in_progress\ndata: {"type":"response.in_progress"}\n
      event: response.output_item.added\ndata: {"type":"response.output_item.added"}\n\n
      """,
      "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"Hi\"}\n\n"
    ),
    (
      .anthropic,
      """
      event: message_start\ndata: {"type":"message_start","message":{"content":[]}}\n
      event: content_block_start\ndata: {"type":"content_block_start","content_block":{"type":"text","text":""}}\n
      event: ping\ndata: {"type":"ping"}\n\n
      """,
      """
      event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"type":"text_delta","text":"Hi"}}\n\n
      """
    ),
    (.generic, ": hello\n\nevent: status\ndata: {\"state\":\"queued\"}\n\n", "data: {\"text\":\"Hi\"}\n\n"),
  ]

  private func forEachDialect(_ body: (Dialect, _ preamble: String, _ content: String) -> Void) {
    for (dialect, preamble, content) in Self.dialects {
      body(dialect, preamble, content)
      body(.auto, preamble, content)
    }
  }

  @Test func `the first token opens it, the preamble does not`() {
    forEachDialect { dialect, preamble, content in
      #expect(play(preamble, .firstToken, dialect) == .holding)
      #expect(play(preamble + content, .firstToken, dialect) == .open)
      #expect(play(content, .firstToken, dialect) == .open)
    }
  }

  @Test func `the first event opens it, a comment does not`() {
    forEachDialect { dialect, preamble, content in
      #expect(play(preamble + content, .firstEvent, dialect) == .open)
      #expect(play(preamble, .firstEvent, dialect) == .open)
      #expect(play(": thinking\n\nid: 4\n\nretry: 5\n\n:\n", .firstEvent, dialect) == .holding)
      #expect(play("id: 1\ndata:\n\n", .firstEvent, dialect) == .holding, "nothing is said by an empty event")
    }
  }

  @Test func `without a condition the first byte opens it`() {
    #expect(play("x", .head, .auto) == .open)
    #expect(play("", .head, .auto, .clean) == .failed(.emptyBody))
  }

  @Test func `an error before the first content is a failure`() {
    let errors = [
      "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n",
      "event: error\ndata: no\n\n", "data: {\"type\":\"error\",\"message\":\"no\"}\n\n",
      "data: {\"error\":{\"message\":\"no\",\"code\":429}}\n\n", "data:  { \"error\" : \"no\" }\n\n",
      "event: x\ndata: {\"error\":\"no\"}\n\n",
    ]
    forEachDialect { dialect, preamble, content in
      for error in errors {
        #expect(play(preamble + error + content, .firstToken, dialect) == .failed(.errorEvent))
        #expect(play(": hello\n\n" + error, .firstEvent, dialect) == .failed(.errorEvent))
        #expect(play(content + error, .firstToken, dialect) == .open, "too late")
      }
      let failed = "event: response.failed\ndata: {\"type\":\"response.failed\"}\n\n"
      guard dialect == .openaiResponses || dialect == .auto else { return }
      #expect(play(preamble + failed, .firstToken, dialect) == .failed(.errorEvent))
    }
  }

  @Test func `errors that are none do not fail it`() {
    for text in [
      "data: {\"error\":null,\"text\":\"a\"}\n\n", "data: {\"text\":\"error\"}\n\n", "data: {\"a\":{\"error\":1}}\n\n",
    ] {
      #expect(play(text, .firstToken, .generic) == .open)
    }
  }

  @Test func `a JSON body in the place of a stream is recognised`() {
    for condition in [GateCondition.firstEvent, .firstToken] {
      for dialect in Dialect.allCases {
        for text in [
          "{\"error\":{\"message\":\"no\"}}", "{\"error\":\"no\"}\n", "\u{FEFF}\r\n {\"error\":[1]}",
          "{\n  \"object\": \"error\",\n  \"error\": {\n    \"code\": 500\n  }\n}\n\n",
        ] {
          #expect(play(text, condition, dialect) == .failed(.errorEvent), "before its end")
        }
        for text in [
          "{}", "{\"choices\":[]}", "{\"error\":{}}", "{\"error\":null}", "{\"error\":", "{\"error\":{", "{",
        ] {
          #expect(play(text, condition, dialect) == .holding)
          #expect(play(text, condition, dialect, .clean) == .failed(.wrongContentType))
        }
        let late = ": working\n\n{\"error\":{\"message\":\"no\"}}"
        #expect(play(late, condition, dialect) == .holding)
        #expect(play(late + "\n\n", condition, dialect) == .failed(.errorEvent))
        #expect(play(late, condition, dialect, .clean) == .failed(.errorEvent))
      }
    }
  }

  @Test func `a body that ends before its content is a failure, unless it said that it is done`() {
    forEachDialect { dialect, preamble, content in
      for text in ["", "\n", "\u{FEFF}", ": hello\n\n", ": hello", "id: 4\n\n"] {
        #expect(play(text, .firstEvent, dialect, .clean) == .failed(.emptyBody))
        #expect(play(text, .firstToken, dialect, .clean) == .failed(.emptyBody))
      }
      #expect(play(preamble, .firstToken, dialect, .clean) == .failed(.noContent))
      #expect(play(preamble + String(content.dropLast()), .firstToken, dialect, .clean) == .open)
      #expect(play(preamble + String(content.dropLast(2)), .firstToken, dialect, .clean) == .open)
      for (fault, expected) in [
        (UpstreamFault.closedEarly, AttemptFault.cut), (.reset, .cut), (.timedOut, .timedOut),
        (.badFraming, .malformed(UpstreamFault.badFraming.rawValue)),
      ] {
        #expect(play(preamble, .firstToken, dialect, .cut(fault)) == .failed(expected))
        #expect(play("", .firstEvent, dialect, .cut(fault)) == .failed(expected))
        // The half event will never be whole.
        #expect(play(String(content.dropLast()), .firstToken, dialect, .cut(fault)) == .failed(expected))
      }
    }
    #expect(play("data: [DONE]\n\n", .firstToken, .openai) == .open)
    #expect(play("data: [DONE]", .firstToken, .openai, .clean) == .open)
    #expect(play("event: message_stop\ndata: {}\n\n", .firstToken, .anthropic) == .open)
    #expect(play("event: response.completed\ndata: {}\n\n", .firstToken, .openaiResponses) == .open)
    #expect(play("event: done\ndata: {}\n\n", .firstToken, .generic) == .open)
    #expect(play("event: done\ndata\n\n", .firstToken, .generic) == .open)
  }

  @Test func `more than may be held is let through`() {
    let preamble = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n"
    let classifier = EventClassifier(dialect: .openai)
    for limit in [0, 1, 40, 100, 1000] {
      let many = Array(String(repeating: preamble, count: 1 + limit / preamble.utf8.count).utf8)
      let pieces = many.map { [$0] }
      let split = GatePlay(pieces, nil, Gate(condition: .firstToken, classifier: classifier, limit: limit))
      #expect(split.verdict == .open && split.held.count == max(1, limit))
      let whole = GatePlay([many], nil, Gate(condition: .firstToken, classifier: classifier, limit: limit))
      #expect(whole.verdict == .open && whole.held == many)
    }
    let endless = Array(("data: " + String(repeating: "x", count: 5000)).utf8)
    let large = GatePlay([endless], nil, Gate(condition: .firstToken, classifier: classifier, limit: 4096))
    #expect(large.verdict == .open)
    let json = Array(("{\"text\":\"" + String(repeating: "x", count: 5000)).utf8)
    let document = GatePlay([json], nil, Gate(condition: .firstToken, classifier: classifier, limit: 4096))
    #expect(document.verdict == .failed(.wrongContentType))
  }

  @Test func `after its verdict it takes nothing in`() {
    var gate = Gate(condition: .firstEvent, classifier: EventClassifier(dialect: .auto), limit: 1000)
    let event = Array("data: x\n\n".utf8)
    #expect(gate.receive(event.span) == .open)
    #expect(gate.hasFirstEvent && gate.hasContent)
    #expect(gate.receive(event.span) == .open)
    #expect(gate.ended(.cut(.reset)) == .open)
    #expect(gate.heldBytes == event.count)
  }

  @Test func `it knows whether the first event has come`() {
    var gate = Gate(condition: .firstToken, classifier: EventClassifier(dialect: .anthropic), limit: 1000)
    func take(_ text: String) -> (Bool, Bool) {
      _ = gate.receive(Array(text.utf8).span)
      return (gate.hasFirstEvent, gate.hasContent)
    }
    #expect(take(": x\n\n") == (false, false))
    #expect(take("event: message_start\ndata: {}\n") == (false, false))
    #expect(take("\n") == (true, false))
    #expect(take("event: content_block_delta\ndata: {}\n\n") == (true, true))
  }

  @Test func `any sample stream with content is let through as it came`() {
    for seed in 0..<400 {
      var random = SeededGenerator(seed: UInt64(seed))
      let (_, preamble, content) = random.pick(Self.dialects)
      let stream = Array((preamble + content).utf8)
      let gate = Gate(condition: .firstToken, classifier: EventClassifier(dialect: .auto), limit: 64 << 10)
      let play = GatePlay(EventSamples.pieces(stream, using: &random), .clean, gate)
      #expect(play.verdict == .open)
      #expect(play.held == Array(stream.prefix(play.held.count)))
    }
  }
}
