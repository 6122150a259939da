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
  private let high: UInt64
  private let low: UInt64

  /// - Parameter random: 16 bytes that nobody can guess.
  package init(random: (UInt64, UInt64)) {
    high = random.0
    low = random.1
  }

  /// Reads what `write(to:)` wrote; `nil` for anything else.
  package init?(parsing text: Span<UInt8>) {
    guard text.count == 22 else { return nil }
    var (high, low): (UInt64, UInt64) = (0, 0)
    for index in text.indices {
      guard let digit = Self.digit(text[index]) else { return nil }
      // 21 whole digits make 126 bits; the last gives two more, its other bits must be zero.
      if index == 21 {
        guard digit & 0x0F == 0 else { return nil }
        (high, low) = (high << 2 | low >> 62, low << 2 | digit >> 4)
      } else {
        (high, low) = (high << 6 | low >> 58, low << 6 | digit)
      }
    }
    self.init(random: (high, low))
  }

  package func write(to out: inout ByteBuffer) {
    out.append(text.span)
  }

  /// The 22 characters.
  package var text: [22 of UInt8] {
    var (high, low) = (self.high, self.low)
    // The two bits that are left at last stand at the top of a digit whose other bits are zero.
    return .init { _ in
      defer { (high, low) = (high << 6 | low >> 58, low << 6) }
      return Self.character(high >> 58)
    }
  }

  package var description: String {
    var out = ByteBuffer()
    write(to: &out)
    return String(copying: out.span)
  }

  private static func character(_ digit: UInt64) -> UInt8 {
    let value = UInt8(truncatingIfNeeded: digit & 0x3F)
    switch value {
    case 0..<26: return value + UInt8(ascii: "A")
    case 26..<52: return value - 26 + UInt8(ascii: "a")
    case 52..<62: return value - 52 + UInt8(ascii: "0")
    case 62: return UInt8(ascii: "-")
    default: return UInt8(ascii: "_")
    }
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
