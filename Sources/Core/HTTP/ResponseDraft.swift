package import Bytes

/// The head of a response that is being made: a status, a reason phrase and fields in their order, in the format of no
/// HTTP version.
///
/// ``Forwarding`` fills it from a backend's head, the gateway for answers of its own; ``HTTP1Head`` writes it. How the body
/// is framed and whether the connection goes on is not part of it. A draft can be begun again, which keeps its memory.
/// Owned by one place at a time, like its buffer: not thread-safe.
package struct ResponseDraft: ~Copyable {
  /// 100 to 599.
  package private(set) var status = 200
  /// The length of a body that is not sent: in answers to HEAD, and in 304 (RFC 9110, 8.6).
  package var unsentLength: Int?
  /// The reason, then each field as `name: value` and the end of a line: no name has a colon, no value a line's end.
  /// Without an index, which would cost more than the one look for colons that a version with other lines needs.
  private var bytes = ByteBuffer()
  private var reasonLength = 0
  private var bodyFieldsAt: Int?

  /// With the registered reason phrase and no fields.
  package init(status: Int = 200) {
    begin(status: status)
  }

  /// The same with `fields`.
  package init(status: Int, fields: borrowing Fields) {
    begin(status: status)
    append(fields)
  }

  /// Makes it the head of another response, with the registered reason phrase and without fields.
  package mutating func begin(status: Int) {
    empty(status)
    bytes.append(ReasonPhrase.of(status))
    reasonLength = bytes.count
  }

  /// - Parameter reason: may be empty; must hold no control character.
  package mutating func begin(status: Int, reason: Span<UInt8>) {
    empty(status)
    bytes.append(reason)
    reasonLength = bytes.count
  }

  private mutating func empty(_ status: Int) {
    self.status = status
    unsentLength = nil
    bodyFieldsAt = nil
    bytes.removeAll()
    count = 0
  }

  /// Makes room for `count` bytes of fields.
  package mutating func reserve(_ count: Int) { bytes.reserve(count) }

  // MARK: - Adding fields

  package mutating func append(_ fields: borrowing Fields) {
    for index in fields.indices { append(fields, at: index) }
  }

  /// Appends one field of `fields`.
  package mutating func append(_ fields: borrowing Fields, at index: Int) {
    count += 1
    fields.write(at: index, into: &bytes)
  }

  /// For a name and a value in the program's own text.
  package mutating func append(_ name: StaticString, _ value: StaticString) {
    append(name) { $0.append(value) }
  }

  /// - Parameter write: appends the value, which must hold no control character.
  package mutating func append(_ name: StaticString, _ write: (inout ByteBuffer) -> Void) {
    count += 1
    bytes.append(name)
    bytes.append(": ")
    write(&bytes)
    bytes.append("\r\n")
  }

  /// Says that the fields which frame the body stand here, where the version has such fields: what is appended from now on
  /// comes after them. Without this they come last.
  package mutating func placeBodyFields() { bodyFieldsAt = bytes.count }

  // MARK: - Reading

  /// Fields.
  package private(set) var count = 0

  /// May be empty.
  package var reason: Span<UInt8> {
    @_lifetime(borrow self)
    get { bytes.span.extracting(first: reasonLength) }
  }

  /// Calls `body` with the name and the value of every field, in their order. Names have the case that they were given.
  package borrowing func forEachField(_ body: (_ name: Span<UInt8>, _ value: Span<UInt8>) -> Void) {
    var rest = bytes.span.extracting(droppingFirst: reasonLength)
    while let colon = rest.firstIndex(of: UInt8(ascii: ":")) {
      let name = rest.extracting(first: colon)
      rest = rest.extracting(droppingFirst: colon + 2)
      guard let end = rest.firstIndex(of: UInt8(ascii: "\r")) else { return }
      body(name, rest.extracting(first: end))
      rest = rest.extracting(droppingFirst: end + 2)
    }
  }

  /// The fields before and after those that frame the body, as lines.
  var fieldsBeforeBody: Span<UInt8> {
    @_lifetime(borrow self)
    get { bytes.span.extracting(reasonLength..<(bodyFieldsAt ?? bytes.count)) }
  }

  var fieldsAfterBody: Span<UInt8> {
    @_lifetime(borrow self)
    get { bytes.span.extracting((bodyFieldsAt ?? bytes.count)..<bytes.count) }
  }
}
