import Flags

/// Counts distinct values in 64 bytes, with a standard error of 13 % (HyperLogLog; Flajolet and others, 2007).
package struct HyperLogLog: Equatable, Sendable {
  package static let registers = 64
  /// Of each register the longest run of zeros seen, plus 1.
  private var ranks = SIMD64<UInt8>()

  package init() {}

  /// - Parameter hash: of the value, evenly spread over 64 bits.
  package mutating func insert(_ hash: UInt64) {
    let register = Int(hash & 63)
    let rank = UInt8(min(58, (hash >> 6).leadingZeroBitCount - 6) + 1)
    if rank > ranks[register] { ranks[register] = rank }
  }

  package mutating func formUnion(_ other: HyperLogLog) {
    for register in 0..<Self.registers where other.ranks[register] > ranks[register] {
      ranks[register] = other.ranks[register]
    }
  }

  /// How many distinct values were inserted, about.
  package var estimate: Int {
    var sum = 0.0
    var empty = 0
    for register in 0..<Self.registers {
      sum += 1 / Double(UInt64(1) << UInt64(ranks[register]))
      if ranks[register] == 0 { empty += 1 }
    }
    let count = Double(Self.registers)
    let raw = 0.709 * count * count / sum
    // Few values leave registers empty, which tells more exactly how many they are.
    let value = raw <= 2.5 * count && empty > 0 ? count * Logarithm.of(count / Double(empty)) : raw
    // A file may hold registers that no hash leads to.
    return Int(min(value, 1e15).rounded())
  }

  // MARK: - As text

  /// One character for each register, from `0` on.
  package var text: String {
    String(decoding: (0..<Self.registers).map { ranks[$0] + UInt8(ascii: "0") }, as: UTF8.self)
  }

  /// `nil` for what `text` does not write.
  package init?(text: String) {
    let bytes = Array(text.utf8)
    guard bytes.count == Self.registers else { return nil }
    for (register, byte) in bytes.enumerated() {
      guard (UInt8(ascii: "0")...UInt8(ascii: "0") + 59).contains(byte) else { return nil }
      ranks[register] = byte - UInt8(ascii: "0")
    }
  }
}

/// A keyed hash of identities: without the seed nobody can choose identities that count as one.
package struct IdentityHash: Sendable {
  private var state: UInt64

  package init(seed: UInt64) {
    state = 0xcbf2_9ce4_8422_2325 ^ seed
  }

  package mutating func combine(_ byte: UInt8) {
    state = (state ^ UInt64(byte)) &* 0x0000_0100_0000_01B3
  }

  package mutating func combine(_ bytes: Span<UInt8>) {
    for index in bytes.indices { combine(bytes[index]) }
  }

  /// Mixed with the finaliser of SplitMix64, so that every bit depends on every byte.
  package var value: UInt64 {
    var mixed = (state ^ (state >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }
}
