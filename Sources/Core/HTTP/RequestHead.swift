import Bytes

/// The head of a request that may be acted upon: everything that is decided from its fields is decided here, once.
///
/// An object that never changes: a request is handed from one part to the next more often than a copy would pay.
package final class RequestHead: Sendable {
  package let method: Method
  package let target: Target
  package let version: HTTPVersion
  /// For absolute-form targets `Host` already has the target's authority (RFC 9112 3.2.2).
  package let fields: Fields
  package let framing: BodyFraming
  package let connection: ConnectionOptions
  /// Whether the client waits for 100 (Continue) before it sends the body (RFC 9110 10.1.1).
  package let expectsContinue: Bool
  /// What the client has proved to be over TLS; `nil` when it showed nothing.
  package let certificate: ClientCertificate?

  /// A head that did not come through ``RequestHeadParser``: HTTP/2 sessions, health checks, tests.
  ///
  /// The caller vouches that `framing` agrees with `fields`.
  package convenience init(
    method: Method, target: Target, version: HTTPVersion = .http11, fields: Fields = Fields(),
    framing: BodyFraming = .none, expectsContinue: Bool = false
  ) {
    self.init(
      method: method, target: target, version: version, fields: fields, framing: framing,
      connection: ConnectionOptions(),
      expectsContinue: expectsContinue)
  }

  private init(
    method: Method, target: Target, version: HTTPVersion, fields: Fields, framing: BodyFraming,
    connection: ConnectionOptions, expectsContinue: Bool, certificate: ClientCertificate? = nil
  ) {
    self.certificate = certificate
    self.method = method
    self.target = target
    self.version = version
    self.fields = fields
    self.framing = framing
    self.connection = connection
    self.expectsContinue = expectsContinue
  }

  init(_ head: consuming CollectedHead<RequestLine>) throws(HTTP1Fault) {
    certificate = nil
    let line = head.line
    let section = try RequestHead.withEffectiveHost(head.section, line: line, in: head.bytes.span)
    method = line.method
    version = line.version
    framing = try section.declaredFraming(version: line.version, in: head.bytes.span) ?? .none
    connection = try ConnectionOptions(section, in: head.bytes.span, of: .request)
    expectsContinue = try RequestHead.expectsContinue(section, version: line.version, in: head.bytes.span)
    let parts = line.target.completed(in: &head.bytes, method: line.method)
    target = Target(parts: parts, bytes: head.bytes)
    var fields = Fields(bytes: head.bytes, entries: section.entries, present: section.present)
    // HTTP/1.0 may leave Host out.
    if !section.present.contains(.host), let authority = line.target.authority,
      let value = FieldValue(head.bytes.span.extracting(authority))
    {
      fields.append(.host, value)
    }
    self.fields = fields
  }

  /// Takes a chunked body for none when all of it is here and it is empty, so that such a request is served as one with
  /// `Content-Length: 0`, and goes on as that (RFC 9112, 6.1: chunks are a matter between two neighbours).
  ///
  /// - Parameter bytes: what follows the head.
  /// - Returns: the head of the request without a body, and how many bytes were the body's framing; `nil` when there
  ///   is a body, or when more must come before it is known.
  package func withoutEmptyBody(_ bytes: Span<UInt8>) -> (head: RequestHead, skipped: Int)? {
    guard framing == .chunked, bytes.hasPrefix("0\r\n\r\n") else { return nil }
    let head = RequestHead(
      method: method, target: target, version: version, fields: fields, framing: .length(0), connection: connection,
      expectsContinue: expectsContinue, certificate: certificate)
    return (head, 5)
  }

  /// The request of a client with that certificate, without what it says of certificates itself (RFC 9440, 4).
  package func proved(by certificate: ClientCertificate?) -> RequestHead {
    let isClaimed = fields.contains(.clientCert) || fields.contains(.clientCertChain)
    guard certificate != nil || isClaimed else { return self }
    return RequestHead(
      method: method, target: target, version: version,
      fields: isClaimed ? fields.without([.clientCert, .clientCertChain]) : fields, framing: framing,
      connection: connection, expectsContinue: expectsContinue, certificate: certificate)
  }

  // The head never changes, so what its parts hold lives as long as it does; the compiler sees that of structures only.

  package var path: Span<UInt8> {
    @_lifetime(borrow self)
    get {
      let target = target
      return unsafe _overrideLifetime(target.path, borrowing: self)
    }
  }

  package var query: Span<UInt8>? {
    @_lifetime(borrow self)
    get {
      let target = target
      return unsafe _overrideLifetime(target.query, borrowing: self)
    }
  }

  /// The host and port the client asked for; `nil` for HTTP/1.0 without one.
  package var host: Span<UInt8>? {
    @_lifetime(borrow self)
    get {
      let fields = fields
      return unsafe _overrideLifetime(fields.first(.host), borrowing: self)
    }
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
  /// Where the same target is over https, at the port that https has by default (RFC 9110, 4.2.2). `nil` when the request
  /// names no host.
  package var secureLocation: FieldValue? {
    let (fields, target) = (self.fields, self.target)
    guard let host = fields.first(.host), let authority = Authority(parsing: host) else { return nil }
    var location = Array("https://".utf8)
    if authority.isIPv6Literal { location.append(UInt8(ascii: "[")) }
    location += [UInt8](copying: host.extracting(authority.host))
    if authority.isIPv6Literal { location.append(UInt8(ascii: "]")) }
    // `*` has no place in a URL.
    location += target.path.hasPrefix("/") ? [UInt8](copying: target.path) : [UInt8(ascii: "/")]
    if let query = target.query { location += [UInt8(ascii: "?")] + [UInt8](copying: query) }
    return FieldValue(location.span)
  }

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
