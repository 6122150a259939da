import Files
import JSON

/// Where values that must not stand in a file that everybody reads come from.
package struct SecretSource: Sendable {
  private let environment: [String: String]

  /// - Parameter environment: the process's variables.
  package init(environment: [String: String]) {
    self.environment = environment
  }

  /// Larger files hold no header's value.
  private static let fileLimit = 16 << 10

  fileprivate func variable(_ name: String) -> String? { environment[name] }

  /// The contents of a file without the line break at its end.
  fileprivate func contents(of path: String) throws(FileError) -> [UInt8] {
    var bytes = try readFile(path, limit: Self.fileLimit).bytes
    if bytes.last == UInt8(ascii: "\n") { bytes.removeLast() }
    if bytes.last == UInt8(ascii: "\r") { bytes.removeLast() }
    return bytes
  }
}

/// A value that nothing may print: what describes it tells only where it came from.
package struct Secret: Sendable, Equatable, CustomStringConvertible, CustomReflectable {
  package enum Origin: Sendable, Equatable {
    case literal
    case environment(String)
    case file(String)
  }

  /// The value itself, for the one place that needs it.
  package let text: String
  package let origin: Origin

  package var description: String {
    switch origin {
    case .literal: "(set)"
    case .environment(let name): "(from env \(name))"
    case .file(let path): "(from file \(path))"
    }
  }

  package var customMirror: Mirror { Mirror(self, children: ["origin": description]) }
}

extension JSONReader {
  /// A text that is given as it is, or as `{ env: "NAME" }` or `{ file: "/path" }`, with a `prefix` if need be.
  /// Mistakes never quote the value.
  func secret(_ name: String, from source: SecretSource) -> Secret? {
    switch value(name) {
    case nil: return nil
    case .string(let text):
      return checked(Secret(text: text, origin: .literal), name)
    case .object:
      guard let inner = nested(name), let secret = inner.indirectSecret(from: source) else { return nil }
      return checked(secret, name)
    case let other?:
      fault(name, "expected a string, { env: \"NAME\" } or { file: \"/path\" }, found \(other.kindName)")
      return nil
    }
  }

  private func indirectSecret(from source: SecretSource) -> Secret? {
    let variable = string("env")
    let file = string("file")
    let prefix = string("prefix", default: "")
    switch (variable, file) {
    case (let variable?, nil):
      guard let text = source.variable(variable) else {
        fault("env", "the variable \(variable) is not set")
        return nil
      }
      return Secret(text: text.isEmpty ? "" : prefix + text, origin: .environment(variable))
    case (nil, let file?):
      do {
        let bytes = try source.contents(of: file)
        guard let text = String(validating: bytes, as: UTF8.self) else {
          fault("file", "\(file) is no text in UTF-8")
          return nil
        }
        return Secret(text: text.isEmpty ? "" : prefix + text, origin: .file(file))
      } catch {
        fault("file", "\(error)")
        return nil
      }
    default:
      if !has("env"), !has("file") { fault(nil, "needs \"env\" or \"file\"") }
      if has("env"), has("file") { fault("file", "can't be given together with \"env\"") }
      return nil
    }
  }

  private func checked(_ secret: Secret, _ name: String) -> Secret? {
    if secret.text.isEmpty {
      fault(name, "is empty\(secret.origin == .literal ? "" : " \(secret)")")
      return nil
    }
    if secret.text.utf8.contains(where: { ($0 < 0x20 && $0 != 0x09) || $0 == 0x7F }) {
      fault(name, "holds a control character\(secret.origin == .literal ? "" : " \(secret)")")
      return nil
    }
    return secret
  }
}
