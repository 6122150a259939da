package import HTTP
import JSON

/// A field that the gateway sends to a backend, often with a credential in it. Never printed.
package struct HeaderSetting: Sendable, Equatable, CustomStringConvertible, CustomReflectable {
  package let name: FieldName
  package let value: FieldValue
  private let secret: Secret

  /// Fields that are written anew for every request: a second one would contradict the first.
  private static let reserved: [KnownField] = [
    .connection, .contentLength, .expect, .host, .http2Settings, .keepAlive, .proxyConnection, .te, .trailer,
    .transferEncoding, .upgrade, .via,
  ]

  /// Fields without which a request has no meaning, or another one.
  private static let needed: [KnownField] = [.contentLength, .host, .transferEncoding]

  private init?(_ name: FieldName, _ secret: Secret) {
    guard let value = FieldValue(secret.text) else { return nil }
    self.name = name
    self.value = value
    self.secret = secret
  }

  /// The members of `headers`, each a text or where to find one.
  static func read(_ reader: JSONReader, from secrets: SecretSource) -> [HeaderSetting] {
    guard let reader = reader.nested("headers") else { return [] }
    var found: [HeaderSetting] = []
    for text in reader.names {
      let secret = reader.secret(text, from: secrets)
      guard let name = FieldName(text) else {
        reader.fault(text, "is no name of a header")
        continue
      }
      guard !reserved.contains(where: { $0 == name.known }) else {
        reader.fault(text, "is written by the gateway itself")
        continue
      }
      guard !found.contains(where: { $0.name == name }) else {
        reader.fault(text, "is given twice")
        continue
      }
      if let secret, let header = HeaderSetting(name, secret) { found.append(header) }
    }
    return found
  }

  /// The names in `removeHeaders`.
  static func readRemoved(_ reader: JSONReader) -> [FieldName] {
    let names = reader.fieldNames("removeHeaders")
    for (index, name) in names.enumerated() where needed.contains(where: { $0 == name.known }) {
      reader.fault(
        at: "\(reader.path(of: "removeHeaders"))[\(index)]", "can't be removed: no request goes without \(name.string)")
    }
    return names
  }

  /// Where the value came from, in place of the value.
  package var origin: String { secret.description }
  package var description: String { "\(name.string): \(origin)" }
  package var customMirror: Mirror { Mirror(self, children: ["name": name.string, "value": origin]) }
}

extension JSONReader {
  /// A list of headers' names.
  func fieldNames(_ name: String) -> [FieldName] {
    elements(name, expected: "the name of a header") { value, _ in value.string.flatMap { FieldName($0) } } ?? []
  }
}
