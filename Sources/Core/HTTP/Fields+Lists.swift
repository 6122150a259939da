import Bytes

/// Walks the elements of a comma-separated value (RFC 9110 5.6.1): trimmed, empty ones skipped, commas inside
/// quoted strings not taken for separators.
package struct ListElements: ~Escapable {
  private let value: Span<UInt8>
  private var offset = 0

  @_lifetime(copy value)
  package init(_ value: Span<UInt8>) {
    self.value = value
  }

  @_lifetime(copy self)
  package mutating func next() -> Span<UInt8>? {
    while offset < value.count {
      let end = value.endOfElement(from: offset, separator: UInt8(ascii: ","))
      let element = value.extracting(offset..<end).trimmed
      offset = end + 1
      if !element.isEmpty { return element }
    }
    return nil
  }
}

extension Fields {
  /// Whether a list field holds `token` (lower case; compared without case) as one of its elements.
  package func containsToken(_ field: KnownField, _ token: StaticString) -> Bool {
    var next = firstIndex(of: field)
    while let index = next {
      var elements = ListElements(value(at: index))
      while let element = elements.next() {
        if element.equalsIgnoringASCIICase(token) { return true }
      }
      next = firstIndex(of: field, from: index + 1)
    }
    return false
  }

  /// The protocol that the client can't do without (RFC 9110, 7.8): the first that `Upgrade` names while `Connection` says
  /// that it means it. `h2c` is an offer, which some clients make with every request and don't mind to be left aside.
  package var wantedProtocol: String? {
    guard contains(.upgrade), containsToken(.connection, "upgrade") else { return nil }
    var next = firstIndex(of: .upgrade)
    while let index = next {
      var elements = ListElements(value(at: index))
      while let element = elements.next() {
        if !element.equalsIgnoringASCIICase("h2c") { return String(copying: element) }
      }
      next = firstIndex(of: .upgrade, from: index + 1)
    }
    return nil
  }

  /// Whether `Accept` names event streams and no JSON beside them: the client wants no other answer.
  package var acceptsEventsAlone: Bool {
    containsElement(.accept, named: "text/event-stream") && !containsElement(.accept, named: "application/json")
  }

  /// Whether `Content-Encoding` names a coding that changes the body's bytes (RFC 9110, 8.4). `identity` does not, nor
  /// does `none`, which some servers write; an empty value names nothing.
  package var hasContentCoding: Bool {
    var next = firstIndex(of: .contentEncoding)
    while let index = next {
      var elements = ListElements(value(at: index))
      while let element = elements.next() {
        if !element.equalsIgnoringASCIICase("identity"), !element.equalsIgnoringASCIICase("none") { return true }
      }
      next = firstIndex(of: .contentEncoding, from: index + 1)
    }
    return false
  }

  /// Whether a list field holds an element that is `name` (lower case; compared without case), parameters or a
  /// value behind it left aside: `Prefer: stream-end; x=1` and `Accept: text/event-stream;q=0.9`.
  package func containsElement(_ field: KnownField, named name: StaticString) -> Bool {
    var next = firstIndex(of: field)
    while let index = next {
      // Most clients of event streams send one element and nothing else.
      if value(at: index).equalsIgnoringASCIICase(name) { return true }
      guard value(at: index).hasListSyntax else {
        next = firstIndex(of: field, from: index + 1)
        continue
      }
      var elements = ListElements(value(at: index))
      while let element = elements.next() {
        let end = element.firstIndex(ofEither: UInt8(ascii: ";"), or: UInt8(ascii: "="), from: 0)
        if element.extracting(first: end).trimmed.equalsIgnoringASCIICase(name) { return true }
      }
      next = firstIndex(of: field, from: index + 1)
    }
    return false
  }
}

extension Span where Element == UInt8 {
  /// Whether a list's element may end before the value does: at a comma, or where its parameters or its own value begin.
  fileprivate var hasListSyntax: Bool {
    firstIndex(ofEither: UInt8(ascii: ","), or: UInt8(ascii: ";"), from: 0) < count
      || firstIndex(of: UInt8(ascii: "=")) != nil
  }
}
