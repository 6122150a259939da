import Bytes

/// The protocol version of a message.
package enum HTTPVersion: UInt8, Sendable {
  case http10
  case http11
  /// Never from the HTTP/1.1 parsers; for heads that an HTTP/2 session makes.
  case http2

  /// The version as `Via` names it (RFC 9110 7.6.3).
  package var viaToken: StaticString {
    switch self {
    case .http10: "1.0"
    case .http11: "1.1"
    case .http2: "2"
    }
  }

  /// Reads an `HTTP-version` (RFC 9112 2.3): case-sensitive, one digit on each side of the dot.
  init(parsing bytes: Span<UInt8>) throws(HTTP1Fault) {
    guard bytes.count == 8, bytes.hasPrefix("HTTP/"), bytes[6] == UInt8(ascii: "."),
      bytes[5].isASCIIDigit, bytes[7].isASCIIDigit
    else { throw .malformedVersion }
    switch (bytes[5], bytes[7]) {
    case (UInt8(ascii: "1"), UInt8(ascii: "0")): self = .http10
    case (UInt8(ascii: "1"), UInt8(ascii: "1")): self = .http11
    default: throw .unsupportedVersion
    }
  }
}
