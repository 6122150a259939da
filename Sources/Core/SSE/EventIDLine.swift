package import Bytes

/// Writes the line that gives an event the id `<stream>.<number>`, for the events of one stream. Their numbers mostly
/// follow each other; what the lines share is put together once.
package struct EventIDLine {
  // "id: " and the stream's 22 characters, then the dot, as they lie in memory: eight, eight, eight and three bytes.
  private let start: (UInt64, UInt64, UInt64, UInt64)
  /// The digits of the last number, the first one lowest; `count` is 0 for one that is not kept like this.
  private var last: (number: UInt64, digits: UInt64, count: Int) = (0, 0, 0)

  package init(stream: StreamID) {
    let (first, second, third) = stream.words
    let name =
      UInt64(UInt8(ascii: "i")) | UInt64(UInt8(ascii: "d")) << 8 | UInt64(UInt8(ascii: ":")) << 16
      | UInt64(UInt8(ascii: " ")) << 24
    start = (
      name | first << 32, first >> 32 | second << 32, second >> 32 | third << 32,
      third >> 32 | UInt64(UInt8(ascii: ".")) << 16
    )
  }

  /// Bytes in front of the number.
  private static let nameLength = 27

  /// Bytes of the longest line.
  package static let longest = 48

  /// - Returns: the line's length.
  @discardableResult
  package mutating func write(_ number: UInt64, to out: inout ByteBuffer) -> Int {
    out.append(words: start, count: Self.nameLength)
    count(to: number)
    if last.count > 0 {
      out.append(word: last.digits | 0x0A << (8 &* UInt64(truncatingIfNeeded: last.count)), count: last.count &+ 1)
      return Self.nameLength &+ last.count &+ 1
    }
    let before = out.count
    out.append(decimal: number)
    out.append(0x0A)
    return Self.nameLength + out.count - before
  }

  private mutating func count(to number: UInt64) {
    defer { last.number = number }
    let place = 8 &* UInt64(truncatingIfNeeded: last.count &- 1)
    if last.count > 0, number == last.number &+ 1, last.digits >> place < 0x39 {
      last.digits &+= 1 << place
      return
    }
    (last.digits, last.count) = (0, 0)
    // With the line's end they are to be one word.
    guard number < 10_000_000 else { return }
    var rest = number
    repeat {
      last.digits = last.digits << 8 | (0x30 | rest % 10)
      last.count += 1
      rest /= 10
    } while rest > 0
  }
}
