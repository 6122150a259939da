import Bytes
package import Flags

/// Whether a client understands `stream_end`, and how that was found.
package struct Capability: Equatable, Sendable {
  /// How it was found; the raw value is a metric label.
  package enum Source: String, CaseIterable, Sendable {
    case prefer, header, query, version, none
  }

  package var understandsStreamEnd: Bool
  package var source: Source

  package init(understandsStreamEnd: Bool, source: Source) {
    self.understandsStreamEnd = understandsStreamEnd
    self.source = source
  }

  package static let none = Capability(understandsStreamEnd: false, source: .none)
}

/// A rule that finds capable clients by their version.
package struct VersionRule: Equatable, Sendable {
  /// The request header that is looked at, lower case.
  package var header: String
  /// The product whose version counts, as in `User-Agent: acme-web/2.3.1`; the whole value is the version without it.
  package var product: String?
  /// The first version that understands `stream_end`.
  package var since: SemanticVersion?
  /// The first version that no longer does.
  package var until: SemanticVersion?
  /// Broken releases in between.
  package var except: [SemanticVersion]

  package init(
    header: String, product: String? = nil, since: SemanticVersion? = nil, until: SemanticVersion? = nil,
    except: [SemanticVersion] = []
  ) {
    self.header = header.lowercased()
    self.product = product
    self.since = since
    self.until = until
    self.except = except
  }

  /// Whether `value` of the rule's header is a version that understands `stream_end`; `nil` if the rule says nothing
  /// of it (another product, no version).
  package func judge(_ value: String) -> Bool? {
    guard let version = version(in: value) else { return nil }
    if let since, version < since { return false }
    if let until, !(version < until) { return false }
    return !except.contains(version)
  }

  /// The version that `value` of the rule's header names; `nil` for another product, or no version.
  func version(in value: String) -> SemanticVersion? {
    // Clients write `2.3` where they mean `2.3.0`.
    guard let product else { return SemanticVersion(value.trimmingSpace, form: .flagd) }
    // RFC 9110, 10.1.5: products are separated by white space, a version follows its product's slash.
    for word in value.split(whereSeparator: { $0 == " " || $0 == "\t" }) where word.hasPrefix(product) {
      let rest = word.dropFirst(product.count)
      guard rest.first == "/" else { continue }
      if let version = SemanticVersion(String(rest.dropFirst()), form: .flagd) { return version }
    }
    return nil
  }
}

extension String {
  fileprivate var trimmingSpace: String {
    var text = self[...]
    while text.first == " " || text.first == "\t" { text.removeFirst() }
    while text.last == " " || text.last == "\t" { text.removeLast() }
    return String(text)
  }
}

/// Finds a client's capability: the first source that says anything wins.
package struct CapabilityDetector: Sendable {
  /// Ordered; the first rule that knows the client decides.
  package var versionRules: [VersionRule]

  package init(versionRules: [VersionRule] = []) {
    self.versionRules = versionRules
  }

  /// - Parameters:
  ///   - prefers: what `Prefer` says (`Self.prefersStreamEnd`).
  ///   - header: what the route's own header says.
  ///   - query: the value of the query parameter `stream_end`.
  ///   - field: the value of a request header, by its lower-case name.
  package func detect(
    prefers: Bool?, header: Bool?, query: Bool?, field: (String) -> String?
  ) -> Capability {
    if let prefers { return Capability(understandsStreamEnd: prefers, source: .prefer) }
    if let header { return Capability(understandsStreamEnd: header, source: .header) }
    if let query { return Capability(understandsStreamEnd: query, source: .query) }
    for rule in versionRules {
      guard let value = field(rule.header), let understands = rule.judge(value) else { continue }
      return Capability(understandsStreamEnd: understands, source: .version)
    }
    return .none
  }

  /// Whether a `Prefer` field (RFC 7240, section 2) asks for `stream-end`; `nil` if it does not speak of it. Of a
  /// preference that is named twice only the first counts, and an empty value is as good as none.
  package static func prefersStreamEnd(_ value: Span<UInt8>) -> Bool? {
    // What nearly all clients send.
    if value.equalsIgnoringASCIICase("stream-end") { return true }
    var start = 0
    while start < value.count {
      let end = value.endOfElement(from: start, separator: UInt8(ascii: ","))
      let item = value.extracting(start..<end)
      start = end + 1
      // Parameters of a preference don't matter here.
      let preference = item.extracting(first: item.endOfElement(from: 0, separator: UInt8(ascii: ";"))).trimmed
      let nameEnd = preference.firstIndex(of: UInt8(ascii: "=")) ?? preference.count
      guard preference.extracting(first: nameEnd).trimmed.equalsIgnoringASCIICase("stream-end") else { continue }
      let word = preference.extracting(droppingFirst: min(nameEnd + 1, preference.count)).trimmed
      return word.isEmpty || word.equals("\"\"") ? true : truth(word)
    }
    return nil
  }

  /// The value of a switch in a header or a query: `1` or `true`, `0` or `false`, anything else says nothing.
  package static func truth(_ value: Span<UInt8>) -> Bool? {
    var text = value
    if text.count >= 2, text[0] == UInt8(ascii: "\""), text[text.count - 1] == UInt8(ascii: "\"") {
      text = text.extracting(1..<text.count - 1)
    }
    if text.equals("1") || text.equalsIgnoringASCIICase("true") { return true }
    if text.equals("0") || text.equalsIgnoringASCIICase("false") { return false }
    return nil
  }
}
