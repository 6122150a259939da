import Bytes

/// What the `Connection` fields of a message say (RFC 9110 7.6.1).
package struct ConnectionOptions: Sendable, Equatable {
  /// How many options are looked at; more is refused.
  package static let maximumCount = 32

  package private(set) var hasClose = false
  package private(set) var hasKeepAlive = false
  /// Known fields that are meant for the next hop only.
  private(set) var nominated: KnownFieldSet = []
  /// Whether names that are not known fields are nominated too.
  private(set) var nominatesOthers = false

  package init() {}

  enum Message {
    /// Nominating a protected field is refused.
    case request
    /// Nominating a protected field is passed over: the upstream gains nothing by it.
    case response

    /// Fields without which the message would mean something else. In a request: who asks, for which host, how long
    /// the body is; `Connection: authorization` or `x-forwarded-for` is an old trick to strip them on the way, and
    /// no honest client does it (RFC 9110 7.6.1). In a response: how the body is to be read and kept.
    var protected: KnownFieldSet {
      switch self {
      case .request:
        [
          .authorization, .contentEncoding, .contentLength, .contentType, .cookie, .expect, .forwarded, .host,
          .idempotencyKey, .lastEventID, .origin, .via, .xForwardedFor, .xForwardedHost, .xForwardedPort,
          .xForwardedPrefix, .xForwardedProto, .xForwardedServer, .xRealIP,
        ]
      case .response:
        [
          .cacheControl, .contentEncoding, .contentLength, .contentType, .date, .etag, .location, .setCookie, .vary,
          .via,
        ]
      }
    }
  }

  init(_ section: FieldSection, in bytes: Span<UInt8>, of message: Message) throws(HTTP1Fault) {
    guard section.present.contains(.connection) else { return }
    var count = 0
    for entry in section.entries where entry.known == KnownField.connection.rawValue {
      var options = ListElements(bytes.extracting(entry.value))
      while let option = options.next() {
        count += 1
        if count > ConnectionOptions.maximumCount { throw .tooManyConnectionOptions }
        try add(option, of: message)
      }
    }
  }

  private mutating func add(_ option: Span<UInt8>, of message: Message) throws(HTTP1Fault) {
    if option.equalsIgnoringASCIICase("keep-alive") {
      hasKeepAlive = true
    } else if option.equalsIgnoringASCIICase("close") {
      hasClose = true
    } else if let field = KnownField(option) {
      if !message.protected.contains(field) {
        nominated.insert(field)
      } else if message == .request {
        throw .protectedFieldNominated
      }
    } else {
      nominatesOthers = true
    }
  }
}
