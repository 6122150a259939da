/// Frames as a client writes them, byte by byte (RFC 9113, 4.1).
package enum Frames {
  package static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
  /// What a client begins with: the preface and SETTINGS without entries.
  package static let start = preface + settings()

  package static func frame(_ type: UInt8, flags: UInt8 = 0, stream: UInt32 = 0, _ payload: [UInt8] = []) -> [UInt8] {
    frame(type, flags: flags, stream: stream, declaring: payload.count, payload)
  }

  package static func frame(
    _ type: UInt8, flags: UInt8 = 0, stream: UInt32 = 0, declaring length: Int, _ payload: [UInt8]
  ) -> [UInt8] {
    [
      UInt8(truncatingIfNeeded: length >> 16), UInt8(truncatingIfNeeded: length >> 8),
      UInt8(truncatingIfNeeded: length),
    ]
      + [type, flags] + word(stream) + payload
  }

  package static func word(_ value: UInt32) -> [UInt8] { withUnsafeBytes(of: value.bigEndian) { Array($0) } }

  package static func data(_ stream: UInt32, _ text: String, ends: Bool = false) -> [UInt8] {
    frame(0, flags: ends ? 1 : 0, stream: stream, Array(text.utf8))
  }

  package static func data(_ stream: UInt32, count: Int, ends: Bool = false) -> [UInt8] {
    frame(0, flags: ends ? 1 : 0, stream: stream, [UInt8](repeating: 0x61, count: count))
  }

  /// A whole header section in one frame.
  package static func headers(_ stream: UInt32, _ fields: [(String, String)], ends: Bool = true) -> [UInt8] {
    frame(1, flags: ends ? 5 : 4, stream: stream, HPACK.encode(fields))
  }

  /// A header section that takes HEADERS and CONTINUATION.
  package static func longHeaders(_ stream: UInt32, _ fields: [(String, String)]) -> [UInt8] {
    let block = HPACK.encode(fields)
    let pieces = stride(from: 0, to: block.count, by: 16_384).map { Array(block[$0..<min(block.count, $0 + 16_384)]) }
    return pieces.enumerated().flatMap { index, piece in
      let flags: UInt8 = (index == 0 ? 1 : 0) | (index == pieces.count - 1 ? 4 : 0)
      return frame(index == 0 ? 1 : 9, flags: flags, stream: stream, piece)
    }
  }

  package static func get(_ stream: UInt32, path: String = "/", _ more: [(String, String)] = [], ends: Bool = true)
    -> [UInt8]
  {
    headers(stream, HPACK.get(path: path) + more, ends: ends)
  }

  package static func post(_ stream: UInt32, _ more: [(String, String)] = []) -> [UInt8] {
    headers(stream, HPACK.post + more, ends: false)
  }

  package static func priority(_ stream: UInt32, on other: UInt32 = 0, weight: UInt8 = 15) -> [UInt8] {
    frame(2, stream: stream, word(other) + [weight])
  }

  package static func reset(_ stream: UInt32, _ code: UInt32 = 8) -> [UInt8] { frame(3, stream: stream, word(code)) }

  package static func settings(_ entries: [(UInt16, UInt32)] = []) -> [UInt8] {
    frame(4, entries.flatMap { [UInt8(truncatingIfNeeded: $0 >> 8), UInt8(truncatingIfNeeded: $0)] + word($1) })
  }

  package static let settingsAcknowledgement = frame(4, flags: 1)

  package static func ping(_ bytes: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8], isAnswer: Bool = false) -> [UInt8] {
    frame(6, flags: isAnswer ? 1 : 0, bytes)
  }

  package static func goAway(_ code: UInt32 = 0, stream: UInt32 = 0) -> [UInt8] {
    frame(7, stream: stream, word(0) + word(code))
  }

  package static func windowUpdate(_ stream: UInt32, _ count: UInt32) -> [UInt8] {
    frame(8, stream: stream, word(count))
  }

  package static func continuation(_ stream: UInt32, _ payload: [UInt8], ends: Bool = true) -> [UInt8] {
    frame(9, flags: ends ? 4 : 0, stream: stream, payload)
  }

  package static func priorityUpdate(_ stream: UInt32, _ value: String) -> [UInt8] {
    frame(16, word(stream) + Array(value.utf8))
  }
}

/// Header sections by hand (RFC 7541), without a dynamic table.
package enum HPACK {
  package static func get(path: String = "/") -> [(String, String)] {
    [(":method", "GET"), (":scheme", "https"), (":path", path), (":authority", "shop")]
  }

  package static let post = [(":method", "POST"), (":scheme", "https"), (":path", "/"), (":authority", "shop")]

  package static func encode(_ fields: [(String, String)]) -> [UInt8] { fields.flatMap { literal($0, $1) } }

  /// A literal that is not indexed, with a new name.
  package static func literal(_ name: String, _ value: String, kind: UInt8 = 0) -> [UInt8] {
    [kind] + string(Array(name.utf8)) + string(Array(value.utf8))
  }

  package static func string(_ bytes: [UInt8], isHuffman: Bool = false) -> [UInt8] {
    integer(bytes.count, prefix: 7, isHuffman ? 0x80 : 0) + bytes
  }

  package static func integer(_ value: Int, prefix: Int, _ pattern: UInt8 = 0) -> [UInt8] {
    let limit = (1 << prefix) - 1
    guard value >= limit else { return [pattern | UInt8(value)] }
    var (rest, bytes) = (value - limit, [pattern | UInt8(limit)])
    while rest >= 128 {
      bytes.append(UInt8(rest & 127) | 128)
      rest >>= 7
    }
    return bytes + [UInt8(rest)]
  }
}
