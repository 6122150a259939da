package import Bytes

/// The id that the gateway gives an event: `<stream id>.<sequence>`.
///
/// The stream id is unguessable and new for every stream, so an id names its epoch too: one that was handed out
/// before a restart can't be mistaken for one of today.
package struct EventID: Hashable, Sendable {
  package let stream: StreamID
  /// The event's place in its stream, from 1.
  package let sequence: UInt64

  package init(stream: StreamID, sequence: UInt64) {
    self.stream = stream
    self.sequence = sequence
  }

  /// Reads what `write(to:)` wrote; `nil` for anything else.
  package init?(parsing text: Span<UInt8>) {
    guard let dot = text.firstIndex(of: UInt8(ascii: ".")),
      let stream = StreamID(parsing: text.extracting(first: dot))
    else { return nil }
    let digits = text.extracting(droppingFirst: dot + 1)
    guard let number = digits.decimalValue, digits[0] != 0x30, number > 0 else { return nil }
    self.init(stream: stream, sequence: UInt64(number))
  }

  package func write(to out: inout ByteBuffer) {
    stream.write(to: &out)
    out.append(UInt8(ascii: "."))
    out.append(decimal: sequence)
  }

  package var description: String { "\(stream.description).\(sequence)" }
}

/// Names one stream: 128 random bits, written as 22 characters of base64url (RFC 4648, section 5).
package struct StreamID: Hashable, Sendable {
  // The characters, the first one lowest, because they are written several times for each stream. Eight, eight and six.
  private let first: UInt64
  private let second: UInt64
  private let third: UInt64

  private static let length = 22

  /// - Parameter random: 16 bytes that nobody can guess.
  package init(random: (UInt64, UInt64)) {
    var (high, low) = random
    func next(_ count: Int) -> UInt64 {
      var word: UInt64 = 0
      for place in 0..<count {
        word |= UInt64(Self.character(high >> 58)) << (8 * UInt64(place))
        // The two bits that are left at last stand at the top of a digit whose other bits are zero.
        (high, low) = (high << 6 | low >> 58, low << 6)
      }
      return word
    }
    (first, second, third) = (next(8), next(8), next(6))
  }

  /// All of it is random: a third tells as much.
  package func hash(into hasher: inout Hasher) { hasher.combine(first) }

  /// Reads what `write(to:)` wrote; `nil` for anything else.
  package init?(parsing text: Span<UInt8>) {
    guard text.count == Self.length else { return nil }
    var words: (UInt64, UInt64, UInt64) = (0, 0, 0)
    for index in text.indices {
      guard let digit = Self.digit(text[index]) else { return nil }
      // 21 whole digits make 126 bits; the last gives two more, its other bits must be zero.
      if index == Self.length - 1, digit & 0x0F != 0 { return nil }
      let character = UInt64(text[index]) << (8 * UInt64(index % 8))
      switch index / 8 {
      case 0: words.0 |= character
      case 1: words.1 |= character
      default: words.2 |= character
      }
    }
    (first, second, third) = words
  }

  package func write(to out: inout ByteBuffer) {
    out.append(word: first, count: 8)
    out.append(word: second, count: 8)
    out.append(word: third, count: 6)
  }

  /// The 22 characters as they lie in memory: eight, eight and six.
  var words: (UInt64, UInt64, UInt64) { (first, second, third) }

  package var description: String {
    var out = ByteBuffer()
    write(to: &out)
    return String(copying: out.span)
  }

  private static func character(_ digit: UInt64) -> UInt8 {
    let alphabet: StaticString = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return unsafe alphabet.utf8Start[Int(digit & 0x3F)]
  }

  private static func digit(_ character: UInt8) -> UInt64? {
    switch character {
    case UInt8(ascii: "A")...UInt8(ascii: "Z"): return UInt64(character - UInt8(ascii: "A"))
    case UInt8(ascii: "a")...UInt8(ascii: "z"): return UInt64(character - UInt8(ascii: "a")) + 26
    case UInt8(ascii: "0")...UInt8(ascii: "9"): return UInt64(character - UInt8(ascii: "0")) + 52
    case UInt8(ascii: "-"): return 62
    case UInt8(ascii: "_"): return 63
    default: return nil
    }
  }
}
