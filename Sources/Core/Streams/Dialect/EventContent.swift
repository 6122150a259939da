import Bytes
package import SSE

/// What an event says of its response before any content has come. Not asked for afterwards: it costs more than a mark.
extension EventClassifier {
  /// Whether `event` bears content: something that its client will show, run or store. What comes before it (roles,
  /// ids, echoes of the request, pings) does not: a backend that sent no more than that may still fail.
  package func bearsContent(_ event: Event, in bytes: Span<UInt8>) -> Bool {
    guard event.isDispatched, !event.data.isEmpty else { return false }
    let type = bytes.extracting(event.type)
    let isTyped = !type.isEmpty && !type.equals("message")
    let payload = bytes.extracting(event.data.lowerBound..<event.blankLine)
    var cursor = PayloadCursor(payload)
    guard cursor.enterObject() else {
      // No dialect but these sends anything else than JSON, but for `[DONE]`.
      guard dialect == .generic || dialect == .auto else { return false }
      return !payload.hasPrefix("[DONE]") && !(isTyped && Self.isPreamble(type))
    }
    if isTyped, !readsChoices { return bearsContent(type: type) }
    while let name = cursor.nextMember() {
      let member = payload.extracting(name)
      if readsChoices, member.equals("choices") { return Self.choicesBearContent(&cursor, payload) }
      if !isTyped, member.equals("type"), let value = cursor.string() {
        // With a type of its own it is no chat completion.
        return bearsContent(type: payload.extracting(value))
      }
      _ = cursor.skipValue()
    }
    if isTyped { return bearsContent(type: type) }
    return dialect == .generic || dialect == .auto
  }

  private var readsChoices: Bool { dialect == .openai || dialect == .auto }

  /// Whether events of this type bear content.
  private func bearsContent(type: Span<UInt8>) -> Bool {
    switch dialect {
    case .openai, .openaiResponses: return Self.isResponseContent(type)
    case .anthropic: return Self.isMessageContent(type)
    case .generic: return !Self.isPreamble(type)
    case .auto:
      if type.hasPrefix("response.") { return Self.isResponseContent(type) }
      if type.hasPrefix("message_") || type.hasPrefix("content_block_") { return Self.isMessageContent(type) }
      return !Self.isPreamble(type)
    }
  }

  /// OpenAI responses: a part of something, or something as a whole.
  private static func isResponseContent(_ type: Span<UInt8>) -> Bool {
    type.hasPrefix("response.") && (type.hasSuffix(".delta") || type.hasSuffix(".done"))
  }

  /// Anthropic: a part of a block, the end of one (some have no parts), or the end of the answer.
  private static func isMessageContent(_ type: Span<UInt8>) -> Bool {
    type.equals("content_block_delta") || type.equals("content_block_stop") || type.equals("message_delta")
  }

  /// Signs of life, and what a run tells of itself before its first result.
  private static func isPreamble(_ type: Span<UInt8>) -> Bool {
    type.equals("ping") || type.equals("heartbeat") || type.equals("keepalive") || type.equals("open")
      || type.equals("connected") || type.equals("start") || type.equals("status") || type.equals("control")
      || type.equals("metadata")
  }

  /// OpenAI chat: whether one of the choices says something in its delta besides its role, or has come to its end.
  private static func choicesBearContent(_ cursor: inout PayloadCursor, _ payload: Span<UInt8>) -> Bool {
    guard cursor.enterArray() else { return false }
    while cursor.nextElement() {
      guard cursor.enterObject() else { return false }
      while let name = cursor.nextMember() {
        let member = payload.extracting(name)
        if member.equals("delta") {
          if deltaBearsContent(&cursor, payload) { return true }
        } else {
          let saysSomething = cursor.skipValue()
          // `text` is that of the older completions.
          if saysSomething, member.equals("text") || member.equals("finish_reason") { return true }
        }
      }
    }
    return false
  }

  private static func deltaBearsContent(_ cursor: inout PayloadCursor, _ payload: Span<UInt8>) -> Bool {
    guard cursor.enterObject() else {
      _ = cursor.skipValue()
      return false
    }
    while let name = cursor.nextMember() {
      // Backends have many names for what they say (content, refusal, tool_calls, reasoning): all but the role counts.
      let isRole = payload.extracting(name).equals("role")
      if cursor.skipValue(), !isRole { return true }
    }
    return false
  }

  /// Whether `event` says that the backend has failed, as far as that can be said before any content: in every dialect
  /// an `error` member is one.
  func reportsFailure(_ event: Event, in bytes: Span<UInt8>, mark: EventMark) -> Bool {
    if mark.contains(.error) { return true }
    guard event.isDispatched else { return isBareError(event, in: bytes) }
    let payload = bytes.extracting(event.data.lowerBound..<event.blankLine)
    return payload.trimmed.hasPrefix("{") && PayloadSketch(payload, seeking: .error).hasError
  }

  /// Whether a block is no event but the JSON text of an error, which some backends put into a stream as it is. No
  /// client sees it there.
  func isBareError(_ event: Event, in bytes: Span<UInt8>) -> Bool {
    guard event.fields == .other else { return false }
    let block = bytes.extracting(event.range)
    return block.hasPrefix("{") && PayloadSketch(block, seeking: .error).hasError
  }
}

extension Span where Element == UInt8 {
  fileprivate func hasSuffix(_ text: StaticString) -> Bool {
    let length = text.utf8CodeUnitCount
    return count >= length && extracting(droppingFirst: count - length).equals(text)
  }
}
