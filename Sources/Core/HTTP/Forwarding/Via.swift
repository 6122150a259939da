import Bytes

extension Fields {
  /// Whether `Via` says that the message came through the recipient that calls itself `name` (RFC 9110, 7.6.3).
  package func wentThrough(_ name: FieldValue) -> Bool {
    var next = firstIndex(of: .via)
    while let index = next {
      var elements = ListElements(value(at: index))
      while let element = elements.next() {
        // The protocol, then who received it, then perhaps a comment.
        guard let space = element.firstIndex(of: .space) else { continue }
        let rest = element.extracting(droppingFirst: space).trimmed
        let end = rest.firstIndex(of: .space) ?? rest.count
        let own = name.bytes
        if rest.extracting(first: end).equalsIgnoringASCIICase(own.span) { return true }
      }
      next = firstIndex(of: .via, from: index + 1)
    }
    return false
  }
}
