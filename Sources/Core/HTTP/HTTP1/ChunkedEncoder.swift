package import Bytes

/// Writes the framing of chunked bodies (RFC 9112 7.1).
package enum ChunkedEncoder {
  /// The most bytes that a chunk's size line takes.
  package static let maximumHeaderLength = 18
  /// The last chunk and an empty trailer section.
  package static let lastChunk: StaticString = "0\r\n\r\n"

  /// Appends the size line of a chunk of `size` bytes, which must be more than 0: a chunk of 0 ends the body.
  package static func appendHeader(size: Int, to buffer: inout ByteBuffer) {
    precondition(size > 0)
    buffer.append(hexadecimal: size)
    buffer.append("\r\n")
  }

  /// Appends what follows a chunk's bytes.
  package static func appendTrailer(to buffer: inout ByteBuffer) {
    buffer.append("\r\n")
  }

  /// Appends `payload` as one chunk; nothing when it is empty.
  package static func append(_ payload: Span<UInt8>, to buffer: inout ByteBuffer) {
    guard !payload.isEmpty else { return }
    buffer.reserve(payload.count + maximumHeaderLength + 2)
    appendHeader(size: payload.count, to: &buffer)
    buffer.append(payload)
    appendTrailer(to: &buffer)
  }

  package static func appendLast(to buffer: inout ByteBuffer) {
    buffer.append(lastChunk)
  }
}

extension ByteBuffer {
  /// Makes what the buffer holds one chunk, in place. Needs `ChunkedEncoder.maximumHeaderLength` of headroom at most;
  /// an empty buffer stays empty, for a chunk of 0 would end the body.
  package mutating func frameAsChunk() {
    guard !isEmpty else { return }
    var size = count
    prepend(0x0A)
    prepend(0x0D)
    repeat {
      let digit = UInt8(truncatingIfNeeded: size & 0xF)
      prepend(digit < 10 ? 0x30 + digit : 0x57 + digit)
      size >>= 4
    } while size > 0
    ChunkedEncoder.appendTrailer(to: &self)
  }
}
