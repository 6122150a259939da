import Bytes

/// Decides which of a received message's fields pass. Known fields are decided by one bit.
struct FieldFilter {
  private let dropped: KnownFieldSet
  private let checksOthers: Bool

  /// Fields about one connection (RFC 9110 7.6.1), and those that are written anew.
  static let hopByHop: KnownFieldSet = [
    .connection, .contentLength, .http2Settings, .keepAlive, .proxyAuthenticate, .proxyAuthorization,
    .proxyConnection, .te, .trailer, .transferEncoding, .upgrade,
  ]

  /// What only a trusted peer may say about the client.
  static let clientIdentity: KnownFieldSet = [
    .forwarded, .xForwardedFor, .xForwardedHost, .xForwardedPort, .xForwardedPrefix, .xForwardedProto,
    .xForwardedServer, .xRealIP,
  ]

  /// What only the gateway may say, which has shaken hands with the client (RFC 9440, 4).
  static let clientCertificate: KnownFieldSet = [.clientCert, .clientCertChain]

  init(dropped: KnownFieldSet, connection: ConnectionOptions, checksOthers: Bool) {
    self.dropped = dropped.union(FieldFilter.hopByHop).union(connection.nominated)
    self.checksOthers = checksOthers || connection.nominatesOthers
  }

  /// Calls `body` with the index of each field that passes. `isDropped` is asked about names that are not known fields.
  func forEachPassing(
    _ fields: borrowing Fields, isDropped: (Span<UInt8>) -> Bool, body: (Int) -> Void
  ) {
    for index in fields.indices {
      if let known = fields.known(at: index) {
        if dropped.contains(known) { continue }
      } else {
        let name = fields.name(at: index)
        if FieldFilter.imitatesKnownField(name) || (checksOthers && isDropped(name)) { continue }
      }
      body(index)
    }
  }

  /// Whether `name` is a known field's but for underscores: backends that hand fields over as environment variables
  /// cannot tell `X_Forwarded_For` from `X-Forwarded-For`, so it would be a way around every rule above.
  static func imitatesKnownField(_ name: Span<UInt8>) -> Bool {
    guard name.firstIndex(of: UInt8(ascii: "_")) != nil else { return false }
    var dashed = [UInt8](copying: name)
    for index in dashed.indices where dashed[index] == UInt8(ascii: "_") { dashed[index] = UInt8(ascii: "-") }
    return KnownField(dashed.span) != nil
  }
}

extension Fields {
  /// Whether a `Connection` field nominates `name`.
  borrowing func nominates(_ name: Span<UInt8>) -> Bool {
    var next = firstIndex(of: .connection)
    while let index = next {
      var options = ListElements(value(at: index))
      while let option = options.next() {
        if option.equalsIgnoringASCIICase(name) { return true }
      }
      next = firstIndex(of: .connection, from: index + 1)
    }
    return false
  }
}

extension [FieldName] {
  func contains(_ name: Span<UInt8>) -> Bool {
    for candidate in self {
      let bytes = candidate.bytes
      if bytes.span.equalsIgnoringASCIICase(name) { return true }
    }
    return false
  }
}
