package import Bytes

/// The header section of an answer as HTTP/2 has it: names in lower case, the status first (RFC 9113, 8.3.2). Can be
/// set again, which keeps its memory.
package struct HTTP2FieldBlock: ~Copyable {
  /// Where a field stands in ``bytes``.
  package struct Entry: Sendable {
    package let name: Range<Int>
    package let value: Range<Int>
    /// Whether the compression may keep it for the next section.
    package let isIndexed: Bool
  }

  package private(set) var bytes = ByteBuffer()
  package private(set) var entries: [Entry] = []

  package init() {}

  /// The head of a response. Fields about one HTTP/1.1 connection are left out, as is the reason, which HTTP/2 has not.
  ///
  /// - Parameter framing: of a known length, that is declared; else the end of the stream ends the body.
  package mutating func set(_ draft: borrowing ResponseDraft, framing: BodyFraming) {
    begin(status: draft.status)
    // Out of `self`, because the closure can't change what a borrowed draft lends it to.
    var block = HTTP2FieldBlock()
    swap(&block, &self)
    draft.forEachField { name, value in block.append(name, value) }
    swap(&block, &self)
    if case .length(let length) = framing {
      appendLength(length)
    } else if framing == .none, let length = draft.unsentLength {
      appendLength(length)
    }
  }

  /// The head of a request. `Host` is what `authority` says, and `Content-Length` what `length` does.
  package mutating func set(
    request method: Method, scheme: String, authority: String, path: String, fields: borrowing Fields, length: Int?
  ) {
    bytes.removeAll()
    entries.removeAll(keepingCapacity: true)
    append(":method", isIndexed: true) { $0.append(method.name) }
    append(":scheme", isIndexed: true) { $0.append(scheme) }
    append(":authority", isIndexed: true) { $0.append(authority) }
    append(":path", isIndexed: false) { $0.append(path) }
    for index in fields.indices where fields.known(at: index) != .host {
      append(fields.name(at: index), fields.value(at: index))
    }
    if let length { appendLength(length) }
  }

  /// Adds the field to a head (RFC 6797, 6.1).
  package mutating func append(transportSecurity value: String) {
    append("strict-transport-security", isIndexed: true) { $0.append(value) }
  }

  /// A head without fields: 100 (Continue) and others like it.
  package mutating func set(informational status: Int) { begin(status: status) }

  private mutating func begin(status: Int) {
    bytes.removeAll()
    entries.removeAll(keepingCapacity: true)
    append(":status", isIndexed: true) { $0.append(decimal: status) }
  }

  private mutating func appendLength(_ length: Int) {
    append("content-length", isIndexed: false) { $0.append(decimal: length) }
  }

  private mutating func append(_ name: StaticString, isIndexed: Bool, _ write: (inout ByteBuffer) -> Void) {
    let start = bytes.count
    bytes.append(name)
    let middle = bytes.count
    write(&bytes)
    entries.append(Entry(name: start..<middle, value: middle..<bytes.count, isIndexed: isIndexed))
  }

  private mutating func append(_ name: Span<UInt8>, _ value: Span<UInt8>) {
    let known = KnownField(name)
    if let known, FieldFilter.hopByHop.contains(known) { return }
    let start = bytes.count
    for index in name.indices { bytes.append(name[index].asciiLowercased) }
    let middle = bytes.count
    bytes.append(value)
    entries.append(
      Entry(name: start..<middle, value: middle..<bytes.count, isIndexed: HTTP2FieldRules.isIndexed(known)))
  }
}
