import Bytes

/// Where an upstream is: `http://host:port/base`.
package struct UpstreamURL: Sendable, Equatable, CustomStringConvertible {
  package enum Scheme: String, Sendable {
    case http, https

    package var defaultPort: UInt16 { self == .http ? 80 : 443 }
  }

  /// Why a text is not an upstream's URL; says it to whoever wrote the configuration.
  package enum Fault: Error, Equatable, CustomStringConvertible {
    case scheme, userInformation, authority, path, queryOrFragment

    package var description: String {
      switch self {
      case .scheme: "the URL does not begin with http:// or https://"
      case .userInformation: "the URL holds user information; give credentials as a header"
      case .authority: "the URL's host or port is invalid"
      case .path: "the URL's path holds a character that is not allowed there"
      case .queryOrFragment: "the URL holds a query or a fragment; only a path may follow the host"
      }
    }
  }

  package let scheme: Scheme
  /// A name or an address; IPv6 without brackets.
  package let host: String
  package let port: UInt16
  package let isIPv6Literal: Bool
  /// Put in front of each request's path. Empty, or begins with `/` and does not end with it.
  package let basePath: String

  package init(parsing text: String) throws(Fault) {
    let span = text.utf8Span.span
    let start: Int
    if span.count >= 7, span.extracting(first: 7).equalsIgnoringASCIICase("http://") {
      (scheme, start) = (.http, 7)
    } else if span.count >= 8, span.extracting(first: 8).equalsIgnoringASCIICase("https://") {
      (scheme, start) = (.https, 8)
    } else {
      throw .scheme
    }
    guard span.firstIndex(ofEither: UInt8(ascii: "?"), or: UInt8(ascii: "#"), from: 0) == span.count else {
      throw .queryOrFragment
    }
    let slash = span.firstIndex(of: UInt8(ascii: "/"), from: start) ?? span.count
    let authorityText = span.extracting(start..<slash)
    guard authorityText.firstIndex(of: UInt8(ascii: "@")) == nil else { throw .userInformation }
    guard let authority = Authority(parsing: authorityText), authority.port != 0 else { throw .authority }
    host = String(copying: authorityText.extracting(authority.host))
    port = authority.port ?? scheme.defaultPort
    isIPv6Literal = authority.isIPv6Literal

    var end = span.count
    while end > slash, span[end - 1] == UInt8(ascii: "/") { end -= 1 }
    let path = span.extracting(slash..<end)
    guard ByteSet.target.containsAll(path) else { throw .path }
    basePath = String(copying: path)
  }

  /// `host` or `host:port`, as the `Host` field wants it: the scheme's own port left out.
  package var authority: String {
    let name = isIPv6Literal ? "[\(host)]" : host
    return port == scheme.defaultPort ? name : "\(name):\(port)"
  }

  /// The same as a field value.
  package var authorityValue: FieldValue { FieldValue(authority) ?? FieldValue(literal: "invalid") }

  package var description: String { "\(scheme.rawValue)://\(authority)\(basePath)" }
}
