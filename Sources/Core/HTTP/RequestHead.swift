import Bytes

/// The head of a request that may be acted upon: everything that is decided from its fields is decided here, once.
package struct RequestHead: Sendable {
  package let method: Method
  package let target: Target
  package let version: HTTPVersion
  /// For absolute-form targets `Host` already has the target's authority (RFC 9112 3.2.2).
  package var fields: Fields
  package private(set) var framing: BodyFraming
  package let connection: ConnectionOptions
  /// Whether the client waits for 100 (Continue) before it sends the body (RFC 9110 10.1.1).
  package let expectsContinue: Bool

  /// A head that did not come through ``RequestHeadParser``: HTTP/2 sessions, health checks, tests.
  ///
  /// The caller vouches that `framing` agrees with `fields`.
  package init(
    method: Method, target: Target, version: HTTPVersion = .http11, fields: Fields = Fields(),
    framing: BodyFraming = .none, expectsContinue: Bool = false
  ) {
    self.method = method
    self.target = target
    self.version = version
    self.fields = fields
    self.framing = framing
    self.connection = ConnectionOptions()
    self.expectsContinue = expectsContinue
  }

  init(_ head: consuming CollectedHead<RequestLine>) throws(HTTP1Fault) {
    let line = head.line
    let section = try RequestHead.withEffectiveHost(head.section, line: line, in: head.bytes.span)
    method = line.method
    version = line.version
    framing = try section.declaredFraming(version: line.version, in: head.bytes.span) ?? .none
    connection = try ConnectionOptions(section, in: head.bytes.span, of: .request)
    expectsContinue = try RequestHead.expectsContinue(section, version: line.version, in: head.bytes.span)
    let parts = line.target.completed(in: &head.bytes, method: line.method)
    target = Target(parts: parts, bytes: head.bytes)
    fields = Fields(bytes: head.bytes, entries: section.entries, present: section.present)
    // HTTP/1.0 may leave Host out.
    if !section.present.contains(.host), let authority = line.target.authority,
      let value = FieldValue(head.bytes.span.extracting(authority))
    {
      fields.append(.host, value)
    }
  }

  /// Takes a chunked body for none when all of it is here and it is empty, so that such a request is served as one with
  /// `Content-Length: 0`, and goes on as that (RFC 9112, 6.1: chunks are a matter between two neighbours).
  ///
  /// - Parameter bytes: what follows the head.
  /// - Returns: how many of them were the body's framing.
  package mutating func skipEmptyBody(_ bytes: Span<UInt8>) -> Int {
    guard framing == .chunked, bytes.hasPrefix("0\r\n\r\n") else { return 0 }
    framing = .length(0)
    return 5
  }

  package var path: Span<UInt8> {
    @_lifetime(borrow self)
    get { target.path }
  }

  package var query: Span<UInt8>? {
    @_lifetime(borrow self)
    get { target.query }
  }

  /// The host and port the client asked for; `nil` for HTTP/1.0 without one.
  package var host: Span<UInt8>? {
    @_lifetime(borrow self)
    get { fields.first(.host) }
  }

  /// Whether the connection may carry another request after this one.
  package var isKeepAlive: Bool {
    switch version {
    case .http10: connection.hasKeepAlive && !connection.hasClose
    case .http11: !connection.hasClose
    case .http2: true
    }
  }
}

extension RequestHead {
  private static func withEffectiveHost(
    _ section: FieldSection, line: RequestLine, in bytes: Span<UInt8>
  ) throws(HTTP1Fault) -> FieldSection {
    guard let index = section.firstIndex(of: .host) else {
      if line.version == .http11 { throw .missingHost }
      return section
    }
    if section.repeated.contains(.host) { throw .repeatedHost }
    guard Authority(parsing: bytes.extracting(section.entries[index].value)) != nil else { throw .invalidHost }
    guard let authority = line.target.authority else { return section }
    var result = section
    result.replaceValue(at: index, by: authority)
    return result
  }

  private static func expectsContinue(
    _ section: FieldSection, version: HTTPVersion, in bytes: Span<UInt8>
  ) throws(HTTP1Fault) -> Bool {
    // An HTTP/1.0 client cannot read a 100, so its expectation must be ignored.
    guard version == .http11, let value = section.value(of: .expect, in: bytes) else { return false }
    guard !section.repeated.contains(.expect), value.equalsIgnoringASCIICase("100-continue") else {
      throw .unknownExpectation
    }
    return true
  }
}
