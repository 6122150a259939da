/// A growable run of bytes with room in front, so that a frame's header can be put before a body
/// that is already written.
///
/// Owned by one place at a time (`~Copyable`); an empty buffer that was `release()`d holds no memory.
/// Not thread-safe: it lives on one event loop.
@safe
package struct ByteBuffer: ~Copyable {
  private var base: UnsafeMutablePointer<UInt8>?
  private var capacity = 0
  private var start = 0
  private var end = 0
  private let headroom: Int

  /// - Parameter headroom: bytes kept free in front of an empty buffer, for `prepend`.
  package init(headroom: Int = 0) {
    self.headroom = headroom
    self.start = headroom
    self.end = headroom
    unsafe self.base = nil
  }

  deinit {
    unsafe base?.deallocate()
  }

  package var count: Int { end - start }
  package var isEmpty: Bool { end == start }
  /// Bytes of memory held, used or not.
  package var allocated: Int { capacity }

  /// The bytes written so far.
  package var span: Span<UInt8> {
    @_lifetime(borrow self)
    get {
      let bytes = unsafe UnsafeBufferPointer(start: base.map { unsafe UnsafePointer($0) + start }, count: count)
      return unsafe _overrideLifetime(Span(_unsafeElements: bytes), borrowing: self)
    }
  }

  /// Lends the bytes to `body`. For buffers that are stored in a class, whose `span` can't outlive the access.
  package borrowing func withSpan<Result: ~Copyable>(_ body: (Span<UInt8>) -> Result) -> Result {
    body(span)
  }

  package mutating func append(_ other: borrowing ByteBuffer) {
    append(other.span)
  }

  package mutating func append(_ byte: UInt8) {
    reserve(1)
    unsafe base.unsafelyUnwrapped[end] = byte
    end += 1
  }

  package mutating func append(_ bytes: Span<UInt8>) {
    let length = bytes.count
    guard length > 0 else { return }
    reserve(length)
    unsafe bytes.withUnsafeBufferPointer { source in
      unsafe (base.unsafelyUnwrapped + end).update(from: source.baseAddress.unsafelyUnwrapped, count: length)
    }
    end += length
  }

  package mutating func append(_ text: StaticString) {
    let length = text.utf8CodeUnitCount
    guard length > 0 else { return }
    reserve(length)
    unsafe (base.unsafelyUnwrapped + end).update(from: text.utf8Start, count: length)
    end += length
  }

  package mutating func append(_ text: String) {
    text.withSpan { append($0) }
  }

  package mutating func append(_ bytes: [UInt8]) {
    append(bytes.span)
  }

  package mutating func append(_ text: Substring) {
    append(text.utf8Span.span)
  }

  /// Puts `bytes` in front of what is written. Needs `bytes.count` of headroom left; traps otherwise,
  /// because a caller that did not reserve it has a bug.
  package mutating func prepend(_ bytes: Span<UInt8>) {
    let length = bytes.count
    precondition(length <= start, "prepend past the headroom")
    guard length > 0 else { return }
    reserve(0, atLeast: start)
    start -= length
    unsafe bytes.withUnsafeBufferPointer { source in
      unsafe (base.unsafelyUnwrapped + start).update(from: source.baseAddress.unsafelyUnwrapped, count: length)
    }
  }

  /// Puts one byte in front; see `prepend(_:)`.
  package mutating func prepend(_ byte: UInt8) {
    precondition(start > 0, "prepend past the headroom")
    reserve(0, atLeast: start)
    start -= 1
    unsafe base.unsafelyUnwrapped[start] = byte
  }

  /// Drops the first `length` bytes, which must be there.
  package mutating func removeFirst(_ length: Int) {
    precondition(length >= 0 && length <= count)
    start += length
    if start == end { removeAll() }
  }

  /// Keeps the first `length` bytes.
  package mutating func truncate(to length: Int) {
    precondition(length >= 0 && length <= count)
    end = start + length
  }

  /// Empties the buffer and keeps its memory.
  package mutating func removeAll() {
    start = headroom
    end = headroom
  }

  /// Empties the buffer and gives its memory back.
  package mutating func release() {
    unsafe base?.deallocate()
    unsafe base = nil
    capacity = 0
    removeAll()
  }

  /// A copy of the bytes as an array; for tests and cold paths.
  package func toArray() -> [UInt8] {
    [UInt8](copying: span)
  }

  /// Makes room for `extra` more bytes behind the last one.
  package mutating func reserve(_ extra: Int) {
    reserve(extra, atLeast: 0)
  }

  private mutating func reserve(_ extra: Int, atLeast minimum: Int) {
    let needed = max(end + extra, minimum)
    if needed <= capacity, unsafe base != nil { return }
    grow(to: needed, extra: extra)
  }

  private mutating func grow(to needed: Int, extra: Int) {
    let used = count
    // A queue that is written behind and read in front slides back instead of growing.
    if unsafe base != nil, start - headroom >= used, headroom + used + extra <= capacity {
      let memory = unsafe base.unsafelyUnwrapped
      unsafe (memory + headroom).update(from: memory + start, count: used)
      start = headroom
      end = headroom + used
      return
    }
    let enlarged = max(needed, capacity * 2, 64)
    let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: enlarged)
    if let old = unsafe base {
      unsafe (memory + start).update(from: old + start, count: used)
      unsafe old.deallocate()
    }
    unsafe base = memory
    capacity = enlarged
  }
}
