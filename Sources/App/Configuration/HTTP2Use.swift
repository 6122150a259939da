import JSON

/// Whether a listener takes HTTP/2.
package enum HTTP2Use: Sendable {
  case off
  /// Over TLS, with clients that ask for it (ALPN).
  case on
  /// Without TLS, with clients that begin with its preface (RFC 9113, 3.3).
  case cleartext

  init?(_ value: JSONValue) {
    switch (value.bool, value.string) {
    case (true, _), (_, "true"): self = .on
    case (false, _), (_, "false"): self = .off
    case (_, "cleartext"): self = .cleartext
    default: return nil
    }
  }

  var document: JSONValue {
    switch self {
    case .off: .bool(false)
    case .on: .bool(true)
    case .cleartext: .string("cleartext")
    }
  }
}

extension JSONReader {
  /// - Parameter hasTLS: whether the listener speaks TLS.
  func http2(hasTLS: Bool) -> HTTP2Use {
    let use = read("http2", expected: "true, false or \"cleartext\"") { HTTP2Use($0) } ?? (hasTLS ? .on : .off)
    if use == .on, !hasTLS {
      fault("http2", "needs \"tls\"; \"cleartext\" is for clients that speak HTTP/2 without it")
    } else if use == .cleartext, hasTLS {
      fault("http2", "\"cleartext\" is for listeners without \"tls\"")
    }
    return use
  }
}
