import Bytes
package import SSE

/// The marks by which a backend's protocol says that its answer is done, or failed.
package enum Dialect: String, CaseIterable, Sendable {
  /// Any of the others: nothing is known of the backend.
  case auto
  /// Completion events alone.
  case generic
  /// OpenAI chat completions: `data: [DONE]`.
  case openai
  /// OpenAI responses: `response.completed`, `response.incomplete`, `response.failed`.
  case openaiResponses = "openai-responses"
  /// Anthropic messages: `message_stop`.
  case anthropic
}

/// What one event means for the end of its stream.
package struct EventMark: OptionSet, Sendable {
  package let rawValue: UInt8
  package init(rawValue: UInt8) { self.rawValue = rawValue }

  /// The event at which a client that can't be changed hangs up.
  package static let completion = EventMark(rawValue: 1)
  /// The dialect's own end. A completion event is one too.
  package static let terminal = EventMark(rawValue: 2)
  /// The backend reports a failure.
  package static let error = EventMark(rawValue: 4)
}

/// Reads the marks of events. Immutable, shared by all streams of a route.
package final class EventClassifier: Sendable {
  package let dialect: Dialect
  private let completionNames: [[UInt8]]

  package static let defaultCompletionNames = ["complete", "completion", "done"]

  /// - Parameter completionNames: the types of events that tell a client that the work is done.
  package init(dialect: Dialect, completionNames: [String] = EventClassifier.defaultCompletionNames) {
    self.dialect = dialect
    self.completionNames = completionNames.map { Array($0.utf8) }
  }

  /// What `event` means. A payload that is not what it should be means nothing: it is the client's business.
  package func mark(_ event: Event, in bytes: Span<UInt8>) -> EventMark {
    guard event.isDispatched else { return [] }
    // `message` is what clients call an event without a type.
    let type = bytes.extracting(event.type)
    let isTyped = !type.isEmpty && !type.equals("message")
    var mark = isTyped ? mark(type: type) : []
    // From the first line of data to the block's end: JSON may be spread over lines, and `data:` is none of it.
    let payload = bytes.extracting(event.data.lowerBound..<event.blankLine)
    let first = payload.isEmpty ? 0 : payload[0]
    if readsOpenAI, first == UInt8(ascii: "["), payload.hasPrefix("[DONE]") { return mark.union(.terminal) }
    // A type line says it all; without one, as many backends have it, the payload's own `type` counts.
    var members: PayloadSketch.Members = isTyped ? [] : .type
    if readsOpenAI, mark.isEmpty { members.insert(.error) }
    guard !members.isEmpty, first == UInt8(ascii: "{") || payload.trimmed.hasPrefix("{") else { return mark }
    let sketch = PayloadSketch(payload, seeking: members)
    mark.formUnion(self.mark(type: payload.extracting(sketch.type)))
    if sketch.hasError { mark.insert(.error) }
    return mark
  }

  private var readsOpenAI: Bool { dialect == .openai || dialect == .auto }

  private func mark(type: Span<UInt8>) -> EventMark {
    if type.isEmpty { return [] }
    for name in completionNames where type.equals(name.span) { return [.completion, .terminal] }
    if type.equals("error") { return .error }
    if dialect == .anthropic || dialect == .auto, type.equals("message_stop") { return .terminal }
    guard dialect == .openaiResponses || dialect == .auto, type.hasPrefix("response.") else { return [] }
    if type.equals("response.completed") || type.equals("response.incomplete") { return .terminal }
    return type.equals("response.failed") ? [.terminal, .error] : []
  }
}
