import Bytes

/// The query parameters in which providers of models expect a client's key.
private let keyParameters: [StaticString] = ["key", "api_key", "api-key", "access_token"]

extension ForwardingRules {
  /// Whether a request goes to the upstream with credentials of its client's, and without any that the operator has set
  /// for the upstream: then what the upstream says of them concerns that client alone.
  package func passesCredentials(of head: borrowing RequestHead) -> Bool {
    if overrides.contains(.cookie) { return false }
    for name in CredentialRules.keyHeaders where overrides.firstIndex(named: name.utf8Span.span) != nil { return false }
    let fields = head.fields
    if fields.contains(.cookie), !dropped.contains(.cookie) { return true }
    for name in CredentialRules.keyHeaders {
      guard let index = fields.firstIndex(named: name.utf8Span.span) else { continue }
      if let known = fields.known(at: index) {
        if !dropped.contains(known) { return true }
      } else if !droppedNames.contains(fields.name(at: index)) {
        return true
      }
    }
    guard let query = head.query else { return false }
    return QueryString.contains(anyOf: keyParameters, in: query)
  }
}
