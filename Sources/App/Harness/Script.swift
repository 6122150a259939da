package import Time

/// What a scripted backend does with one request, step by step.
///
/// ```
/// Script([.head(), .event("token", "a"), .pause(.milliseconds(20)), .event("complete", "{}"), .end])
/// ```
package struct Script: Sendable {
  package var steps: [Step]

  package init(_ steps: [Step]) {
    self.steps = steps
  }

  package indirect enum Step: Sendable {
    case head(Head)
    /// Bytes of the body, framed as the head said, in one write.
    case body([UInt8])
    /// Bytes on the wire as they are: broken heads, broken chunks, interim responses.
    case raw([UInt8])
    case pause(Nanoseconds)
    /// The steps `count` times, with a pause after each time.
    case repeated(count: Int, interval: Nanoseconds, [Step])
    /// Events of `size` bytes each that carry the time at which they were written, in one write.
    case stamped(size: Int, count: Int = 1)
    /// So many bytes of body without a line ending.
    case flood(Int)
    /// Bytes of the body in pieces, with a pause after each.
    case trickle([UInt8], piece: Int, interval: Nanoseconds)
    /// Waits until the client goes away.
    case stall
    case finish(End)
  }

  /// How a response ends. Only `clean` leaves the connection open for the next request.
  package enum End: String, CaseIterable, Sendable {
    /// As the framing wants it.
    case clean
    /// FIN without the last chunk, or before the announced length.
    case unterminated
    /// FIN in the middle of a chunk.
    case midChunk
    /// RST.
    case cut
    /// Closed at once: over TLS an end without notice (close_notify), which anyone on the way could have made.
    case unannounced
  }

  package enum Framing: Sendable, Equatable {
    case chunked
    /// The announced length; `nil` announces what the steps send.
    case length(Int?)
    case untilClose
  }

  package struct Head: Sendable {
    package var status: Int
    package var framing: Framing
    package var fields: [Field]

    package init(
      status: Int = 200, framing: Framing = .chunked,
      fields: [Field] = [Field("Content-Type", "text/event-stream"), Field("Cache-Control", "no-cache")]
    ) {
      self.status = status
      self.framing = framing
      self.fields = fields
    }
  }

  package struct Field: Sendable, Equatable {
    package var name: String
    package var value: String

    package init(_ name: String, _ value: String) {
      self.name = name
      self.value = value
    }
  }
}

extension Script.Step {
  package static func head() -> Self { .head(Script.Head()) }

  package static func body(_ text: String) -> Self { .body(Array(text.utf8)) }
  package static func raw(_ text: String) -> Self { .raw(Array(text.utf8)) }

  /// One event; a line of `data:` for each line of `data`.
  package static func event(_ type: String? = nil, _ data: String, id: String? = nil) -> Self {
    .body(Script.event(type, data, id: id))
  }

  package static func comment(_ text: String) -> Self { .body(":" + text + "\n") }

  package static var end: Self { .finish(.clean) }
  package static var cut: Self { .finish(.cut) }
}

extension Script {
  /// The bytes of one event.
  package static func event(_ type: String? = nil, _ data: String, id: String? = nil) -> [UInt8] {
    var text = ""
    if let id { text += "id: " + id + "\n" }
    if let type { text += "event: " + type + "\n" }
    for line in data.split(separator: "\n", omittingEmptySubsequences: false) { text += "data: " + line + "\n" }
    return Array((text + "\n").utf8)
  }

  /// An event stream that begins at once and ends cleanly.
  package static func events(_ data: [String]) -> Script {
    Script([.head()] + data.map { .event(nil, $0) } + [.end])
  }

  /// An ordinary response with its length.
  package static func plain(status: Int = 200, type: String = "text/plain", _ body: [UInt8]) -> Script {
    let head = Head(status: status, framing: .length(nil), fields: [Field("Content-Type", type)])
    return Script([.head(head), .body(body), .end])
  }

  /// The first bytes of the response, whatever they are, and then the end of the connection.
  package static func garbage(_ bytes: String) -> Script {
    Script([.raw(bytes), .finish(.unterminated)])
  }

  /// Bytes of body that all steps send together.
  package var bodyLength: Int { Self.bodyLength(of: steps) }

  private static func bodyLength(of steps: [Step]) -> Int {
    steps.reduce(0) { sum, step in
      switch step {
      case .body(let bytes): sum + bytes.count
      case .trickle(let bytes, _, _): sum + bytes.count
      case .stamped(let size, let count): sum + count * max(size, StampedEvent.minimumSize)
      case .flood(let count): sum + count
      case .repeated(let count, _, let inner): sum + count * bodyLength(of: inner)
      case .head, .raw, .pause, .stall, .finish: sum
      }
    }
  }
}
