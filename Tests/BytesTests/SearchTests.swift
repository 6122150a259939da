import Bytes
import EventSamples
import Testing

struct SearchTests {
  @Test func `a byte is found where a plain loop finds it, at every offset and length`() {
    for length in 0...100 {
      var bytes = [UInt8](repeating: 0x61, count: length)
      for place in 0...length {
        if place > 0 { bytes[place - 1] = 0x61 }
        if place < length { bytes[place] = place % 2 == 0 ? 0x0A : 0x0D }
        for offset in 0...length {
          let expected = bytes[offset...].firstIndex { $0 == 0x0A || $0 == 0x0D } ?? length
          guard bytes.span.firstIndex(ofEither: 0x0A, or: 0x0D, from: offset) == expected else {
            Issue.record("length \(length) place \(place) offset \(offset)")
            return
          }
        }
      }
    }
  }

  @Test func `bytes that are not visible are found wherever they stand`() {
    for length in 0...20 {
      let plain = [UInt8](repeating: 0x7E, count: length)
      let isVisible = plain.span.isVisibleASCII
      #expect(isVisible)
      for place in 0..<length {
        for byte in UInt8.min...UInt8.max {
          for filler: UInt8 in [0x21, 0x7E] {
            var bytes = [UInt8](repeating: filler, count: length)
            bytes[place] = byte
            guard bytes.span.isVisibleASCII == (0x21...0x7E).contains(byte) else {
              Issue.record("\(byte) at \(place) of \(length)")
              return
            }
          }
        }
      }
    }
  }

  @Test func `random bytes are searched as by a plain loop`() {
    for seed in 0..<3000 {
      var random = SeededGenerator(seed: UInt64(seed))
      let spread = random.pick([2, 4, 30, 256])
      let bytes = (0..<random.below(200)).map { _ in UInt8(random.below(spread)) }
      let slice = random.below(bytes.count + 1)..<bytes.count
      let part = Array(bytes[slice])
      let offset = random.below(part.count + 1)
      let (first, second, lead) = (
        UInt8(random.below(spread)), UInt8(random.below(spread)), UInt8(random.below(spread))
      )
      let span = bytes.span.extracting(slice)
      #expect(
        span.firstIndex(ofEither: first, or: second, from: offset)
          == part[offset...].firstIndex { $0 == first || $0 == second } ?? part.count, "seed \(seed)")
      #expect(span.firstIndex(of: first, from: offset) == part[offset...].firstIndex(of: first), "seed \(seed)")
      let pair = part.indices.first {
        $0 >= offset && $0 + 1 < part.count && part[$0] == lead && (part[$0 + 1] == first || part[$0 + 1] == second)
      }
      #expect(
        span.firstIndex(of: lead, before: first, or: second, from: offset) == pair ?? part.count, "seed \(seed)")
    }
  }

  @Test func `a text is found where it first stands`() {
    let text = Array("ababac abc  ababac".utf8)
    #expect(text.span.firstRange(of: "abac") == 2)
    #expect(text.span.firstRange(of: "abac", from: 3) == 14)
    #expect(text.span.firstRange(of: "abac", from: 15) == nil)
    #expect(text.span.firstRange(of: "abacx") == nil)
    #expect(text.span.firstRange(of: "", from: 5) == 5)
    #expect([UInt8]().span.firstRange(of: "a") == nil)
    #expect([UInt8]().span.firstIndex(of: 1) == nil)
    #expect([UInt8]().span.firstIndex(ofEither: 1, or: 2, from: 0) == 0)
  }
}

struct SpanTests {
  private func with<Result>(_ text: String, _ body: (Span<UInt8>) -> Result) -> Result { body(Array(text.utf8).span) }

  @Test func `bytes are compared with text`() {
    #expect(with("abc") { $0.equals("abc") && $0.hasPrefix("ab") && $0.hasPrefix("") })
    #expect(!with("abc") { $0.equals("abcd") || $0.equals("ab") || $0.hasPrefix("abcd") || $0.hasPrefix("b") })
    #expect(with("") { $0.equals("") })
    #expect(with("AbC-1") { $0.equalsIgnoringASCIICase("abc-1") })
    #expect(!with("[") { $0.equalsIgnoringASCIICase("{") })
    #expect(!with("@") { $0.equalsIgnoringASCIICase("`") })
    #expect(with("aBc") { left in with("AbC") { left.equalsIgnoringASCIICase($0) && !left.equals($0) } })
    #expect(with("abc") { left in with("ab") { left.hasPrefix($0) && !$0.hasPrefix(left) && !left.equals($0) } })
  }

  @Test(
    arguments: [
      ("0", 0), ("7", 7), ("0042", 42), ("9223372036854775807", Int.max), ("9223372036854775808", nil), ("", nil),
      ("-1", nil), ("+1", nil), ("1 ", nil), ("1e3", nil), ("99999999999999999999999", nil), ("１", nil),
    ] as [(String, Int?)])
  func `a number is digits alone`(_ text: String, _ value: Int?) {
    #expect(with(text) { $0.decimalValue } == value)
  }

  @Test(arguments: [("", ""), ("  ", ""), ("a", "a"), (" \ta b\t ", "a b"), ("\na ", "\na")])
  func `spaces and tabs are trimmed at both ends`(_ text: String, _ expected: String) {
    #expect(with(text) { String(copying: $0.trimmed) } == expected)
  }

  @Test func `bytes that are not UTF-8 become text all the same`() {
    #expect(String(copying: [0x61, 0xFF, 0x62].span) == "a\u{FFFD}b")
    #expect([UInt8](copying: [1, 2, 3].span.extracting(1..<3)) == [2, 3])
    #expect([UInt8](copying: [UInt8]().span) == [])
    var bytes: [UInt8] = [1]
    bytes.append(copying: [2, 3].span)
    bytes.append(copying: [UInt8]().span)
    #expect(bytes == [1, 2, 3])
  }

  @Test func `letters change their case and nothing else does`() {
    for byte in UInt8.min...UInt8.max {
      let isUpper = (0x41...0x5A).contains(byte)
      #expect(byte.asciiLowercased == (isUpper ? byte + 32 : byte))
      #expect(byte.isASCIIDigit == (0x30...0x39).contains(byte))
    }
  }

  @Test(arguments: [
    ("a, b", 0, 1), ("a, b", 2, 4), ("\"a,b\",c", 0, 5), ("\"a\\\",b\",c", 0, 7), ("\"a,b", 0, 4), ("\"a\\", 0, 3),
    ("", 0, 0),
  ])
  func `an element ends at a separator outside quotation marks`(_ text: String, _ start: Int, _ end: Int) {
    #expect(with(text) { $0.endOfElement(from: start, separator: UInt8(ascii: ",")) } == end)
  }

  @Test func `a word is read with its lowest byte first, up to the last eight bytes`() {
    let bytes = [UInt8](1...20)
    for index in 0...12 {
      let expected = (0..<8).reduce(UInt64(0)) { $0 | UInt64(bytes[index + $1]) << UInt64(8 * $1) }
      #expect(bytes.span.word(at: index) == expected)
    }
  }
}
