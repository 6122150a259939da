import Bytes
import Loop
import Testing

@Suite struct InputBufferTests {
  private func text(_ span: Span<UInt8>) -> String { String(copying: span) }

  @Test func `bytes are framed as a chunk in place`() {
    let input = InputBuffer()
    input.fill(Array("hello, world".utf8).span)
    #expect(text(input.chunk(around: 0..<12)) == "c\r\nhello, world\r\n")
    #expect(input.chunk(around: 3..<3).count == 0)
  }

  @Test func `the largest read is framed too`() {
    let input = InputBuffer()
    let bytes = [UInt8](repeating: 0x61, count: InputBuffer.capacity + 10)
    #expect(input.fill(bytes.span) == InputBuffer.capacity)
    let framed = [UInt8](copying: input.chunk(around: 0..<InputBuffer.capacity))
    #expect(framed.count == InputBuffer.capacity + 7 + 2)
    #expect(framed.starts(with: Array("10000\r\naaa".utf8)))
    #expect(Array(framed.suffix(3)) == Array("a\r\n".utf8))
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
