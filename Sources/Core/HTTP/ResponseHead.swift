import Bytes

/// The head of a response.
package struct ResponseHead: Sendable {
  /// 100 to 599.
  package let status: Int
  package let version: HTTPVersion
  package var fields: Fields
  package let connection: ConnectionOptions
  /// What the fields say about the body; ``BodyFraming/ofResponse(_:to:)`` says what is true.
  package let declaredFraming: BodyFraming
  private let reasonBytes: [UInt8]
  private let reasonRange: Range<Int>

  /// A head that did not come through ``ResponseHeadParser``; the reason phrase is the registered one.
  package init(status: Int, version: HTTPVersion = .http11, fields: Fields = Fields(), framing: BodyFraming) {
    self.status = status
    self.version = version
    self.fields = fields
    self.connection = ConnectionOptions()
    self.declaredFraming = framing
    self.reasonBytes = [UInt8](ReasonPhrase.of(status))
    self.reasonRange = 0..<reasonBytes.count
  }

  init(_ head: consuming CollectedHead<StatusLine>) throws(HTTP1Fault) {
    let line = head.line
    status = line.status
    version = line.version
    declaredFraming = try head.section.declaredFraming(version: line.version, in: head.bytes.span) ?? .untilClose
    connection = try ConnectionOptions(head.section, in: head.bytes.span, of: .response)
    fields = Fields(bytes: head.bytes, entries: head.section.entries, present: head.section.present)
    reasonBytes = head.bytes
    reasonRange = line.reason
  }

  /// The reason phrase as it was sent; may be empty.
  package var reason: Span<UInt8> {
    @_lifetime(borrow self)
    get { reasonBytes.span.extracting(reasonRange) }
  }

  package var isInformational: Bool { status < 200 }

  /// Whether the connection may carry another response after this one's body. Never so for one that is framed by
  /// the close; the caller knows that from the framing.
  package var isKeepAlive: Bool {
    switch version {
    case .http10: connection.hasKeepAlive && !connection.hasClose
    case .http11: !connection.hasClose
    case .http2: true
    }
  }

  /// Whether the body is an event stream: `Content-Type: text/event-stream`, parameters left aside.
  package var isEventStream: Bool { fields.hasMediaType("text/event-stream") }
}

extension Fields {
  /// Whether `Content-Type` is `type` (lower case; compared without case), whatever its parameters.
  package func hasMediaType(_ type: StaticString) -> Bool {
    guard let index = firstIndex(of: .contentType) else { return false }
    let value = value(at: index)
    let end = value.firstIndex(of: UInt8(ascii: ";")) ?? value.count
    return value.extracting(first: end).trimmed.equalsIgnoringASCIICase(type)
  }
}
