import Bytes

/// What Redis answered to one command. Valid during the call that brings it only: the memory is used again for the
/// next reply.
package struct RedisReply {
  package enum Kind: UInt8, Sendable { case status, error, integer, bulk, null, array }

  private let tape: ReplyTape
  private let index: Int

  init(_ tape: ReplyTape, at index: Int = 0) {
    self.tape = tape
    self.index = index
  }

  package var kind: Kind { tape.tokens[index].kind }
  package var isError: Bool { kind == .error }
  package var isNull: Bool { kind == .null }

  /// The number of an integer reply, or `nil`.
  package var integer: Int64? { kind == .integer ? tape.tokens[index].value : nil }

  /// Lends the bytes of a status, an error or a bulk string; of others none.
  package func withBytes<Result>(_ body: (Span<UInt8>) -> Result) -> Result {
    let token = tape.tokens[index]
    return tape.text.withSpan { body($0.extracting(token.start..<token.start + token.length)) }
  }

  /// A copy of what `withBytes` lends.
  package var bytes: [UInt8] { withBytes { [UInt8](copying: $0) } }
  /// The same as text; what is not UTF-8 becomes U+FFFD.
  package var text: String { withBytes { String(copying: $0) } }

  /// How many elements an array has; 0 for others.
  package var count: Int { kind == .array ? Int(tape.tokens[index].value) : 0 }

  /// The elements of an array; of others none.
  package var elements: Elements { Elements(tape: tape, place: index + 1, left: count) }

  /// The elements at both places, if the array has as many.
  package var firstTwo: (RedisReply, RedisReply)? {
    var elements = elements
    guard let first = elements.next(), let second = elements.next() else { return nil }
    return (first, second)
  }

  package struct Elements: Sequence, IteratorProtocol {
    fileprivate let tape: ReplyTape
    fileprivate var place: Int
    fileprivate var left: Int

    package mutating func next() -> RedisReply? {
      guard left > 0 else { return nil }
      defer {
        left -= 1
        place = tape.tokens[place].end
      }
      return RedisReply(tape, at: place)
    }
  }
}

/// One reply as a list of tokens in the order they came, and the bytes of its strings.
final class ReplyTape {
  struct Token {
    var kind: RedisReply.Kind
    /// The integer, or how many elements the array has.
    var value: Int64 = 0
    var start = 0
    var length = 0
    /// The index of the token behind this one and all it holds.
    var end = 0
  }

  private(set) var tokens: [Token] = []
  private(set) var text = ByteBuffer()
  /// Arrays whose elements are still coming.
  private var open: [(index: Int, left: Int)] = []

  func add(_ kind: RedisReply.Kind, bytes: Span<UInt8>) {
    let start = text.count
    text.append(bytes)
    add(Token(kind: kind, start: start, length: bytes.count))
  }

  func add(_ kind: RedisReply.Kind, value: Int64 = 0) {
    add(Token(kind: kind, value: value))
  }

  func addArray(count: Int) {
    guard count > 0 else { return add(.array) }
    open.append((tokens.count, count))
    tokens.append(Token(kind: .array, value: Int64(count)))
  }

  private func add(_ token: Token) {
    tokens.append(token)
    tokens[tokens.count - 1].end = tokens.count
    while let last = open.last {
      guard last.left == 1 else {
        open[open.count - 1].left -= 1
        return
      }
      tokens[last.index].end = tokens.count
      open.removeLast()
    }
  }

  /// Forgets the reply, and its memory too when it was a large one.
  func clear() {
    tokens.removeAll(keepingCapacity: tokens.capacity <= 1024)
    open.removeAll(keepingCapacity: true)
    if text.allocated > 1 << 16 { text.release() } else { text.removeAll() }
  }
}
