import Bytes

/// A field whose name the gateway knows. Names are resolved once, when a head is parsed; from then on looking a
/// field up compares small integers.
package enum KnownField: UInt8, CaseIterable, Sendable {
  case accept, acceptCharset, acceptEncoding, acceptLanguage, acceptRanges, accessControlAllowCredentials
  case accessControlAllowHeaders, accessControlAllowMethods, accessControlAllowOrigin
  case accessControlExposeHeaders, accessControlMaxAge, accessControlRequestHeaders, accessControlRequestMethod
  case age, allow, altSvc, authorization, cacheControl, clientCert, clientCertChain, connection, contentDisposition
  case contentEncoding
  case contentLanguage, contentLength, contentLocation, contentRange, contentType, cookie, date, etag, expect
  case expires, forwarded, host, http2Settings, idempotencyKey, ifMatch, ifModifiedSince, ifNoneMatch, ifRange
  case ifUnmodifiedSince, keepAlive, lastEventID, lastModified, link, location, maxForwards, origin, pragma
  case prefer, preferenceApplied, proxyAuthenticate, proxyAuthorization, proxyConnection, range, referer
  case retryAfter, server, setCookie, te, traceparent, tracestate, trailer, transferEncoding, upgrade, userAgent
  case vary, via, wwwAuthenticate, xAccelBuffering, xClientVersion, xForwardedFor, xForwardedHost
  case xForwardedPort, xForwardedPrefix, xForwardedProto, xForwardedServer, xRealIP, xRequestID, xStreamID
  case xStreamMode, xStreamResume

  /// The name as it is written. Names compare without case.
  package var name: StaticString { KnownField.spellings[Int(rawValue)] }

  /// `nil` when `name` (of any case) is not a known field's.
  package init?(_ name: Span<UInt8>) {
    guard let found = KnownFieldTable.shared.find(name) else { return nil }
    self = found
  }

  package init?(_ name: String) {
    self.init(name.utf8Span.span)
  }

  // In the order of the cases; a test holds the two together.
  private static let spellings: [StaticString] = [
    "Accept", "Accept-Charset", "Accept-Encoding", "Accept-Language", "Accept-Ranges",
    "Access-Control-Allow-Credentials", "Access-Control-Allow-Headers", "Access-Control-Allow-Methods",
    "Access-Control-Allow-Origin", "Access-Control-Expose-Headers", "Access-Control-Max-Age",
    "Access-Control-Request-Headers", "Access-Control-Request-Method", "Age", "Allow", "Alt-Svc",
    "Authorization", "Cache-Control", "Client-Cert", "Client-Cert-Chain", "Connection", "Content-Disposition",
    "Content-Encoding",
    "Content-Language", "Content-Length", "Content-Location", "Content-Range", "Content-Type", "Cookie", "Date",
    "ETag", "Expect", "Expires", "Forwarded", "Host", "HTTP2-Settings", "Idempotency-Key", "If-Match",
    "If-Modified-Since", "If-None-Match", "If-Range", "If-Unmodified-Since", "Keep-Alive", "Last-Event-ID",
    "Last-Modified", "Link", "Location", "Max-Forwards", "Origin", "Pragma", "Prefer", "Preference-Applied",
    "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Range", "Referer", "Retry-After",
    "Server", "Set-Cookie", "TE", "traceparent", "tracestate", "Trailer", "Transfer-Encoding", "Upgrade",
    "User-Agent", "Vary", "Via", "WWW-Authenticate", "X-Accel-Buffering", "X-Client-Version", "X-Forwarded-For",
    "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Proto", "X-Forwarded-Server",
    "X-Real-IP", "X-Request-Id", "X-Stream-Id", "X-Stream-Mode",
    "X-Stream-Resume",
  ]
}

/// A set of known fields, a bit for each. Two words and not a `UInt128`, whose alignment would take every object that
/// holds a head out of the allocator's fast path.
package struct KnownFieldSet: Sendable, Equatable, ExpressibleByArrayLiteral {
  private var low: UInt64 = 0
  private var high: UInt64 = 0

  package init() {}

  package init(arrayLiteral elements: KnownField...) {
    for element in elements { insert(element) }
  }

  package init(_ fields: [KnownField]) {
    for field in fields { insert(field) }
  }

  package var isEmpty: Bool { low | high == 0 }

  package func contains(_ field: KnownField) -> Bool {
    (field.rawValue < 64 ? low : high) & Self.bit(field) != 0
  }

  package mutating func insert(_ field: KnownField) {
    if field.rawValue < 64 { low |= Self.bit(field) } else { high |= Self.bit(field) }
  }

  package mutating func remove(_ field: KnownField) {
    if field.rawValue < 64 { low &= ~Self.bit(field) } else { high &= ~Self.bit(field) }
  }

  package func union(_ other: KnownFieldSet) -> KnownFieldSet {
    var result = self
    result.low |= other.low
    result.high |= other.high
    return result
  }

  private static func bit(_ field: KnownField) -> UInt64 { 1 &<< UInt64(field.rawValue & 63) }
}
