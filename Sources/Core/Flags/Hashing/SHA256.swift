/// SHA-256 (FIPS 180-4), for the identity of a file and the chain of the audit log: nothing secret passes here.
package enum SHA256 {
  /// 32 bytes.
  package static func digest(_ message: [UInt8]) -> [UInt8] {
    let words = words(of: message.span)
    var digest: [UInt8] = []
    for index in words.indices {
      for shift in stride(from: 24, through: 0, by: -8) {
        digest.append(UInt8(truncatingIfNeeded: words[index] >> UInt32(shift)))
      }
    }
    return digest
  }

  /// The digest as numbers of 32 bits, the first four bytes first.
  package static func words(of message: Span<UInt8>) -> [8 of UInt32] {
    var state: [8 of UInt32] = [
      0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19,
    ]
    // Whole blocks straight from the message, then one or two with the end mark and the length in bits.
    let whole = message.count / 64 * 64
    for start in stride(from: 0, to: whole, by: 64) {
      compress(message.extracting(start..<start + 64), into: &state)
    }
    var tail: [128 of UInt8] = .init(repeating: 0)
    let rest = message.count - whole
    for index in 0..<rest { tail[index] = message[whole + index] }
    tail[rest] = 0x80
    let size = rest < 56 ? 64 : 128
    let bits = UInt64(message.count) * 8
    for index in 0..<8 { tail[size - 1 - index] = UInt8(truncatingIfNeeded: bits >> UInt64(8 * index)) }
    for start in stride(from: 0, to: size, by: 64) {
      compress(tail.span.extracting(start..<start + 64), into: &state)
    }
    return state
  }

  /// The digest in 64 lower-case hexadecimal digits.
  package static func hexadecimal(_ message: [UInt8]) -> String {
    let digits = [UInt8]("0123456789abcdef".utf8)
    let text = digest(message).flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }
    return String(decoding: text, as: UTF8.self)
  }

  /// - Parameter block: 64 bytes.
  private static func compress(_ block: Span<UInt8>, into state: inout [8 of UInt32]) {
    let constants = constants
    var schedule = [64 of UInt32](repeating: 0)
    for index in 0..<16 {
      let at = 4 * index
      schedule[index] =
        UInt32(block[at]) << 24 | UInt32(block[at + 1]) << 16 | UInt32(block[at + 2]) << 8 | UInt32(block[at + 3])
    }
    for index in 16..<64 {
      let (old, recent) = (schedule[index - 15], schedule[index - 2])
      let sigma0 = rotate(old, 7) ^ rotate(old, 18) ^ (old >> 3)
      let sigma1 = rotate(recent, 17) ^ rotate(recent, 19) ^ (recent >> 10)
      schedule[index] = schedule[index - 16] &+ sigma0 &+ schedule[index - 7] &+ sigma1
    }
    var (a, b, c, d) = (state[0], state[1], state[2], state[3])
    var (e, f, g, h) = (state[4], state[5], state[6], state[7])
    for index in 0..<64 {
      let sum1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)
      let first = h &+ sum1 &+ ((e & f) ^ (~e & g)) &+ constants[index] &+ schedule[index]
      let sum0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)
      let second = sum0 &+ ((a & b) ^ (a & c) ^ (b & c))
      (h, g, f, e, d, c, b, a) = (g, f, e, d &+ first, c, b, a, first &+ second)
    }
    let change: [8 of UInt32] = [a, b, c, d, e, f, g, h]
    for index in state.indices { state[index] &+= change[index] }
  }

  private static func rotate(_ value: UInt32, _ bits: UInt32) -> UInt32 {
    (value &>> bits) | (value &<< (32 &- bits))
  }

  /// The first 32 bits of the fractional parts of the cube roots of the first 64 primes (section 4.2.2).
  private static let constants: [64 of UInt32] = [
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
    0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
    0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
    0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
    0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
    0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
    0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
  ]
}
