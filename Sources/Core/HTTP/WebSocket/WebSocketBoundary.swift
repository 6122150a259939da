import Bytes

/// Follows one direction of a WebSocket as far as it takes to know where a frame ends (RFC 6455, 5.2), so that a frame of
/// the gateway's own can be put between two of them. Looks at nothing inside.
package struct WebSocketBoundary: Sendable {
  private enum Place {
    case start
    case secondByte
    /// Bytes of the length that are to come, and the length so far.
    case length(left: Int, UInt64)
    /// Of the mask and the payload.
    case rest(UInt64)
    /// A close frame was seen, or what no frame can be: nothing may be put in any more.
    case over
  }

  private var place = Place.start
  private var isMasked = false
  private var isClose = false

  package init() {}

  /// Whether the last byte was the last of a frame, or none has come yet.
  package var isBetweenFrames: Bool { if case .start = place { true } else { false } }

  package mutating func take(_ bytes: Span<UInt8>) {
    var index = 0
    while index < bytes.count {
      if case .rest(let left) = place {
        let step = Int(min(left, UInt64(bytes.count - index)))
        index += step
        frameGoesOn(left - UInt64(step))
        continue
      }
      if case .over = place { return }
      take(bytes[index])
      index += 1
    }
  }

  private mutating func take(_ byte: UInt8) {
    switch place {
    case .start:
      isClose = byte & 0xF == 8
      place = .secondByte
    case .secondByte:
      isMasked = byte & 0x80 != 0
      switch byte & 0x7F {
      case 126: place = .length(left: 2, 0)
      case 127: place = .length(left: 8, 0)
      case let length: frameGoesOn(UInt64(length) + (isMasked ? 4 : 0))
      }
    case .length(1, let length):
      let (whole, overflows) = (length << 8 | UInt64(byte)).addingReportingOverflow(isMasked ? 4 : 0)
      // The highest bit must be 0.
      if overflows || length >> 55 != 0 { place = .over } else { frameGoesOn(whole) }
    case .length(let left, let length): place = .length(left: left - 1, length << 8 | UInt64(byte))
    case .rest, .over: break
    }
  }

  private mutating func frameGoesOn(_ left: UInt64) {
    if left > 0 { place = .rest(left) } else { place = isClose ? .over : .start }
  }

  /// The frame with which a server that goes away ends it: status 1001, unmasked (RFC 6455, 5.5.1 and 7.4.1).
  package static let goingAway: [UInt8] = [0x88, 0x02, 0x03, 0xE9]
}
