import Harness
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// What the protocols of agents and language models ask and answer, on every kind of route.
  @Suite struct Protocols {
    private typealias Through = PassThrough

    private static func json(_ text: String, status: Int = 200) -> Script {
      Through.script(
        status, .length(nil), [("Content-Type", "application/json"), ("Mcp-Session-Id", "s1")], Array(text.utf8))
    }

    private static func post(_ target: String, _ accept: String?, _ body: String, _ more: [Script.Field] = [])
      -> ClientRequest
    {
      var fields = [Script.Field("Content-Type", "application/json")] + more
      if let accept { fields.append(Script.Field("Accept", accept)) }
      return ClientRequest("POST", target, fields: fields, body: Array(body.utf8))
    }

    // MARK: MCP, streamable HTTP

    /// A server that answers by what it is sent.
    @Sendable private static func mcp(_ request: RecordedRequest) -> Script {
      let body = String(decoding: request.body, as: UTF8.self)
      switch request.method {
      case "GET", "DELETE":
        return Through.script(
          request.method == "GET" ? 405 : 204, .length(0), [("Allow", "POST, DELETE")], [])
      case _ where body.contains("notifications/"):
        return Through.script(202, .length(0), [("Mcp-Session-Id", "s1")], [])
      case _ where body.contains("tools/call"):
        return Script([
          .head(), .event("message", #"{"method":"notifications/progress"}"#), .pause(.milliseconds(10)),
          .event("message", #"{"id":2,"result":{}}"#), .end,
        ])
      case _ where body.contains("bad"): return json(#"{"error":{"code":-32600}}"#, status: 400)
      default: return json(#"{"jsonrpc":"2.0","id":1,"result":{}}"#)
      }
    }

    @Test(arguments: Through.variants)
    func `MCP's calls, notifications and streams get their answers, and each is made once`(
      variant: String
    ) async throws {
      let both = "application/json, text/event-stream"
      try await Through.with(variant, dialect: "generic", Self.mcp) { world, route in
        let path = "/\(route)/mcp"
        let session =
          Through.preference(variant) + [
            Script.Field("Mcp-Session-Id", "s1"), Script.Field("MCP-Protocol-Version", "2025-06-18"),
          ]
        let begun = await world.send(Self.post(path, both, #"{"id":1,"method":"initialize"}"#))
        #expect(begun.status == 200 && begun.head.value("Mcp-Session-Id") == "s1", "\(route)")
        #expect(begun.text == #"{"jsonrpc":"2.0","id":1,"result":{}}"#)
        let told = await world.send(Self.post(path, both, #"{"method":"notifications/initialized"}"#, session))
        #expect(told.status == 202 && told.body.isEmpty && told.end == .clean, "\(route)")
        #expect(world.backend.requests.last?.head.value("MCP-Protocol-Version") == "2025-06-18")
        let called = await world.send(Self.post(path, both, #"{"id":2,"method":"tools/call"}"#, session))
        #expect(called.status == 200 && called.mode == variant && called.end == .clean, "\(route) \(called.end)")
        #expect(called.payloads == [#"{"method":"notifications/progress"}"#, #"{"id":2,"result":{}}"#], "\(route)")
        #expect(await world.send(Self.post(path, both, #"{"method":"bad"}"#)).status == 400)
        let listened = await world.fetch(path, fields: [.acceptsEvents] + session)
        #expect(listened.status == 405 && listened.head.value("Allow") == "POST, DELETE", "\(route)")
        #expect(await world.send(ClientRequest("DELETE", path, fields: session)).status == 204)
        #expect(world.backend.requests.count { $0.path == "/a" + path } == 6)
      }
    }

    // MARK: Language models

    private static let openAI = [
      #"{"choices":[{"delta":{"role":"assistant"}}]}"#, #"{"choices":[{"delta":{"content":"Hi"}}]}"#, "[DONE]",
    ]

    private static let anthropic = [
      ("message_start", #"{"type":"message_start"}"#), ("ping", #"{"type":"ping"}"#),
      ("content_block_delta", #"{"type":"content_block_delta","delta":{"type":"text_delta","text":"Hi"}}"#),
      ("message_stop", #"{"type":"message_stop"}"#),
    ]

    @Sendable private static func model(_ request: RecordedRequest) -> Script {
      let body = String(decoding: request.body, as: UTF8.self)
      guard body.contains("\"stream\":true") else { return json(#"{"id":"x","usage":{"total_tokens":3}}"#) }
      if request.path.hasSuffix("/chat/completions") { return .events(openAI) }
      return Script([.head()] + anthropic.map { .event($0.0, $0.1) } + [.end])
    }

    @Test(arguments: Through.variants, ["openai", "anthropic"])
    func `a model's answer comes whole, as a stream where one was asked for, whatever Accept says`(
      variant: String, dialect: String
    ) async throws {
      try await Through.with(variant, dialect: dialect, Self.model) { world, route in
        let path = "/\(route)/v1/" + (dialect == "openai" ? "chat/completions" : "messages")
        for accept in [nil, "*/*", "application/json", "text/event-stream"] {
          let plain = await world.send(Self.post(path, accept == "text/event-stream" ? nil : accept, #"{"model":"m"}"#))
          #expect(plain.status == 200 && plain.text == #"{"id":"x","usage":{"total_tokens":3}}"#, "\(route)")
          #expect(plain.mode == nil && plain.head.value("Content-Length") == "\(plain.body.count)")
          let no = await world.send(Self.post(path, accept, #"{"stream":false,"model":"m"}"#))
          #expect(no.status == 200 && no.mode == nil && no.text == plain.text, "\(route) \(accept ?? "")")
          let stream = await world.send(
            Self.post(path, accept, #"{"model":"m","stream":true}"#, Through.preference(variant)))
          #expect(stream.status == 200 && stream.mode == variant && stream.end == .clean, "\(route) \(accept ?? "")")
          #expect(stream.payloads == (dialect == "openai" ? Self.openAI : Self.anthropic.map(\.1)), "\(route)")
          #expect(variant != "graceful" || stream.outcome == "completed")
        }
        #expect(world.backend.requests.count { $0.path == "/a" + path } == 12)
      }
    }
  }
}
