/// An id of a gateway: 22 characters, a dot, the number of the event.
struct GatewayID: Equatable {
  var stream: Substring
  var number: Int

  init?(_ text: String) {
    guard let dot = text.lastIndex(of: ".") else { return nil }
    let name = text[..<dot]
    let digits = text[text.index(after: dot)...].utf8
    let isName = name.utf8.allSatisfy { byte in
      switch byte {
      case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x5F: true
      default: false
      }
    }
    guard name.utf8.count == 22, isName, (1...15).contains(digits.count),
      digits.allSatisfy({ (0x30...0x39).contains($0) }), let number = Int(String(digits) ?? "")
    else { return nil }
    stream = name
    self.number = number
  }
}

/// What one event means: the backend's own, the gateway's, or a terminal.
struct Meaning {
  enum Kind { case event, end, error, reset, ready }
  enum Terminal { case soft, hard }

  /// `event` is the backend's; all others are the gateway's.
  var kind: Kind
  var payload: [String: JSONValue]?
  /// This event says that the answer is over.
  var terminal: Terminal?
  /// The terminal is one of failure.
  var failed = false
  /// The backend reports an error.
  var isError = false
}

/// Knows the completion events of one stream.
struct Classifier {
  private static let hard: Set<String> = [
    "message_stop", "response.completed", "response.incomplete", "response.failed",
  ]

  private let soft: Set<String>
  private let words: [String]

  init(completionEvents: [String]) {
    soft = Set(completionEvents)
    words = soft.union(Self.hard).union(["stream_end", "error"]).map { "\"\($0)\"" }
  }

  /// Says what a block with data is. `streamID` is the one of the response.
  func classify(_ block: EventParser.Block, graceful: Bool, streamID: String?) -> Meaning {
    let data = block.data ?? ""
    var payload: [String: JSONValue]?
    var kind = block.type
    // Most events are not parsed: no word of interest is in them, and none that is written with escapes.
    if kind.isEmpty, words.contains(where: { data.utf8Contains($0) }) || data.utf8Contains("\\u") {
      payload = JSONValue.object(in: data)
      kind = payload?["type"]?.string ?? ""
    }
    return own(kind, payload, block, graceful, streamID) ?? backend(kind, payload, data)
  }

  private func own(
    _ kind: String, _ parsed: [String: JSONValue]?, _ block: EventParser.Block, _ graceful: Bool, _ streamID: String?
  ) -> Meaning? {
    // The gateway names its events; for `stream_end` the type in the data does, too.
    let isWanted = kind == "stream_end" || graceful && ["error", "stream_reset", "control"].contains(block.type)
    guard isWanted, !graceful || block.id == nil, let payload = parsed ?? JSONValue.object(in: block.data ?? "")
    else { return nil }
    // A gateway behind the gateway says the same of its own stream: that is one of the backend's events.
    if graceful, let streamID, let about = payload["streamId"]?.string, about != streamID { return nil }
    let type = payload["type"]?.string
    switch kind {
    case "stream_end": return type == "stream_end" ? Meaning(kind: .end, payload: payload) : nil
    case "error": return payload["source"]?.string == "gateway" ? Meaning(kind: .error, payload: payload) : nil
    case "stream_reset": return type == "stream_reset" ? Meaning(kind: .reset, payload: payload) : nil
    default:
      let isOurs = type == "prompt_ready" || payload["source"]?.string == "gateway"
      let isThis = streamID != nil && payload["streamId"]?.string == streamID
      return isOurs && isThis ? Meaning(kind: .ready, payload: payload) : nil
    }
  }

  private func backend(_ kind: String, _ payload: [String: JSONValue]?, _ data: String) -> Meaning {
    var meaning = Meaning(kind: .event, payload: payload)
    if data == "[DONE]" || Self.hard.contains(kind) {
      meaning.terminal = .hard
      meaning.failed = kind == "response.failed"
    } else if soft.contains(kind) {
      meaning.terminal = .soft
    }
    meaning.isError = kind == "error" || kind.isEmpty && payload?["error"]?.isTruthy == true
    return meaning
  }
}

extension String {
  /// Whether the bytes of another text are in this one.
  func utf8Contains(_ text: String) -> Bool {
    let wanted = Array(text.utf8)
    guard let first = wanted.first else { return true }
    var rest = utf8[...]
    while let at = rest.firstIndex(of: first) {
      if rest[at...].starts(with: wanted) { return true }
      rest = rest[rest.index(after: at)...]
    }
    return false
  }
}
