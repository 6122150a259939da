import Bytes
import HTTP
import Testing

/// Random bodies, random chunks, random cuts: what went in comes out.
@Suite struct ChunkedPropertyTests {
  @Test(arguments: 0..<64)
  func `any body survives any chunking and any cutting`(seed: Int) {
    var random = SeededGenerator(seed: UInt64(seed))
    for _ in 0..<20 {
      let body = (0..<Int.random(in: 0...600, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
      let encoded = encode(body, using: &random)
      let tail = Array("HTTP/1.1 200 OK\r\n".utf8)
      let cuts = (0..<Int.random(in: 0...12, using: &random))
        .map { _ in Int.random(in: 0...encoded.count, using: &random) }.sorted()
      let decoded = decodeBody(encoded + tail, .chunked, cuts: cuts)
      #expect(decoded == DecodedPieces(payload: body, consumed: encoded.count, isComplete: true, fault: nil))
    }
  }

  @Test(arguments: 0..<32)
  func `a changed byte is refused or understood like a plain decoder would`(seed: Int) {
    var random = SeededGenerator(seed: 1000 + UInt64(seed))
    for _ in 0..<40 {
      let body = (0..<Int.random(in: 1...60, using: &random)).map { _ in UInt8.random(in: 97...122, using: &random) }
      var encoded = encode(body, using: &random)
      encoded[Int.random(in: encoded.indices, using: &random)] = UInt8.random(in: 0...127, using: &random)
      let cuts = (0..<3).map { _ in Int.random(in: 0...encoded.count, using: &random) }.sorted()
      let result = decodeBody(encoded, .chunked, cuts: cuts)
      let reference = ReferenceChunkedDecoder.decode(encoded)
      #expect(result.payload == reference.payload, "\(encoded)")
      #expect(result.isComplete == reference.isComplete, "\(encoded)")
      #expect((result.fault != nil) == reference.isFaulty, "\(encoded)")
    }
  }

  private func encode(_ body: [UInt8], using random: inout SeededGenerator) -> [UInt8] {
    var buffer = ByteBuffer()
    var offset = 0
    while offset < body.count {
      let length = Int.random(in: 1...min(body.count - offset, 80), using: &random)
      let piece = Array(body[offset..<offset + length])
      if Bool.random(using: &random) {
        ChunkedEncoder.append(piece.span, to: &buffer)
      } else {
        buffer.append("0\(String(length, radix: 16, uppercase: true));name=\"value\"\r\n")
        buffer.append(piece)
        ChunkedEncoder.appendTrailer(to: &buffer)
      }
      offset += length
    }
    ChunkedEncoder.appendLast(to: &buffer)
    return buffer.toArray()
  }
}

/// The grammar of RFC 9112 7.1 written down the slow way, over a whole input, with the module's own strictness.
enum ReferenceChunkedDecoder {
  struct Result {
    var payload: [UInt8] = []
    var isComplete = false
    var isFaulty = false
  }

  static func decode(_ input: [UInt8]) -> Result {
    var result = Result()
    var rest = input[...]
    while true {
      guard let line = takeLine(&rest, &result) else { return result }
      let size = line.prefix { $0 != UInt8(ascii: ";") }
      let digits = String(decoding: size, as: UTF8.self)
      guard !digits.isEmpty, digits.utf8.count <= 15, digits.allSatisfy(\.isHexDigit), digits.allSatisfy(\.isASCII),
        let length = Int(digits, radix: 16)
      else {
        result.isFaulty = true
        return result
      }
      if length == 0 { break }
      result.payload += rest.prefix(length)
      rest = rest.dropFirst(length)
      for expected in [0x0D, 0x0A] as [UInt8] {
        guard let byte = rest.popFirst() else { return result }
        if byte != expected {
          result.isFaulty = true
          return result
        }
      }
    }
    while let line = takeLine(&rest, &result) {
      if line.isEmpty {
        result.isComplete = true
        return result
      }
      let name = line.prefix { ByteSet.token.contains($0) }
      if name.isEmpty || line.dropFirst(name.count).first != UInt8(ascii: ":") {
        result.isFaulty = true
        return result
      }
    }
    return result
  }

  /// A line without its CRLF; `nil` at a fault, or when the input ends first. A size line is faulty at its first
  /// bad byte, whole or not.
  private static func takeLine(_ rest: inout ArraySlice<UInt8>, _ result: inout Result) -> ArraySlice<UInt8>? {
    guard let stop = rest.firstIndex(where: { $0.isControl }) else {
      result.isFaulty = isBadStart(rest)
      return nil
    }
    let line = rest[..<stop]
    guard rest[stop] == 0x0D else {
      result.isFaulty = true
      return nil
    }
    guard stop + 1 < rest.endIndex else {
      result.isFaulty = isBadStart(line)
      return nil
    }
    guard rest[stop + 1] == 0x0A else {
      result.isFaulty = true
      return nil
    }
    rest = rest[(stop + 2)...]
    return line
  }

  /// Only size lines can end the input in these tests, as no trailers are sent.
  private static func isBadStart(_ line: ArraySlice<UInt8>) -> Bool {
    let size = line.prefix { $0 != UInt8(ascii: ";") }
    return size.count > 15 || !size.allSatisfy { $0.hexadecimalValue != nil } || (size.isEmpty && !line.isEmpty)
  }
}
