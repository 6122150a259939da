import Bytes

/// Tells for most ids that a segment does not hold them, without a look at its events.
///
/// A Bloom filter: at least sixteen bits and four probes for each id, so that at most one of 400 answers is a vain "maybe".
struct IDFilter {
  private let words: [UInt64]
  private let mask: UInt64

  /// Bytes of memory for a filter of `count` ids.
  static func size(for count: Int) -> Int { wordCount(for: count) * 8 }

  private static func wordCount(for count: Int) -> Int {
    guard count > 0 else { return 0 }
    let needed = (count + 3) / 4
    return needed == 1 ? 1 : 1 << (Int.bitWidth - (needed - 1).leadingZeroBitCount)
  }

  init(_ hashes: [UInt64]) {
    var words = [UInt64](repeating: 0, count: Self.wordCount(for: hashes.count))
    let mask = UInt64(max(1, words.count * 64) - 1)
    for hash in hashes {
      var bit = hash
      for _ in 0..<Self.probes {
        words[Int(bit & mask) / 64] |= 1 << (bit & 63)
        bit &+= Self.step(of: hash)
      }
    }
    self.words = words
    self.mask = mask
  }

  var size: Int { words.count * 8 }

  func mayHold(_ hash: UInt64) -> Bool {
    guard !words.isEmpty else { return false }
    var bit = hash
    for _ in 0..<Self.probes {
      if words[Int(bit & mask) / 64] >> (bit & 63) & 1 == 0 { return false }
      bit &+= Self.step(of: hash)
    }
    return true
  }

  private static let probes = 4

  /// Odd, so that the probes differ.
  private static func step(of hash: UInt64) -> UInt64 { hash >> 32 | 1 }

  /// FNV-1a, whose high bits are mixed into the low ones.
  static func hash(_ id: Span<UInt8>) -> UInt64 {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for index in id.indices { hash = (hash ^ UInt64(id[index])) &* 0x100_0000_01B3 }
    hash = (hash ^ hash >> 31) &* 0x9E37_79B9_7F4A_7C15
    return hash ^ hash >> 29
  }
}
