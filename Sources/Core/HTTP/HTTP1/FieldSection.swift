import Bytes

/// Reads lines and fields from bytes that may still be growing; the search goes on where it stopped, so no byte
/// is looked at twice however small the pieces come. Offsets count from the start of the section.
struct FieldSection: Sendable {
  private(set) var entries: [Fields.Entry] = []
  private(set) var present: KnownFieldSet = []
  /// The known fields that occur more than once.
  private(set) var repeated: KnownFieldSet = []
  /// Where the next line starts.
  private(set) var position = 0
  /// Everything before it has been searched for the line's end.
  private var searched = 0

  /// As many fields as most heads have: room for them is made at once.
  private static let usualCount = 12

  /// The next line without its CRLF; `nil` until it is whole. RFC 9112 2.2 lets a recipient take a bare LF for a
  /// line's end; one that does and one that does not see different messages, so it is a fault here.
  mutating func nextLine(in bytes: Span<UInt8>) throws(HTTP1Fault) -> Range<Int>? {
    let stop = bytes.firstControl(from: searched)
    searched = stop
    guard stop < bytes.count else { return nil }
    guard bytes[stop] == .carriageReturn else {
      throw bytes[stop] == .lineFeed ? .bareLineFeed : .controlCharacter
    }
    guard stop + 1 < bytes.count else { return nil }
    guard bytes[stop + 1] == .lineFeed else { throw .bareCarriageReturn }
    let line = position..<stop
    position = stop + 2
    searched = position
    return line
  }

  /// Takes in every whole line there is; true once the empty line that ends the section has been read.
  mutating func readFields(in bytes: Span<UInt8>, atMost limit: Int) throws(HTTP1Fault) -> Bool {
    while let line = try nextLine(in: bytes) {
      if line.isEmpty { return true }
      if entries.count >= limit { throw .tooManyFields }
      if entries.isEmpty { entries.reserveCapacity(Self.usualCount) }
      try readField(line, in: bytes)
    }
    return false
  }

  private mutating func readField(_ line: Range<Int>, in bytes: Span<UInt8>) throws(HTTP1Fault) {
    let content = bytes.extracting(line)
    guard let nameLength = content.firstIndex(of: UInt8(ascii: ":")) else { throw FieldSection.faultOfName(content) }
    let name = content.extracting(first: nameLength)
    let known = KnownFieldTable.shared.find(name)
    // A known name is a token.
    if known == nil {
      guard nameLength > 0, ByteSet.token.containsAll(name) else { throw FieldSection.faultOfName(content) }
      guard nameLength <= FieldName.maximumLength else { throw .fieldNameTooLong }
    }
    var (low, high) = (line.lowerBound + nameLength + 1, line.upperBound)
    while low < high, bytes[low] == .space || bytes[low] == .tab { low += 1 }
    while high > low, bytes[high - 1] == .space || bytes[high - 1] == .tab { high -= 1 }
    if let known {
      if present.contains(known) { repeated.insert(known) }
      present.insert(known)
    }
    entries.append(
      Fields.Entry(
        nameStart: UInt32(line.lowerBound), valueStart: UInt32(low), valueLength: UInt32(high - low),
        nameLength: UInt16(nameLength), known: known?.rawValue ?? Fields.Entry.unknown))
  }

  /// Why a line that does not begin with a token and a colon is refused.
  private static func faultOfName(_ line: Span<UInt8>) -> HTTP1Fault {
    var tokenLength = 0
    while tokenLength < line.count, ByteSet.token.contains(line[tokenLength]) { tokenLength += 1 }
    if line[0] == .space || line[0] == .tab { return .obsoleteFolding }
    if tokenLength == line.count { return .missingColon }
    var index = tokenLength
    while index < line.count, line[index] == .space || line[index] == .tab { index += 1 }
    let hasWhitespace = tokenLength > 0 && index > tokenLength
    return hasWhitespace && index < line.count && line[index] == UInt8(ascii: ":")
      ? .whitespaceBeforeColon : .invalidFieldName
  }

  func firstIndex(of field: KnownField) -> Int? {
    guard present.contains(field) else { return nil }
    return entries.firstIndex { $0.known == field.rawValue }
  }

  @_lifetime(copy bytes)
  func value(of field: KnownField, in bytes: Span<UInt8>) -> Span<UInt8>? {
    guard let index = firstIndex(of: field) else { return nil }
    return bytes.extracting(entries[index].value)
  }

  /// Lets the field at `index` have the value that stands at `range` instead.
  mutating func replaceValue(at index: Int, by range: Range<Int>) {
    entries[index].valueStart = UInt32(range.lowerBound)
    entries[index].valueLength = UInt32(range.count)
  }
}
