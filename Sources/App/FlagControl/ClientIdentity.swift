import Bytes
package import Configuration
package import Flags
package import HTTP
package import Streams

/// What the flag's rules are told about a client.
package enum ClientIdentity {
  package static func context(
    of request: borrowing RequestHead, capability: Capability, on route: RouteSettings, _ settings: IdentitySettings,
    seconds: Int64
  ) -> EvaluationContext {
    let product = product(of: request)
    var headers: [EvaluationContext.Header] = []
    for name in settings.exposedHeaders {
      guard let value = request.fields.string(named: name) else { continue }
      headers.append(EvaluationContext.Header(name: name, value: value))
    }
    let fields = request.fields
    let internalValue = settings.internalHeader.flatMap { fields.truth(named: $0) }
    return EvaluationContext(
      targetingKey: key(of: request, settings), client: product?.name,
      version: product?.version ?? request.fields.string(.xClientVersion),
      capability: capability.understandsStreamEnd ? "stream_end" : "none", route: route.name,
      tenant: settings.tenantHeader.flatMap { fields.string(named: $0) }, isInternal: internalValue ?? false,
      headers: headers, attributes: route.flagAttributes, timestamp: Int(seconds))
  }

  /// The client's stable identity: what the operator named, else a hash of its credentials. Never its address: whole
  /// companies share one.
  private static func key(of request: borrowing RequestHead, _ settings: IdentitySettings) -> String? {
    if let name = name(of: request, settings) { return name }
    let fields = request.fields
    guard let index = CredentialRules.indexOfKey(in: fields) else { return nil }
    return SHA256.hexadecimal([UInt8](copying: fields.value(at: index)))
  }

  /// A keyed hash of the same identity, for counting clients; `nil` for one without an identity.
  package static func hash(of request: borrowing RequestHead, _ settings: IdentitySettings, seed: UInt64) -> UInt64? {
    var hash = IdentityHash(seed: seed)
    if let name = name(of: request, settings) {
      hash.combine(name.utf8Span.span)
      return hash.value
    }
    let fields = request.fields
    guard let index = CredentialRules.indexOfKey(in: fields) else { return nil }
    hash.combine(fields.value(at: index))
    return hash.value
  }

  /// What the operator named.
  private static func name(of request: borrowing RequestHead, _ settings: IdentitySettings) -> String? {
    if let kind = settings.certificate, let name = request.certificate?.name(by: kind) { return name }
    if let name = settings.header, let value = request.fields.string(named: name), !value.isEmpty { return value }
    if let name = settings.cookie, let value = cookie(name, in: request), !value.isEmpty { return value }
    if let name = settings.query, let value = parameter(name, of: request), !value.isEmpty { return value }
    return nil
  }

  private static func cookie(_ name: String, in request: borrowing RequestHead) -> String? {
    guard let text = request.fields.string(.cookie) else { return nil }
    for pair in text.split(separator: ";") {
      let parts = pair.split(separator: "=", maxSplits: 1)
      guard parts.count == 2, parts[0].drop(while: { $0 == " " }) == name else { continue }
      return String(parts[1])
    }
    return nil
  }

  private static func parameter(_ name: String, of request: borrowing RequestHead) -> String? {
    guard let query = request.query else { return nil }
    for pair in String(copying: query).split(separator: "&") {
      let parts = pair.split(separator: "=", maxSplits: 1)
      guard parts.count == 2, parts[0] == name else { continue }
      return PercentEncoding.decoded(parts[1].utf8Span.span).map { String(decoding: $0, as: UTF8.self) }
    }
    return nil
  }

  /// The first product of `User-Agent` (RFC 9110, 10.1.5).
  private static func product(of request: borrowing RequestHead) -> (name: String, version: String?)? {
    guard let text = request.fields.string(.userAgent), let first = text.split(separator: " ").first else { return nil }
    let parts = first.split(separator: "/", maxSplits: 1)
    guard let name = parts.first else { return nil }
    return (String(name), parts.count == 2 ? String(parts[1]) : nil)
  }
}
