import Bytes
import SSE

/// Holds a response's body until it is known to be good, or bad.
package struct Gate: ~Copyable {
  package enum Verdict: Equatable, Sendable {
    /// Not known yet: the bytes are held.
    case holding
    /// It is good, or it is not known to be bad and more than may be held: what is held goes to the client.
    case open
    /// It is bad: nothing of it goes to the client.
    case failed(AttemptFault)
  }

  private let condition: GateCondition
  private let classifier: EventClassifier
  private let limit: Int
  private var parser: EventParser
  private var held = ByteBuffer()
  private var verdict = Verdict.holding
  private var shape = Shape.unknown
  /// The bytes in front of the first line that have been looked at.
  private var blanks = 0
  /// Whether the first event with data came.
  package private(set) var hasFirstEvent = false
  /// Whether an event came that bears content.
  package private(set) var hasContent = false

  private enum Shape {
    /// Nothing came but blanks.
    case unknown
    /// Something that may be an event stream.
    case events
    /// A JSON text: its first byte is `{`, with which no line of an event stream has a reason to begin.
    case json
  }

  /// - Parameter limit: the most bytes held; a response that reaches it unjudged is let through.
  package init(condition: GateCondition, classifier: EventClassifier, limit: Int) {
    self.condition = condition
    self.classifier = classifier
    self.limit = limit
    parser = EventParser(limit: max(limit, 16))
  }

  /// Bytes held now.
  package var heldBytes: Int { held.count }

  /// Lends what is held: the body from its first byte on.
  package borrowing func withHeld<Result: ~Copyable>(_ body: (Span<UInt8>) -> Result) -> Result {
    held.withSpan(body)
  }

  /// Takes in and keeps the next piece of the body. A verdict other than `holding` is the last one.
  package mutating func receive(_ bytes: Span<UInt8>) -> Verdict {
    guard verdict == .holding, !bytes.isEmpty else { return verdict }
    held.append(bytes)
    if condition == .head { return decide(.open) }
    if shape == .unknown { findShape() }
    if shape == .json {
      if PayloadSketch(held.span, seeking: .error).hasError { return decide(.failed(.errorEvent)) }
    } else {
      readEvents(in: bytes)
      if verdict != .holding { return verdict }
    }
    guard held.count >= limit else { return .holding }
    return decide(shape == .json ? .failed(.wrongContentType) : .open)
  }

  /// The body ended. The verdict is `open` or `failed`.
  package mutating func ended(_ end: UpstreamEnd) -> Verdict {
    guard verdict == .holding else { return verdict }
    switch end {
    case .cut(.badFraming): return decide(.failed(.malformed(UpstreamFault.badFraming.rawValue)))
    case .cut(.timedOut): return decide(.failed(.timedOut))
    case .cut(.closedEarly), .cut(.reset): return decide(.failed(.cut))
    case .clean: break
    }
    if shape == .json { return decide(.failed(.wrongContentType)) }
    // A backend that forgets the last blank line has said all the same what it had to say.
    if let event = parser.completePartial() {
      note(parser.withCarried { EventMeaning(event, $0, classifier) })
      if verdict != .holding { return verdict }
    }
    return decide(.failed(hasFirstEvent ? .noContent : .emptyBody))
  }

  private mutating func decide(_ verdict: Verdict) -> Verdict {
    self.verdict = verdict
    return verdict
  }

  private mutating func readEvents(in bytes: Span<UInt8>) {
    var offset = 0
    while verdict == .holding {
      switch parser.next(in: bytes, at: &offset) {
      case .needsMore, .tooLarge: return
      case .event(let event) where event.isCarried:
        note(parser.withCarried { EventMeaning(event, $0, classifier) })
      case .event(let event): note(EventMeaning(event, bytes, classifier))
      }
    }
  }

  private mutating func note(_ meaning: EventMeaning) {
    switch meaning {
    case .nothing: return
    case .failure:
      verdict = .failed(.errorEvent)
      return
    case .preamble: hasFirstEvent = true
    case .content, .terminal:
      hasFirstEvent = true
      hasContent = meaning == .content
    }
    if condition == .firstEvent || meaning != .preamble { verdict = .open }
  }

  /// What one event says of the response.
  private enum EventMeaning {
    /// No event with data.
    case nothing
    case failure
    case preamble
    case content
    /// The dialect's end: there is nothing better to come.
    case terminal

    init(_ event: Event, _ bytes: Span<UInt8>, _ classifier: EventClassifier) {
      let mark = classifier.mark(event, in: bytes)
      if classifier.reportsFailure(event, in: bytes, mark: mark) {
        self = .failure
      } else if mark.contains(.terminal) {
        self = .terminal
      } else if event.data.isEmpty {
        self = .nothing
      } else {
        self = classifier.bearsContent(event, in: bytes) ? .content : .preamble
      }
    }
  }

  /// Skips what may stand before the first line: blanks, and a byte order mark.
  private mutating func findShape() {
    (blanks, shape) = held.withSpan { [blanks] bytes in
      var index = blanks
      while index < bytes.count, Self.isBlank(bytes[index], at: index) { index += 1 }
      guard index < bytes.count else { return (index, .unknown) }
      return (index, bytes[index] == UInt8(ascii: "{") ? .json : .events)
    }
  }

  private static func isBlank(_ byte: UInt8, at index: Int) -> Bool {
    switch byte {
    case 0x20, 0x09, 0x0A, 0x0D: true
    case 0xEF, 0xBB, 0xBF: index < 3
    default: false
    }
  }
}
