import Bytes
import HTTP
import Testing

@Suite struct WriterTests {
  @Test func `chunks are framed in hexadecimal and empty ones left out`() {
    let payload = [UInt8](repeating: UInt8(ascii: "x"), count: 26)
    let text = written {
      ChunkedEncoder.append(payload.span, to: &$0)
      ChunkedEncoder.append(payload.span.extracting(0..<0), to: &$0)
      ChunkedEncoder.appendLast(to: &$0)
    }
    #expect(text == "1a\r\n\(String(repeating: "x", count: 26))\r\n0\r\n\r\n")
  }

  @Test func `a buffer becomes one chunk in place`() {
    for length in [0, 1, 9, 10, 15, 16, 255, 256, 4096, 70_000] {
      let payload = [UInt8](repeating: UInt8(ascii: "x"), count: length)
      var framed = ByteBuffer(headroom: ChunkedEncoder.maximumHeaderLength)
      framed.append(payload)
      framed.frameAsChunk()
      var copied = ByteBuffer()
      ChunkedEncoder.append(payload.span, to: &copied)
      #expect(framed.toArray() == copied.toArray())
    }
  }

  @Test func `every status the gateway answers with has a phrase`() {
    for fault in HTTP1Fault.allCases {
      #expect(ReasonPhrase.of(fault.status).utf8CodeUnitCount > 0)
    }
    for status in [100, 101, 200, 204, 304, 404, 408, 429, 502, 503, 504] {
      #expect(ReasonPhrase.of(status).utf8CodeUnitCount > 0)
    }
    #expect(ReasonPhrase.of(299).utf8CodeUnitCount == 0)
    #expect(ReasonPhrase.of(0).utf8CodeUnitCount == 0)
  }
}
