import Bytes

/// What a frame says of itself (RFC 9113, 4.1).
struct FrameHeader {
  enum FrameType: UInt8 {
    case data = 0
    case headers = 1
    case priority = 2
    case reset = 3
    case settings = 4
    case pushPromise = 5
    case ping = 6
    case goAway = 7
    case windowUpdate = 8
    case continuation = 9
    case priorityUpdate = 16
  }

  /// `nil` for types that nobody knows.
  let type: FrameType?
  let flags: UInt8
  let stream: HTTP2StreamID
  /// Of the payload, in bytes.
  let length: Int

  init(type: UInt8, flags: UInt8, stream: HTTP2StreamID, length: Int) {
    self.type = FrameType(rawValue: type)
    self.flags = flags
    self.stream = stream
    self.length = length
  }

  /// Reads a header of nine bytes.
  init(_ bytes: Span<UInt8>) {
    func number(_ range: Range<Int>) -> UInt32 { range.reduce(0) { $0 << 8 | UInt32(bytes[$1]) } }
    // The highest bit is reserved, and ignored.
    let stream = HTTP2StreamID(number(5..<9) & 0x7FFF_FFFF)
    self.init(type: bytes[3], flags: bytes[4], stream: stream, length: Int(number(0..<3)))
  }

  /// Of DATA and HEADERS.
  var endsStream: Bool { flags & 1 != 0 }
  /// Of DATA and HEADERS.
  var isPadded: Bool { flags & 8 != 0 }
  /// Of SETTINGS and PING.
  var isAcknowledgement: Bool { flags & 1 != 0 }
}
