import Bytes

/// The states of a chunked body (RFC 9112 7.1), byte by byte outside of chunks and piece by piece inside.
struct ChunkedDecoder: Sendable {
  private enum State: Sendable {
    case size, sizeLineFeed, extensions, data, dataCarriageReturn, dataLineFeed
    /// At the start of the line behind the last chunk.
    case end
    case endLineFeed
    case trailers
    case complete
  }

  // Every open stream has one of these, so they are small.
  private let maximumTrailers: UInt32
  private let maximumFields: UInt32
  private var extensionsLeft: UInt32
  private var state = State.size
  private var digits: UInt8 = 0
  /// The size being read, then the bytes of the chunk still to come.
  private var size = 0
  /// At most one, and nearly always none.
  private var trailerSection: [TrailerSection] = []

  init(limits: HeadLimits) {
    maximumTrailers = UInt32(clamping: limits.trailers)
    maximumFields = UInt32(clamping: limits.fields)
    extensionsLeft = UInt32(clamping: limits.chunkExtensions)
  }

  var trailers: Fields? { trailerSection.first?.fields }

  /// Moves `result` on over all of `bytes`, or up to the body's end, or to the byte at fault.
  mutating func decode(_ bytes: inout MutableSpan<UInt8>, into result: inout DecodedBody) throws(HTTP1Fault) {
    let count = bytes.count
    var index = result.consumedUpTo
    defer { result.consumedUpTo = index }
    while index < count {
      if state == .data {
        let length = min(size, count - index)
        result.payload = bytes.join(result.payload, index..<index + length)
        index += length
        size -= length
        if size > 0 { continue }
        state = .dataCarriageReturn
        // The common case: a read ends where a chunk does.
        if index + 1 < count, bytes[index] == .carriageReturn, bytes[index + 1] == .lineFeed {
          index += 2
          state = .size
        }
        continue
      }
      if state == .size, digits == 0, let line = Self.sizeLine(in: bytes, at: index) {
        size = line.size
        state = size == 0 ? .end : .data
        index = line.end
        continue
      }
      try read(bytes[index])
      index += 1
      if state == .complete {
        result.isComplete = true
        return
      }
    }
  }

  /// The line at `index` when all of it is there and it says nothing but a size, as nearly every one does: it needs no
  /// state. Whatever is at fault is found by `read(_:)`.
  @inline(__always)
  private static func sizeLine(in bytes: borrowing MutableSpan<UInt8>, at index: Int) -> (size: Int, end: Int)? {
    var size = 0
    var end = index
    while end < bytes.count, let value = bytes[end].hexadecimalValue {
      guard end - index < BodyDecoder.maximumChunkSizeDigits else { return nil }
      size = size << 4 | value
      end += 1
    }
    guard end > index, end + 1 < bytes.count, bytes[end] == .carriageReturn, bytes[end + 1] == .lineFeed
    else { return nil }
    return (size, end + 2)
  }

  private mutating func read(_ byte: UInt8) throws(HTTP1Fault) {
    switch state {
    case .size:
      try readSize(byte)
    case .sizeLineFeed:
      guard byte == .lineFeed else { throw .bareCarriageReturn }
      state = size == 0 ? .end : .data
      digits = 0
    case .extensions:
      try readExtension(byte)
    case .data, .complete:
      break
    case .dataCarriageReturn:
      guard byte == .carriageReturn else { throw .malformedChunkEnd }
      state = .dataLineFeed
    case .dataLineFeed:
      guard byte == .lineFeed else { throw .malformedChunkEnd }
      state = .size
    case .end:
      if byte == .carriageReturn {
        state = .endLineFeed
      } else {
        trailerSection = [TrailerSection()]
        state = .trailers
        try readTrailer(byte)
      }
    case .endLineFeed:
      guard byte == .lineFeed else { throw .bareCarriageReturn }
      state = .complete
    case .trailers:
      try readTrailer(byte)
    }
  }

  private mutating func readSize(_ byte: UInt8) throws(HTTP1Fault) {
    if let value = byte.hexadecimalValue {
      guard digits < BodyDecoder.maximumChunkSizeDigits else { throw .chunkTooLarge }
      digits += 1
      size = size << 4 | value
      return
    }
    guard digits > 0 else { throw .malformedChunkSize }
    switch byte {
    case .carriageReturn: state = .sizeLineFeed
    case UInt8(ascii: ";"): state = .extensions
    case .lineFeed: throw .bareLineFeed
    default: throw .malformedChunkSize
    }
  }

  private mutating func readExtension(_ byte: UInt8) throws(HTTP1Fault) {
    if byte == .carriageReturn {
      state = .sizeLineFeed
      return
    }
    if byte.isControl { throw byte == .lineFeed ? .bareLineFeed : .controlCharacter }
    guard extensionsLeft > 0 else { throw .chunkExtensionsTooLarge }
    extensionsLeft -= 1
  }

  private mutating func readTrailer(_ byte: UInt8) throws(HTTP1Fault) {
    let isComplete = try trailerSection[0].read(
      byte, maximumLength: Int(maximumTrailers), maximumFields: Int(maximumFields))
    if isComplete { state = .complete }
  }
}

/// The fields behind the last chunk, while they come in.
private struct TrailerSection: Sendable {
  private var bytes: [UInt8] = []
  private var section = FieldSection()

  var fields: Fields { Fields(bytes: bytes, entries: section.entries, present: section.present) }

  /// True when `byte` ends the section.
  mutating func read(_ byte: UInt8, maximumLength: Int, maximumFields: Int) throws(HTTP1Fault) -> Bool {
    guard bytes.count < maximumLength else { throw .trailersTooLarge }
    bytes.append(byte)
    let soFar = bytes
    return try section.readFields(in: soFar.span, atMost: maximumFields)
  }
}

extension MutableSpan where Element == UInt8 {
  /// Puts `piece` right behind `joined` and returns where both stand; the first piece stays where it is.
  fileprivate mutating func join(_ joined: Range<Int>, _ piece: Range<Int>) -> Range<Int> {
    if joined.isEmpty { return piece }
    move(piece, to: joined.upperBound)
    return joined.lowerBound..<joined.upperBound + piece.count
  }
}
