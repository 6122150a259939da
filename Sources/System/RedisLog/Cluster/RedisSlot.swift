import Bytes

/// Where a key lies in a Redis Cluster, whose servers share out 16,384 slots.
///
/// From https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/, "Key distribution model" and
/// "Hash tags".
package enum RedisSlot {
  package static let count = 16_384

  /// The slot of a key: of the part between its first `{` and the next `}` alone, if that is not empty.
  package static func of(_ key: Span<UInt8>) -> Int {
    guard let open = key.firstIndex(of: UInt8(ascii: "{")) else { return Int(checksum(key)) % count }
    let behind = key.extracting(droppingFirst: open + 1)
    guard let close = behind.firstIndex(of: UInt8(ascii: "}")), close > 0 else { return Int(checksum(key)) % count }
    return Int(checksum(behind.extracting(first: close))) % count
  }

  /// CRC-16/XMODEM: the polynomial 0x1021, from 0, nothing reflected.
  package static func checksum(_ bytes: Span<UInt8>) -> UInt16 {
    var sum: UInt16 = 0
    for index in bytes.indices { sum = sum << 8 ^ table[Int(sum >> 8) ^ Int(bytes[index])] }
    return sum
  }

  private static let table: [UInt16] = (0..<256).map { byte in
    (0..<8).reduce(UInt16(byte) << 8) { sum, _ in sum & 0x8000 == 0 ? sum << 1 : sum << 1 ^ 0x1021 }
  }
}
