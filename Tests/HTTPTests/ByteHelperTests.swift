import Bytes
import Testing

/// The helpers of `Bytes` that only heads and bodies use.
@Suite struct ByteHelperTests {
  @Test func `the first control character is found wherever it stands`() {
    for length in 0..<40 {
      for control in [0x00, 0x0A, 0x0D, 0x1F, 0x7F] as [UInt8] {
        for position in 0..<max(length, 1) {
          var bytes = (0..<length).map { UInt8([0x20, 0x7E, 0x80, 0xFF, 0x09, 0x21, 0x9F][$0 % 7]) }
          #expect(bytes.span.firstControl(from: 0) == length)
          guard length > 0 else { continue }
          bytes[position] = control
          for start in 0...position { #expect(bytes.span.firstControl(from: start) == position) }
          #expect(bytes.span.firstControl(from: position + 1) == length)
        }
      }
    }
  }

  @Test func `every byte is a control character or not, in a word and alone`() {
    for byte in UInt8.min...UInt8.max {
      let isControl = (byte < 0x20 && byte != 0x09) || byte == 0x7F
      let word = [UInt8](repeating: byte, count: 8)
      #expect(byte.isControl == isControl)
      #expect(word.span.firstControl(from: 0) == (isControl ? 0 : 8))
      let alone = [byte]
      #expect(alone.span.firstControl(from: 0) == (isControl ? 0 : 1))
    }
  }

  @Test func `bytes move inside a span though the places overlap`() {
    for (source, destination) in [(2..<6, 0), (0..<4, 2), (0..<8, 0), (3..<3, 8), (4..<8, 3)] {
      let original: [UInt8] = [0, 1, 2, 3, 4, 5, 6, 7]
      var moved = original
      var span = moved.mutableSpan
      span.move(source, to: destination)
      var expected = original
      expected.replaceSubrange(destination..<destination + source.count, with: original[source])
      #expect(moved == expected)
    }
  }
}
