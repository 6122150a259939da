import Bytes
import EventSamples
import JSON
import Testing

struct JSONTextTests {
  private func written(_ bytes: [UInt8], limit: Int = .max) -> [UInt8] {
    var buffer = ByteBuffer()
    buffer.append(jsonString: bytes.span, limit: limit)
    return buffer.toArray()
  }

  private func readBack(_ text: [UInt8]) throws -> String? {
    try JSONDocument(parsing: text).value.string
  }

  @Test func `what JSON escapes is escaped`() {
    #expect(written(Array("a\"\\\n\r\t\u{0}\u{1F}\u{7F}/é".utf8)) == Array(#""a\"\\\n\r\t\u0000\u001f\u007f/é""#.utf8))
    #expect(written([]) == Array("\"\"".utf8))
  }

  @Test func `every byte alone gives one line of valid JSON`() throws {
    for byte in UInt8.min...UInt8.max {
      let text = written([byte])
      #expect(try readBack(text) == (byte < 0x80 ? String(UnicodeScalar(byte)) : "\u{FFFD}"), "\(byte)")
      #expect(!text.contains { $0 < 0x20 })
    }
  }

  @Test func `every byte is found wherever it stands among plain ones`() throws {
    for length in 1...20 {
      for place in 0..<length {
        for byte in UInt8.min...UInt8.max {
          var bytes = [UInt8](repeating: 0x7E, count: length)
          bytes[place] = byte
          let expected = String(decoding: bytes, as: UTF8.self)
          #expect(try readBack(written(bytes)) == expected, "\(byte) at \(place) of \(length)")
        }
      }
    }
  }

  @Test func `every scalar is kept`() throws {
    for value in Array(stride(from: UInt32(0x80), to: 0x110000, by: 61)) + [0x7FF, 0x800, 0xFFFF, 0x10000, 0x10FFFF] {
      guard let scalar = UnicodeScalar(value) else { continue }
      #expect(written(Array(String(scalar).utf8)) == Array("\"\(scalar)\"".utf8))
    }
  }

  @Test(
    arguments: [
      [0x80], [0xC0, 0x80], [0xC1, 0xBF], [0xC2], [0xE0, 0x80, 0x80], [0xE0, 0x9F, 0xBF], [0xED, 0xA0, 0x80],
      [0xE2, 0x82],
      [0xF0, 0x80, 0x80, 0x80], [0xF0, 0x8F, 0xBF, 0xBF], [0xF4, 0x90, 0x80, 0x80], [0xF5, 0x80, 0x80, 0x80], [0xFF],
      [0xF0, 0x9F, 0x98], [0xC2, 0x22], [0xE2, 0x82, 0x22],
    ] as [[UInt8]])
  func `what is not UTF-8 becomes U+FFFD and what follows is kept`(_ bytes: [UInt8]) throws {
    let text = try #require(try readBack(written([0x61] + bytes + [0x62])))
    #expect(text.first == "a" && text.last == "b" && text.contains("\u{FFFD}"))
    #expect(text.contains("\"") == bytes.contains(0x22))
  }

  @Test func `random bytes always give one line of valid JSON`() throws {
    for seed in 0..<3000 {
      var random = SeededGenerator(seed: UInt64(seed))
      let bytes = (0..<random.below(80)).map { _ in UInt8(random.below(256)) }
      let text = written(bytes, limit: random.below(100))
      #expect(!text.contains { $0 < 0x20 })
      #expect(try readBack(text) != nil, "seed \(seed)")
    }
  }

  @Test func `a long text is cut between scalars and says so`() throws {
    #expect(written(Array("abcdef".utf8), limit: 3) == Array("\"abc…\"".utf8))
    #expect(written(Array("abc".utf8), limit: 3) == Array("\"abc\"".utf8))
    #expect(written(Array("a😀b".utf8), limit: 3) == Array("\"a😀…\"".utf8))
    #expect(written(Array("a".utf8), limit: 0) == Array("\"…\"".utf8))
  }
}
