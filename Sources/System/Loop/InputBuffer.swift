/// The one buffer into which a loop's connections read, with room around the bytes so that chunk framing or a
/// record header can be put around them in place.
///
/// What it holds is valid during one `connectionReceived` call; the next read overwrites it. A span taken from it must
/// not be used after the buffer has been changed: the buffer belongs to whoever handles the current read.
@safe
package final class InputBuffer {
  /// The most bytes one read can bring.
  package static let capacity = 64 * 1024
  /// Free bytes in front of the first and behind the last byte.
  package static let room = 64

  private let payload: UnsafeMutablePointer<UInt8>
  /// Bytes of the current read.
  package private(set) var count = 0

  package init() {
    let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: Self.capacity + 2 * Self.room)
    unsafe memory.initialize(repeating: 0, count: Self.capacity + 2 * Self.room)
    unsafe payload = memory + Self.room
  }

  deinit {
    unsafe (payload - Self.room).deallocate()
  }

  /// The bytes of the current read.
  package var bytes: Span<UInt8> {
    @_lifetime(borrow self)
    get { slice(0..<count) }
  }

  /// The bytes at `range`, which must lie within the current read.
  @_lifetime(borrow self)
  package func slice(_ range: Range<Int>) -> Span<UInt8> {
    precondition(range.lowerBound >= 0 && range.upperBound <= count, "slice outside the bytes read")
    return memory(range)
  }

  /// Lends the bytes for change in place (decoding chunks, decrypting).
  package func withMutableBytes<Result: ~Copyable, Failure: Error>(
    _ body: (inout MutableSpan<UInt8>) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    var span = unsafe MutableSpan(_unsafeStart: payload, count: count)
    return try body(&span)
  }

  /// Frames the bytes at `range` as one chunk (RFC 9112, section 7.1) in place: `<hex>\r\n` in front, `\r\n` behind.
  ///
  /// Overwrites up to 7 bytes on either side of `range`.
  /// - Returns: the chunk; nothing for an empty `range`, which would be the last chunk.
  @_lifetime(borrow self)
  package func chunk(around range: Range<Int>) -> Span<UInt8> {
    precondition(range.lowerBound >= 0 && range.upperBound <= count, "chunk outside the bytes read")
    if range.isEmpty { return memory(range) }
    let start = putSize(range.count, before: range.lowerBound)
    unsafe payload[range.upperBound] = 0x0D
    unsafe payload[range.upperBound + 1] = 0x0A
    return memory(start..<range.upperBound + 2)
  }

  /// Replaces what the buffer holds: for tests and for connections that produce bytes themselves.
  /// - Returns: how many of `bytes` fitted.
  @discardableResult
  package func fill(_ bytes: Span<UInt8>) -> Int {
    let length = min(bytes.count, Self.capacity)
    for index in 0..<length { unsafe payload[index] = bytes[index] }
    count = length
    return length
  }

  /// Has `read` write up to `limit` bytes and takes the number it returns, if positive, as the new count.
  ///
  /// - Parameter limit: bytes, 1 to `capacity`.
  @unsafe
  package func receive(upTo limit: Int = InputBuffer.capacity, _ read: (UnsafeMutableRawPointer, Int) -> Int) -> Int {
    let limit = max(1, min(limit, Self.capacity))
    let length = unsafe read(UnsafeMutableRawPointer(payload), limit)
    count = max(0, min(length, limit))
    return length
  }

  /// Forgets the current read.
  package func clear() {
    count = 0
  }

  @_lifetime(borrow self)
  private func memory(_ range: Range<Int>) -> Span<UInt8> {
    let bytes = unsafe UnsafeBufferPointer(start: UnsafePointer(payload) + range.lowerBound, count: range.count)
    return unsafe _overrideLifetime(Span(_unsafeElements: bytes), borrowing: self)
  }

  private func putSize(_ size: Int, before end: Int) -> Int {
    unsafe payload[end - 1] = 0x0A
    unsafe payload[end - 2] = 0x0D
    var (position, rest) = (end - 2, size)
    repeat {
      position -= 1
      let digit = UInt8(truncatingIfNeeded: rest & 15)
      unsafe payload[position] = digit < 10 ? 0x30 + digit : 0x57 + digit
      rest >>= 4
    } while rest > 0
    return position
  }
}
