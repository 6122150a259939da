package import Harness
internal import JSON

/// In whose words the scripted backend speaks, so that each client's own parser accepts its answer.
package enum MatrixDialect: String, CaseIterable, Sendable {
  /// Events of an application's own: tokens, then a completion event.
  case generic
  /// OpenAI's chat completions.
  case openai
  /// Anthropic's messages.
  case anthropic
  /// MCP's streamable HTTP: a call of a tool, its notifications, and its response.
  case mcp

  /// Whether the gateway knows its terminal. Otherwise a clean end is `incomplete` to it, and shield holds nothing back.
  var isKnownToGateway: Bool { self != .mcp }

  /// What comes before the first content.
  var opening: [ReceivedEvent] {
    guard self == .anthropic else { return [] }
    return [
      typed(
        "message_start",
        #""message":{"id":"m","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"#
          + #""usage":{"input_tokens":1,"output_tokens":1}}"#),
      typed("content_block_start", #""index":0,"content_block":{"type":"text","text":""}"#),
    ]
  }

  /// The piece of content with this number.
  func token(_ number: Int) -> ReceivedEvent { content("word\(number) ") }

  /// The terminal, and what this dialect sends before it.
  var completion: [ReceivedEvent] {
    switch self {
    case .generic: [ReceivedEvent(type: "complete", data: #"{"type":"complete"}"#)]
    case .openai: [ReceivedEvent(data: "[DONE]")]
    case .anthropic: [typed("content_block_stop", #""index":0"#), typed("message_stop", "")]
    case .mcp: [ReceivedEvent(data: #"{"jsonrpc":"2.0","id":1,"result":{"content":[],"isError":false}}"#)]
    }
  }

  /// An event that the backend sends after its terminal.
  func trailing(_ number: Int) -> ReceivedEvent {
    self == .generic ? ReceivedEvent(type: "usage", data: #"{"tokens":\#(number)}"#) : content("late\(number) ")
  }

  /// How this dialect says in the stream that the backend failed.
  var failure: ReceivedEvent {
    let error = #""error":{"type":"overloaded_error","message":"overloaded"}"#
    switch self {
    case .generic: return ReceivedEvent(type: "error", data: "{\(error)}")
    case .openai: return ReceivedEvent(data: "{\(error)}")
    case .anthropic: return typed("error", error)
    case .mcp:
      return ReceivedEvent(data: #"{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"overloaded"}}"#)
    }
  }

  /// Whether clients of this dialect take the event for the end of the answer.
  func isTerminal(_ event: ReceivedEvent) -> Bool { completion.last == event }

  /// What the dialect's own SDK hands its caller of an event; `nil` when it hands over nothing.
  package func text(of event: ReceivedEvent) -> String? {
    guard let data = try? JSONValue(parsing: event.data) else { return nil }
    switch self {
    case .generic: return event.data
    case .openai: return data["choices"]?.array?.first?["delta"]?["content"]?.string
    case .anthropic: return data["delta"]?["text"]?.string
    case .mcp: return data["params"]?["data"]?.string
    }
  }

  /// A piece of content.
  func content(_ text: String) -> ReceivedEvent {
    switch self {
    case .generic:
      ReceivedEvent(type: "token", data: #"{"text":"\#(text)"}"#)
    case .openai:
      ReceivedEvent(
        data: #"{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":"#
          + #"[{"index":0,"delta":{"content":"\#(text)"}}]}"#)
    case .anthropic:
      typed("content_block_delta", #""index":0,"delta":{"type":"text_delta","text":"\#(text)"}"#)
    case .mcp:
      ReceivedEvent(
        data: #"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"\#(text)"}}"#)
    }
  }

  private func typed(_ type: String, _ members: String) -> ReceivedEvent {
    let rest = members.isEmpty ? "" : "," + members
    return ReceivedEvent(type: type, data: #"{"type":"\#(type)"\#(rest)}"#)
  }
}
