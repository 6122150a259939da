import Bytes

/// The unsent bytes of one connection, in order. Holds no memory while it is empty.
package struct ByteQueue: ~Copyable {
  private var buffer = ByteBuffer()

  package init() {}

  package var count: Int { buffer.count }
  package var isEmpty: Bool { buffer.isEmpty }

  package mutating func append(_ bytes: Span<UInt8>) {
    buffer.append(bytes)
  }

  /// The bytes that wait, oldest first.
  package var span: Span<UInt8> {
    @_lifetime(borrow self)
    get { buffer.span }
  }

  /// Drops the first `length` bytes, and with the last one the memory.
  package mutating func removeFirst(_ length: Int) {
    buffer.removeFirst(length)
    if buffer.isEmpty { buffer.release() }
  }

  package mutating func removeAll() {
    buffer.release()
  }
}
