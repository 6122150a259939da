package import JSON

/// Core deterministic encoding of JSON values (RFC 8949 section 4.2.1): what generation 3 of `fractional` hashes.
///
/// Numbers are normalised first: whole ones from -2^63 to 2^64-1 are integers, others the shortest exact float.
package enum DeterministicCBOR {
  package static func encode(_ value: JSONValue, into sink: inout some ByteSink) {
    switch value {
    case .null: sink.append(0xf6 as UInt8)
    case .bool(let value): sink.append(value ? 0xf5 : 0xf4 as UInt8)
    case .number(let number): encode(number, into: &sink)
    case .string(let text): encode(text, into: &sink)
    case .array(let elements):
      encodeHead(major: 4, UInt64(elements.count), into: &sink)
      for element in elements { encode(element, into: &sink) }
    case .object(let object):
      encodeHead(major: 5, UInt64(object.count), into: &sink)
      encode(object, into: &sink)
    }
  }

  package static func encode(_ text: String, into sink: inout some ByteSink) {
    encodeHead(major: 3, UInt64(text.utf8.count), into: &sink)
    sink.append(text)
  }

  /// The head of an array of `count` elements, which the caller encodes after it.
  package static func encodeArrayHead(_ count: Int, into sink: inout some ByteSink) {
    encodeHead(major: 4, UInt64(count), into: &sink)
  }

  /// Members in the order of their names' encoded bytes (section 4.2.1), which is not the order of the names:
  /// the length stands in front.
  private static func encode(_ object: JSONObject, into sink: inout some ByteSink) {
    let members = object.members.map { member in
      var name: [UInt8] = []
      encode(member.name, into: &name)
      return (name: name, value: member.value)
    }
    for member in members.sorted(by: { $0.name.lexicographicallyPrecedes($1.name) }) {
      for byte in member.name { sink.append(byte) }
      encode(member.value, into: &sink)
    }
  }

  private static func encode(_ number: Double, into sink: inout some ByteSink) {
    if let natural = UInt64(exactly: number) {
      encodeHead(major: 0, natural, into: &sink)
    } else if let negative = Int64(exactly: number) {
      encodeHead(major: 1, UInt64(-1 - negative), into: &sink)
    } else if let half = Float16(exactly: number) {
      encodeBits(0xf9, UInt64(half.bitPattern), bytes: 2, into: &sink)
    } else if let single = Float(exactly: number) {
      encodeBits(0xfa, UInt64(single.bitPattern), bytes: 4, into: &sink)
    } else {
      encodeBits(0xfb, number.bitPattern, bytes: 8, into: &sink)
    }
  }

  /// Major type and argument in the shortest form (section 3).
  private static func encodeHead(major: UInt8, _ argument: UInt64, into sink: inout some ByteSink) {
    let kind = major << 5
    switch argument {
    case ..<24: sink.append(kind | UInt8(argument))
    case ...0xff: encodeBits(kind | 24, argument, bytes: 1, into: &sink)
    case ...0xffff: encodeBits(kind | 25, argument, bytes: 2, into: &sink)
    case ...0xffff_ffff: encodeBits(kind | 26, argument, bytes: 4, into: &sink)
    default: encodeBits(kind | 27, argument, bytes: 8, into: &sink)
    }
  }

  private static func encodeBits(_ head: UInt8, _ bits: UInt64, bytes: Int, into sink: inout some ByteSink) {
    sink.append(head)
    for shift in stride(from: 8 * (bytes - 1), through: 0, by: -8) {
      sink.append(UInt8(truncatingIfNeeded: bits >> shift))
    }
  }
}
