package import Bytes
import Flags

/// 256 bits that stand for something that is not kept itself: credentials, an idempotency key, a request.
package struct Digest: Hashable, Sendable {
  private let words: [4 of UInt64]

  /// Hashes `parts` so that no two lists of parts have the same bytes.
  package init(_ parts: [[UInt8]]) {
    var message: [UInt8] = []
    message.reserveCapacity(parts.reduce(0) { $0 + 8 + $1.count })
    for part in parts {
      // Each is led by its length: where one ends and the next begins counts too.
      for shift in stride(from: 56, through: 0, by: -8) {
        message.append(UInt8(truncatingIfNeeded: UInt64(part.count) >> UInt64(shift)))
      }
      message += part
    }
    let digest = SHA256.words(of: message.span)
    words = .init { UInt64(digest[2 * $0]) << 32 | UInt64(digest[2 * $0 + 1]) }
  }

  /// Reads what `write(to:)` wrote; `nil` for anything else.
  package init?(parsing text: Span<UInt8>) {
    guard text.count == 64 else { return nil }
    var words: [4 of UInt64] = .init(repeating: 0)
    for index in text.indices {
      guard let digit = Self.digit(text[index]) else { return nil }
      words[index / 16] = words[index / 16] << 4 | digit
    }
    self.words = words
  }

  /// Writes 64 lower-case hexadecimal digits.
  package func write(to out: inout ByteBuffer) {
    for word in words.indices {
      for shift in stride(from: 60, through: 0, by: -4) {
        let digit = UInt8(truncatingIfNeeded: words[word] >> UInt64(shift) & 15)
        out.append(digit < 10 ? 0x30 + digit : 0x57 + digit)
      }
    }
  }

  package var description: String {
    var out = ByteBuffer()
    write(to: &out)
    return String(copying: out.span)
  }

  package static func == (left: Self, right: Self) -> Bool {
    // All words are compared: how long it takes says nothing.
    var difference: UInt64 = 0
    for index in left.words.indices { difference |= left.words[index] ^ right.words[index] }
    return difference == 0
  }

  /// One word is as evenly spread as all four.
  package func hash(into hasher: inout Hasher) { hasher.combine(words[0]) }

  private static func digit(_ character: UInt8) -> UInt64? {
    switch character {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt64(character - UInt8(ascii: "0"))
    case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt64(character - UInt8(ascii: "a")) + 10
    default: nil
    }
  }
}

extension Digest {
  /// Who opened a run: the hash of the credentials. All who come without any are one; what protects them from each other
  /// is that a stream's id can't be guessed, and that no other name of theirs counts.
  package static func principal(credentials: [[UInt8]]) -> Digest {
    credentials.allSatisfy(\.isEmpty) ? nobody : Digest([Array("principal".utf8)] + credentials)
  }

  private static let nobody = Digest([Array("principal".utf8)])

  /// An `Idempotency-Key`, which means something to its principal alone.
  package static func idempotency(key: [UInt8], of principal: Digest) -> Digest {
    Digest([Array("idempotency".utf8), Array(principal.description.utf8), key])
  }

  /// What was asked for under an idempotency key. Another request under the same key is a mistake.
  package static func request(method: String, target: [UInt8], body: [UInt8]) -> Digest {
    Digest([Array("request".utf8), Array(method.utf8), target, body])
  }
}
