internal import Bytes

/// MurmurHash3 x86 32-bit with seed 0, fed in pieces so that a key need not be put together first.
package struct MurmurHash3: ByteSink {
  private var state: UInt32 = 0
  /// Bytes not yet mixed in: fewer than four, the first in the lowest place.
  private var pending: UInt32 = 0
  private var pendingCount: UInt32 = 0
  private var length: UInt32 = 0

  package init() {}

  package mutating func append(_ byte: UInt8) {
    pending |= UInt32(byte) &<< (8 &* pendingCount)
    pendingCount &+= 1
    length &+= 1
    guard pendingCount == 4 else { return }
    state ^= Self.scramble(pending)
    state = Self.rotate(state, by: 13) &* 5 &+ 0xe654_6b64
    pending = 0
    pendingCount = 0
  }

  package mutating func append(_ text: String) {
    let bytes = text.utf8Span.span
    for index in bytes.indices { append(bytes[index]) }
  }

  /// The hash of everything appended so far.
  package var value: UInt32 {
    var hash = state
    if pendingCount > 0 { hash ^= Self.scramble(pending) }
    hash ^= length
    hash ^= hash &>> 16
    hash = hash &* 0x85eb_ca6b
    hash ^= hash &>> 13
    hash = hash &* 0xc2b2_ae35
    return hash ^ (hash &>> 16)
  }

  private static func scramble(_ block: UInt32) -> UInt32 {
    rotate(block &* 0xcc9e_2d51, by: 15) &* 0x1b87_3593
  }

  private static func rotate(_ value: UInt32, by bits: UInt32) -> UInt32 {
    (value &<< bits) | (value &>> (32 &- bits))
  }
}

/// Where bytes go: into a hash, or into an array.
package protocol ByteSink {
  mutating func append(_ byte: UInt8)
  mutating func append(_ text: String)
}

extension [UInt8]: ByteSink {
  package mutating func append(_ text: String) { append(contentsOf: text.utf8) }
}
