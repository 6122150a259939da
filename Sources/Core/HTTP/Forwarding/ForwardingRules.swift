import Bytes

/// How a route's requests are written for one upstream. Made once, from the configuration.
package struct ForwardingRules: Sendable {
  package enum HostRule: Sendable {
    /// The upstream sees the host that the client asked for; its own when the client named none.
    case preserve
    /// The upstream sees its own authority.
    case upstream
  }

  package var host: HostRule
  /// The upstream's `host:port`.
  package var upstreamAuthority: FieldValue
  /// Put in front of the path. Empty, or begins with `/` and does not end with it.
  package var basePath: String
  /// Query parameters the gateway keeps for itself.
  package var strippedParameters: [StaticString]
  /// Fields left out besides those that never pass, whether the client sent them or the gateway would write them.
  package var dropped: KnownFieldSet
  package var droppedNames: [FieldName]
  /// Whether the client's fields are left out too that look like a dropped or replaced one to a backend that takes `_`
  /// for `-`, as those do that hand fields over as environment variables (RFC 3875, 4.1.18).
  package var dropsTwins: Bool
  /// Fields that replace the client's of the same names.
  package var overrides: Fields
  /// What the gateway calls itself in `Via`.
  package var via: FieldValue

  package init(
    upstreamAuthority: FieldValue, host: HostRule = .preserve, basePath: String = "",
    strippedParameters: [StaticString] = [], dropped: KnownFieldSet = [], droppedNames: [FieldName] = [],
    dropsTwins: Bool = true, overrides: Fields = Fields(), via: FieldValue = FieldValue(literal: "fermata")
  ) {
    self.upstreamAuthority = upstreamAuthority
    self.host = host
    self.basePath = basePath
    self.strippedParameters = strippedParameters
    self.dropped = dropped
    self.droppedNames = droppedNames
    self.dropsTwins = dropsTwins
    self.overrides = overrides
    self.via = via
  }

  /// Whether a client's field `name`, which is no known one, stays behind by these rules.
  func drops(_ name: Span<UInt8>) -> Bool {
    if droppedNames.contains(name) || overrides.firstIndex(named: name) != nil { return true }
    guard dropsTwins else { return false }
    for candidate in droppedNames {
      let bytes = candidate.bytes
      if bytes.span.isTwin(of: name) { return true }
    }
    for index in overrides.indices where overrides.name(at: index).isTwin(of: name) { return true }
    return false
  }
}

extension Span<UInt8> {
  /// Whether both are the same name to one who tells neither capitals from small letters nor `_` from `-`.
  func isTwin(of other: Span<UInt8>) -> Bool {
    guard count == other.count else { return false }
    for index in indices where Self.folded(self[index]) != Self.folded(other[index]) { return false }
    return true
  }

  private static func folded(_ byte: UInt8) -> UInt8 {
    byte == UInt8(ascii: "_") ? UInt8(ascii: "-") : byte.asciiLowercased
  }
}

/// What is known about the client of a request besides its head. Made once per connection.
///
/// An object: every request hands it from one part to the next.
package final class ForwardedClient: Sendable {
  package let address: FieldValue
  package let isSecure: Bool
  /// Whether the peer is on the trust list: what it says about the client before it is passed on.
  package let isTrusted: Bool
  /// As much of the address as the log may say; empty: nothing.
  package let logged: String
  /// What was agreed on over TLS; `nil` without it.
  package let tls: ClientTLS?

  /// - Parameters:
  ///   - address: the peer's IP address without a port.
  ///   - isSecure: whether it came over TLS.
  package init(address: String, isSecure: Bool, isTrusted: Bool, logged: String = "", tls: ClientTLS? = nil) {
    self.logged = logged
    self.tls = tls
    self.address = FieldValue(address) ?? FieldValue(literal: "unknown")
    self.isSecure = isSecure
    self.isTrusted = isTrusted
  }

  /// Whether the client came over TLS: to this process, or to a trusted proxy before it that says so.
  package func wasSecure(as fields: borrowing Fields) -> Bool {
    if isSecure { return true }
    return isTrusted && fields.first(.xForwardedProto)?.equalsIgnoringASCIICase("https") == true
  }
}

/// How a route's responses are written for its clients. Made once, from the configuration.
package struct ResponseRules: Sendable {
  /// Fields left out besides those that never pass.
  package var dropped: KnownFieldSet
  /// Fields that replace the upstream's of the same names.
  package var overrides: Fields

  package init(dropped: KnownFieldSet = [], overrides: Fields = Fields()) {
    self.dropped = dropped
    self.overrides = overrides
  }
}
