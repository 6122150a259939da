import Bytes

/// One entry of a policy's list of origins (RFC 6454 7): `https://app.example`, `https://*.example.com`, `null`, `*`.
package struct CORSOrigin: Sendable, Equatable, CustomStringConvertible {
  private enum Form: Equatable, Sendable {
    case any
    case exactly([UInt8])
    /// Any name under a domain: what stands before the name (`https://`) and behind it (`.example.com:8443`).
    case under(prefix: [UInt8], suffix: [UInt8])
  }

  package let description: String
  private let form: Form

  package static let any = CORSOrigin(description: "*", form: .any)

  private init(description: String, form: Form) {
    self.description = description
    self.form = form
  }

  /// `nil` for anything but `*`, `null`, `scheme://host[:port]` and `scheme://*.domain[:port]`. Paths are no part of
  /// an origin.
  package init?(_ text: String) {
    if text == "*" {
      self = .any
      return
    }
    description = text.lowercased()
    let bytes = Array(description.utf8)
    if description == "null" {
      form = .exactly(bytes)
      return
    }
    guard let start = bytes.span.firstRange(of: "://"), CORSOrigin.isScheme(bytes.span.extracting(first: start)) else {
      return nil
    }
    let host = bytes.span.extracting(droppingFirst: start + 3)
    if host.hasPrefix("*.") {
      guard CORSOrigin.isHost(host.extracting(droppingFirst: 2)) else { return nil }
      form = .under(
        prefix: Array(bytes.prefix(start + 3)), suffix: [UInt8](copying: host.extracting(droppingFirst: 1)))
    } else {
      guard CORSOrigin.isHost(host) else { return nil }
      form = .exactly(bytes)
    }
  }

  private static func isScheme(_ text: Span<UInt8>) -> Bool {
    guard !text.isEmpty, text[0] &- 0x61 < 26 else { return false }
    for index in text.indices {
      let byte = text[index]
      guard
        byte &- 0x61 < 26 || byte.isASCIIDigit || byte == UInt8(ascii: "+") || byte == UInt8(ascii: "-")
          || byte == UInt8(ascii: ".")
      else { return false }
    }
    return true
  }

  private static func isHost(_ text: Span<UInt8>) -> Bool {
    text.firstIndex(of: UInt8(ascii: "*")) == nil && text.firstIndex(of: UInt8(ascii: "@")) == nil
      && text.count > 0 && text[text.count - 1] != UInt8(ascii: ":") && Authority(parsing: text) != nil
  }

  /// Whether it stands for more than origins that are known by name.
  var isAnonymous: Bool { form == .any || description == "null" }

  /// Whether the value of an `Origin` field is meant.
  package func matches(_ origin: Span<UInt8>) -> Bool {
    switch form {
    case .any: return !origin.isEmpty
    case .exactly(let bytes): return origin.equalsIgnoringASCIICase(bytes.span)
    case .under(let prefix, let suffix):
      guard origin.count > prefix.count + suffix.count else { return false }
      let name = prefix.count..<origin.count - suffix.count
      return origin.extracting(first: prefix.count).equalsIgnoringASCIICase(prefix.span)
        && origin.extracting(droppingFirst: name.upperBound).equalsIgnoringASCIICase(suffix.span)
        && CORSOrigin.isName(origin.extracting(name))
    }
  }

  /// Whether `text` is one or more labels of a domain name, so that nothing of an authority hides in it.
  private static func isName(_ text: Span<UInt8>) -> Bool {
    var labelLength = 0
    for index in text.indices {
      let byte = text[index]
      if byte == UInt8(ascii: ".") {
        guard labelLength > 0 else { return false }
        labelLength = 0
      } else {
        guard
          byte.isASCIIDigit || byte.asciiLowercased &- 0x61 < 26 || byte == UInt8(ascii: "-")
            || byte == UInt8(ascii: "_")
        else { return false }
        labelLength += 1
      }
    }
    return labelLength > 0
  }
}
