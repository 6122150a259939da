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
  /// Fields that replace the client's of the same names.
  package var overrides: Fields

  package init(
    upstreamAuthority: FieldValue, host: HostRule = .preserve, basePath: String = "",
    strippedParameters: [StaticString] = [], dropped: KnownFieldSet = [], droppedNames: [FieldName] = [],
    overrides: Fields = Fields()
  ) {
    self.upstreamAuthority = upstreamAuthority
    self.host = host
    self.basePath = basePath
    self.strippedParameters = strippedParameters
    self.dropped = dropped
    self.droppedNames = droppedNames
    self.overrides = overrides
  }
}

/// What is known about the client of a request besides its head. Made once per connection.
package struct ForwardedClient: Sendable {
  package let address: FieldValue
  package let isSecure: Bool
  /// Whether the peer is on the trust list: what it says about the client before it is passed on.
  package let isTrusted: Bool

  /// - Parameters:
  ///   - address: the peer's IP address without a port.
  ///   - isSecure: whether it came over TLS.
  package init(address: String, isSecure: Bool, isTrusted: Bool) {
    self.address = FieldValue(address) ?? FieldValue(literal: "unknown")
    self.isSecure = isSecure
    self.isTrusted = isTrusted
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
