import Bytes

/// Which parts of a request name its user. Made once, from the configuration.
package struct CredentialRules: Sendable, Equatable {
  /// Lower-case names of request headers.
  package var headers: [String]
  /// Names of cookies; the other cookies of a request change without the user changing.
  package var cookies: [String]
  /// Names of query parameters.
  package var parameters: [String]
  /// Which name of the client's certificate counts; `nil`: none.
  package var certificate: CertificateName?

  /// The headers in which model providers, and the gateways in front of them, expect a client's key.
  package static let keyHeaders = [
    "authorization", "api-key", "x-api-key", "x-goog-api-key", "apikey", "ocp-apim-subscription-key", "x-auth-token",
    "x-functions-key", "x-rapidapi-key", "xi-api-key",
  ]

  /// The position of the first of ``keyHeaders``, in their order, that has a value. A name counts where it stands first.
  package static func indexOfKey(in fields: borrowing Fields) -> Int? {
    let lengths = fields.nameLengths
    for name in keyHeaders where lengths.contains(name.utf8.count) {
      if let index = fields.firstIndex(named: name.utf8Span.span), !fields.value(at: index).isEmpty { return index }
    }
    return nil
  }

  package init(
    headers: [String] = Self.keyHeaders, cookies: [String] = [], parameters: [String] = [],
    certificate: CertificateName? = nil
  ) {
    self.certificate = certificate
    self.headers = headers
    self.cookies = cookies
    self.parameters = parameters
  }

  /// The names and values of all credentials that `request` has, in the order of the rules. Empty: it has none.
  package func credentials(of request: borrowing RequestHead) -> [[UInt8]] {
    var found: [[UInt8]] = []
    if let kind = certificate, let name = request.certificate?.name(by: kind) {
      Self.add(name.utf8Span.span, of: "certificate", kind.rawValue, to: &found)
    }
    let lengths = request.fields.nameLengths
    for name in headers where lengths.contains(name.utf8.count) {
      request.fields.forEachValue(named: name) { Self.add($0.trimmed, of: "header", name, to: &found) }
    }
    if !cookies.isEmpty { addCookies(of: request.fields, to: &found) }
    guard !parameters.isEmpty, let query = request.query else { return found }
    for name in parameters {
      for value in QueryString.values(of: name, in: query) {
        Self.add(value.span, of: "parameter", name, to: &found)
      }
    }
    return found
  }

  /// Cookie names are compared with their case (RFC 6265, 5.4).
  private func addCookies(of fields: borrowing Fields, to found: inout [[UInt8]]) {
    for name in cookies {
      fields.forEachValue(of: .cookie) { field in
        var offset = 0
        while offset < field.count {
          let end = field.firstIndex(of: UInt8(ascii: ";"), from: offset) ?? field.count
          let pair = field.extracting(offset..<end)
          offset = end + 1
          guard let equals = pair.firstIndex(of: UInt8(ascii: "=")),
            pair.extracting(first: equals).trimmed.equals(name.utf8Span.span)
          else { continue }
          Self.add(pair.extracting(droppingFirst: equals + 1).trimmed, of: "cookie", name, to: &found)
        }
      }
    }
  }

  /// An empty value names nobody. Kind and name are part of it: a key in another place is another credential.
  private static func add(_ value: Span<UInt8>, of kind: String, _ name: String, to found: inout [[UInt8]]) {
    guard !value.isEmpty else { return }
    found.append(Array("\(kind) \(name)".utf8))
    found.append([UInt8](copying: value))
  }
}
