import Bytes
import Loop
import Testing

@Suite struct InputBufferTests {
  private func text(_ span: Span<UInt8>) -> String { String(copying: span) }

  @Test func `bytes are framed as a chunk in place`() {
    let input = InputBuffer()
    input.fill(Array("hello, world".utf8).span)
    #expect(text(input.chunk(around: 0..<12)) == "c\r\nhello, world\r\n")
    #expect(text(input.chunk(around: 0..<12, last: true)) == "c\r\nhello, world\r\n0\r\n\r\n")
    #expect(text(input.chunk(around: 12..<12, last: true)) == "0\r\n\r\n")
    #expect(input.chunk(around: 3..<3).count == 0)
  }

  @Test func `the largest read is framed too`() {
    let input = InputBuffer()
    let bytes = [UInt8](repeating: 0x61, count: InputBuffer.capacity + 10)
    #expect(input.fill(bytes.span) == InputBuffer.capacity)
    let framed = [UInt8](copying: input.chunk(around: 0..<InputBuffer.capacity, last: true))
    #expect(framed.count == InputBuffer.capacity + 7 + 2 + 5)
    #expect(framed.starts(with: Array("10000\r\naaa".utf8)))
    #expect(Array(framed.suffix(8)) == Array("a\r\n0\r\n\r\n".utf8))
  }

  @Test func `framing a part puts its surroundings back`() {
    let input = InputBuffer()
    input.fill(Array("0123456789abcdefghijklmnopqrstuvwxyz".utf8).span)
    let framed = input.withChunk(around: 10..<30, last: true) { String(copying: $0) }
    #expect(framed == "14\r\nabcdefghijklmnopqrst\r\n0\r\n\r\n")
    #expect(text(input.bytes) == "0123456789abcdefghijklmnopqrstuvwxyz")
    #expect(text(input.slice(1..<3)) == "12")
  }

  @Test func `bytes are changed in place`() {
    let input = InputBuffer()
    input.fill(Array("abc".utf8).span)
    input.withMutableBytes { $0[1] = UInt8(ascii: "X") }
    #expect(text(input.bytes) == "aXc")
    input.clear()
    #expect(input.count == 0)
  }
}
