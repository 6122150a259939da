package import Bytes

/// The fields of a head, in order: one run of bytes and an index of ranges into it.
///
/// A parsed head's fields share the bytes of the head as it was received; adding fields appends to them.
package struct Fields: Sendable {
  /// Where one field stands in the bytes.
  struct Entry: Sendable {
    static let unknown: UInt8 = 0xFF

    var nameStart: UInt32
    var valueStart: UInt32
    var valueLength: UInt32
    var nameLength: UInt16
    /// Raw value of the ``KnownField``, or ``unknown``.
    var known: UInt8

    var name: Range<Int> { Int(nameStart)..<Int(nameStart) + Int(nameLength) }
    var value: Range<Int> { Int(valueStart)..<Int(valueStart) + Int(valueLength) }
  }

  var bytes: [UInt8]
  var entries: [Entry]
  /// The known fields that occur at least once.
  package internal(set) var present: KnownFieldSet

  package init() {
    bytes = []
    entries = []
    present = []
  }

  init(bytes: [UInt8], entries: [Entry], present: KnownFieldSet) {
    self.bytes = bytes
    self.entries = entries
    self.present = present
  }

  package var count: Int { entries.count }
  /// Bytes of memory held.
  package var memory: Int { bytes.capacity + entries.capacity * MemoryLayout<Entry>.stride }
  package var isEmpty: Bool { entries.isEmpty }
  package var indices: Range<Int> { 0..<entries.count }

  /// The name as it was sent.
  @_lifetime(borrow self)
  package func name(at index: Int) -> Span<UInt8> {
    bytes.span.extracting(entries[index].name)
  }

  /// The value without whitespace around it.
  @_lifetime(borrow self)
  package func value(at index: Int) -> Span<UInt8> {
    bytes.span.extracting(entries[index].value)
  }

  package func known(at index: Int) -> KnownField? {
    KnownField(rawValue: entries[index].known)
  }
}

extension Fields {
  /// The same without those.
  package func without(_ fields: [KnownField]) -> Fields {
    let left = entries.filter { entry in !fields.contains { $0.rawValue == entry.known } }
    var present = present
    for field in fields { present.remove(field) }
    return Fields(bytes: bytes, entries: left, present: present)
  }
}

// MARK: - Looking up

extension Fields {
  package func contains(_ field: KnownField) -> Bool { present.contains(field) }

  /// The position of the first field of that name at or after `start`.
  package func firstIndex(of field: KnownField, from start: Int = 0) -> Int? {
    guard present.contains(field) else { return nil }
    var index = start
    while index < entries.count {
      if entries[index].known == field.rawValue { return index }
      index += 1
    }
    return nil
  }

  /// The position of the first field of that name (of any case) at or after `start`.
  package func firstIndex(named name: Span<UInt8>, from start: Int = 0) -> Int? {
    var index = start
    while index < entries.count {
      if Int(entries[index].nameLength) == name.count, self.name(at: index).equalsIgnoringASCIICase(name) {
        return index
      }
      index += 1
    }
    return nil
  }

  /// The lengths of all names. To look for many names, most of which are not there, asks this first.
  package var nameLengths: NameLengths {
    var lengths = NameLengths()
    for entry in entries { lengths.insert(Int(entry.nameLength)) }
    return lengths
  }

  /// How many fields have that name.
  package func count(of field: KnownField) -> Int {
    guard present.contains(field) else { return 0 }
    return entries.count(where: { $0.known == field.rawValue })
  }

  @_lifetime(borrow self)
  package func first(_ field: KnownField) -> Span<UInt8>? {
    guard let index = firstIndex(of: field) else { return nil }
    return value(at: index)
  }

  @_lifetime(borrow self)
  package func first(named name: String) -> Span<UInt8>? {
    guard let index = firstIndex(named: name.utf8Span.span) else { return nil }
    return value(at: index)
  }

  package func contains(named name: String) -> Bool { firstIndex(named: name.utf8Span.span) != nil }

  /// The first value as text; bytes that are not UTF-8 become U+FFFD.
  package func string(_ field: KnownField) -> String? {
    guard let index = firstIndex(of: field) else { return nil }
    return String(copying: value(at: index))
  }

  package func string(named name: String) -> String? {
    guard let index = firstIndex(named: name.utf8Span.span) else { return nil }
    return String(copying: value(at: index))
  }

  /// Calls `body` with every value of the field `name` (of any case), in order.
  package func forEachValue(named name: String, _ body: (Span<UInt8>) -> Void) {
    let bytes = name.utf8Span.span
    var next = firstIndex(named: bytes)
    while let index = next {
      body(value(at: index))
      next = firstIndex(named: bytes, from: index + 1)
    }
  }

  /// The same for a field that is known.
  package func forEachValue(of field: KnownField, _ body: (Span<UInt8>) -> Void) {
    var next = firstIndex(of: field)
    while let index = next {
      body(value(at: index))
      next = firstIndex(of: field, from: index + 1)
    }
  }
}

// MARK: - Building

extension Fields {
  package mutating func append(_ field: KnownField, _ value: FieldValue) {
    append(name: field.name, known: field, value: value.bytes.span)
  }

  /// For a value in the program's own text, which must hold no control character.
  package mutating func append(_ field: KnownField, literal value: StaticString) {
    append(field, FieldValue(literal: value))
  }

  package mutating func append(_ field: KnownField, decimal number: Int) {
    append(field, FieldValue(decimal: number))
  }

  package mutating func append(_ name: FieldName, _ value: FieldValue) {
    append(name: name.bytes.span, known: name.known, value: value.bytes.span)
  }

  /// Replaces every field of that name by this one, put last.
  package mutating func set(_ field: KnownField, _ value: FieldValue) {
    removeAll(field)
    append(field, value)
  }

  package mutating func set(_ name: FieldName, _ value: FieldValue) {
    removeAll(name)
    append(name, value)
  }

  package mutating func removeAll(_ field: KnownField) {
    guard present.contains(field) else { return }
    entries.removeAll { $0.known == field.rawValue }
    present.remove(field)
  }

  package mutating func removeAll(_ name: FieldName) {
    if let known = name.known { return removeAll(known) }
    while let index = firstIndex(named: name.bytes.span) { entries.remove(at: index) }
  }

  private mutating func append(name: StaticString, known: KnownField, value: Span<UInt8>) {
    append(name: [UInt8](name).span, known: known, value: value)
  }

  /// For a name and a value that were checked.
  mutating func append(stored name: Span<UInt8>, known: KnownField?, value: Span<UInt8>) {
    append(name: name, known: known, value: value)
  }

  /// Keeps bytes that are no field beside the fields.
  ///
  /// - Returns: where they are in ``bytes``.
  mutating func store(_ text: Span<UInt8>) -> Range<Int> {
    let start = bytes.count
    bytes.append(copying: text)
    return start..<bytes.count
  }

  private mutating func append(name: Span<UInt8>, known: KnownField?, value: Span<UInt8>) {
    let nameStart = bytes.count
    bytes.append(copying: name)
    // Laid out as on the wire, so that writing a field is one copy.
    bytes.append(UInt8(ascii: ":"))
    bytes.append(.space)
    let valueStart = bytes.count
    bytes.append(copying: value)
    entries.append(
      Entry(
        nameStart: UInt32(nameStart), valueStart: UInt32(valueStart), valueLength: UInt32(value.count),
        nameLength: UInt16(name.count), known: known?.rawValue ?? Entry.unknown))
    if let known { present.insert(known) }
  }
}

// MARK: - Writing

extension Fields {
  /// Appends the field at `index` as a line, with exactly one space behind the colon.
  package func write(at index: Int, into buffer: inout ByteBuffer) {
    let entry = entries[index]
    let (name, value) = (entry.name, entry.value)
    let all = bytes.span
    if value.lowerBound == name.upperBound + 2, all[name.upperBound] == UInt8(ascii: ":"),
      all[name.upperBound + 1] == .space
    {
      buffer.append(all.extracting(name.lowerBound..<value.upperBound))
    } else {
      buffer.append(all.extracting(name))
      buffer.append(": ")
      buffer.append(all.extracting(value))
    }
    buffer.append("\r\n")
  }

  /// Appends every field as a line.
  package func write(into buffer: inout ByteBuffer) {
    for index in indices { write(at: index, into: &buffer) }
  }
}

extension [UInt8] {
  mutating func append(copying span: Span<UInt8>) {
    unsafe span.withUnsafeBufferPointer { unsafe append(contentsOf: $0) }
  }
}

/// The lengths that occur among names, a bit for each; 63 stands for all from there on.
package struct NameLengths {
  private var bits: UInt64 = 0

  mutating func insert(_ length: Int) { bits |= 1 &<< UInt64(min(length, 63)) }
  package func contains(_ length: Int) -> Bool { bits & (1 &<< UInt64(min(length, 63))) != 0 }
}
