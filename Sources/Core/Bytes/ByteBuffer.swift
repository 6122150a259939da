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

  @inline(__always)
  package mutating func append(_ byte: UInt8) {
    makeRoom(for: 1)
    unsafe base.unsafelyUnwrapped[end] = byte
    end &+= 1
  }

  package mutating func append(_ bytes: Span<UInt8>) {
    let length = bytes.count
    guard length > 0 else { return }
    makeRoom(for: length)
    let target = unsafe UnsafeMutableRawPointer(base.unsafelyUnwrapped + end)
    unsafe bytes.withUnsafeBufferPointer { source in
      unsafe Self.copy(length, from: UnsafeRawPointer(source.baseAddress.unsafelyUnwrapped), to: target)
    }
    end &+= length
  }

  // Part of its callers, so that what is written in the program's text is stored by instructions and not copied by a call.
  @inline(__always)
  package mutating func append(_ text: StaticString) {
    let length = text.utf8CodeUnitCount
    guard length > 0 else { return }
    makeRoom(for: length)
    unsafe UnsafeMutableRawPointer(base.unsafelyUnwrapped + end).copyMemory(from: text.utf8Start, byteCount: length)
    end &+= length
  }

  /// Makes the buffer longer by `length` bytes, which hold anything, and lends them to be written.
  @inline(__always)
  package mutating func append(count length: Int, _ write: (inout MutableSpan<UInt8>) -> Void) {
    guard length > 0 else { return }
    makeRoom(for: length)
    var span = unsafe MutableSpan(_unsafeStart: base.unsafelyUnwrapped + end, count: length)
    write(&span)
    end &+= length
  }

  /// Appends the `count` low bytes of `word`, at most all eight, the lowest first.
  @inline(__always)
  package mutating func append(word: UInt64, count: Int) {
    makeRoom(for: 8)
    let target = unsafe UnsafeMutableRawPointer(base.unsafelyUnwrapped + end)
    unsafe target.storeBytes(of: word.littleEndian, as: UInt64.self)
    end &+= count
  }

  /// Appends the `count` low bytes of four words, the first word first and the lowest byte of each first.
  @inline(__always)
  package mutating func append(words: (UInt64, UInt64, UInt64, UInt64), count: Int) {
    precondition(count >= 0 && count <= 32)
    makeRoom(for: 32)
    let target = unsafe UnsafeMutableRawPointer(base.unsafelyUnwrapped + end)
    unsafe target.storeBytes(of: words.0.littleEndian, as: UInt64.self)
    unsafe target.storeBytes(of: words.1.littleEndian, toByteOffset: 8, as: UInt64.self)
    unsafe target.storeBytes(of: words.2.littleEndian, toByteOffset: 16, as: UInt64.self)
    unsafe target.storeBytes(of: words.3.littleEndian, toByteOffset: 24, as: UInt64.self)
    end &+= count
  }

  /// The word that was put at `index`, counted from the memory's end.
  ///
  /// Words and bytes fill one piece of memory from both sides: a buffer of known size has its own table of contents.
  @inline(__always)
  package func word(fromEnd index: Int) -> UInt64 {
    precondition(index >= 0 && index < capacity / 8, "a word outside the memory")
    let place = unsafe UnsafeRawPointer(base.unsafelyUnwrapped + (capacity &- 8 &* (index &+ 1)))
    return unsafe UInt64(littleEndian: place.loadUnaligned(as: UInt64.self))
  }

  /// Puts a word at `index`, counted from the memory's end, behind the bytes. There must be room: the caller has reserved
  /// what bytes and words need together.
  @inline(__always)
  package mutating func put(word: UInt64, fromEnd index: Int) {
    let place = capacity &- 8 &* (index &+ 1)
    precondition(index >= 0 && place >= end, "a word over the bytes")
    unsafe UnsafeMutableRawPointer(base.unsafelyUnwrapped + place).storeBytes(of: word.littleEndian, as: UInt64.self)
  }

  /// Lends the words at `indices` as they lie in memory, the last one first and the low byte of each first.
  package borrowing func withWords<Result: ~Copyable>(
    fromEnd indices: Range<Int>, _ body: (Span<UInt8>) -> Result
  ) -> Result {
    precondition(indices.lowerBound >= 0 && indices.upperBound <= capacity / 8, "words outside the memory")
    let first = unsafe base.map { unsafe UnsafePointer($0) + (capacity - 8 * indices.upperBound) }
    let bytes = unsafe UnsafeBufferPointer(start: first, count: 8 * indices.count)
    return unsafe body(Span(_unsafeElements: bytes))
  }

  /// Appends `bytes` between quotation marks, as they are.
  package mutating func append(quoted bytes: Span<UInt8>) {
    let length = bytes.count
    makeRoom(for: length + 2)
    unsafe base.unsafelyUnwrapped[end] = UInt8(ascii: "\"")
    end &+= 1
    if length > 0 {
      let target = unsafe UnsafeMutableRawPointer(base.unsafelyUnwrapped + end)
      unsafe bytes.withUnsafeBufferPointer { source in
        unsafe Self.copy(length, from: UnsafeRawPointer(source.baseAddress.unsafelyUnwrapped), to: target)
      }
    }
    unsafe base.unsafelyUnwrapped[end &+ length] = UInt8(ascii: "\"")
    end &+= length &+ 1
  }

  /// Appends `,"name":`, the beginning of a member that is not an object's first. `name` must need no escaping.
  @inline(__always)
  package mutating func append(jsonMember name: StaticString) {
    let length = name.utf8CodeUnitCount
    makeRoom(for: length + 4)
    let target = unsafe UnsafeMutableRawPointer(base.unsafelyUnwrapped + end)
    let (opening, closing) = (UInt16(0x222C), UInt16(0x3A22))  // ," and ":
    unsafe target.storeBytes(of: opening.littleEndian, as: UInt16.self)
    unsafe (target + 2).copyMemory(from: name.utf8Start, byteCount: length)
    unsafe target.storeBytes(of: closing.littleEndian, toByteOffset: length + 2, as: UInt16.self)
    end &+= length &+ 4
  }

  // Disfavored, so that text in the program's own source is taken for what costs nothing, a `StaticString`.
  @_disfavoredOverload
  package mutating func append(_ text: String) {
    text.withSpan { append($0) }
  }

  package mutating func append(_ bytes: [UInt8]) {
    append(bytes.span)
  }

  @_disfavoredOverload
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

  /// Like `reserve`, for one byte at least: then a buffer without memory is one without capacity.
  @inline(__always)
  private mutating func makeRoom(for extra: Int) {
    if extra > capacity &- end { grow(to: end + extra, extra: extra) }
  }

  /// Copies `length` bytes to where there is room for them. Most are few: a call would cost more than the copy.
  ///
  /// Static: as a method it is handed a copy of the buffer's fields, read back in one load of which `end` has just been
  /// written by a smaller store, and the processor waits for that.
  @unsafe
  private static func copy(_ length: Int, from source: UnsafeRawPointer, to target: UnsafeMutableRawPointer) {
    if length > 32 {
      unsafe target.copyMemory(from: source, byteCount: length)
    } else if length >= 16 {
      // Here and below the two halves may overlap.
      unsafe copy(SIMD16<UInt8>.self, from: source, to: target, last: length - 16)
    } else if length >= 8 {
      unsafe copy(UInt64.self, from: source, to: target, last: length - 8)
    } else if length >= 4 {
      unsafe copy(UInt32.self, from: source, to: target, last: length - 4)
    } else {
      for index in 0..<length {
        let byte = unsafe source.load(fromByteOffset: index, as: UInt8.self)
        unsafe target.storeBytes(of: byte, toByteOffset: index, as: UInt8.self)
      }
    }
  }

  @unsafe @inline(__always)
  private static func copy<Block: BitwiseCopyable>(
    _ type: Block.Type, from source: UnsafeRawPointer, to target: UnsafeMutableRawPointer, last: Int
  ) {
    let first = unsafe source.loadUnaligned(as: type)
    let second = unsafe source.loadUnaligned(fromByteOffset: last, as: type)
    unsafe target.storeBytes(of: first, as: type)
    unsafe target.storeBytes(of: second, toByteOffset: last, as: type)
  }

  @inline(never)
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
