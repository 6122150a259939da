import Bytes

/// What the `Connection` fields of a message say (RFC 9110 7.6.1).
package struct ConnectionOptions: Sendable, Equatable {
  /// How many options are looked at; more is refused.
  package static let maximumCount = 32

  package private(set) var hasClose = false
  package private(set) var hasKeepAlive = false
  package private(set) var hasUpgrade = false
  /// Known fields that are meant for the next hop only.
  private(set) var nominated: KnownFieldSet = []
  /// Whether names that are not known fields are nominated too.
  private(set) var nominatesOthers = false

  package init() {}

  /// Fields without which a forwarded message would mean something else: who asks, for which host, how long the
  /// body is. `Connection: authorization` or `x-forwarded-for` is an old trick to strip them on the way, and no
  /// honest sender nominates them.
  static let protected: KnownFieldSet = [
    .authorization, .cacheControl, .contentEncoding, .contentLength, .contentType, .cookie, .date, .expect,
    .forwarded, .host, .idempotencyKey, .lastEventID, .location, .origin, .setCookie, .traceparent, .tracestate,
    .vary, .via, .xForwardedFor, .xForwardedHost, .xForwardedPort, .xForwardedPrefix, .xForwardedProto,
    .xForwardedServer, .xRealIP, .xRequestID,
  ]

  /// - Parameter refusingProtected: requests that nominate a protected field are refused; in responses, where the
  ///   sender gains nothing by it, such a nomination is passed over.
  init(_ section: FieldSection, in bytes: Span<UInt8>, refusingProtected: Bool) throws(HTTP1Fault) {
    guard section.present.contains(.connection) else { return }
    var count = 0
    for entry in section.entries where entry.known == KnownField.connection.rawValue {
      var options = ListElements(bytes.extracting(entry.value))
      while let option = options.next() {
        count += 1
        if count > ConnectionOptions.maximumCount { throw .tooManyConnectionOptions }
        try add(option, refusingProtected: refusingProtected)
      }
    }
  }

  private mutating func add(_ option: Span<UInt8>, refusingProtected: Bool) throws(HTTP1Fault) {
    if option.equalsIgnoringASCIICase("keep-alive") {
      hasKeepAlive = true
    } else if option.equalsIgnoringASCIICase("close") {
      hasClose = true
    } else if option.equalsIgnoringASCIICase("upgrade") {
      hasUpgrade = true
    } else if let field = KnownField(option) {
      guard ConnectionOptions.protected.contains(field) else { return nominated.insert(field) }
      if refusingProtected { throw .protectedFieldNominated }
    } else {
      nominatesOthers = true
    }
  }
}
