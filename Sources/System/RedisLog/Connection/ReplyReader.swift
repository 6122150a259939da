import Bytes
import CHiredis

/// Splits what Redis sends into replies, with hiredis's reader.
///
/// hiredis calls back for each part of a reply; the parts go onto a tape that is used again for every reply, so that a
/// reply costs no memory of its own.
@safe
package final class ReplyReader {
  /// The longest reply in bytes, as it stands on the wire. Redis's own limit of one string.
  static let limit = 512 << 20
  /// The most elements of one array: more than any command here can bring.
  private static let elementLimit: Int32 = 1 << 20
  /// hiredis moves what is left of its buffer after every few replies; small pieces keep that cheap.
  private static let pieceSize = 8 << 10

  private let reader: UnsafeMutablePointer<redisReader>
  private let functions: UnsafeMutablePointer<redisReplyObjectFunctions>
  private let tape = ReplyTape()
  private let limit: Int
  private var taken = 0

  /// - Returns: `nil` when there is no memory.
  package init?(limit: Int = ReplyReader.limit) {
    self.limit = limit
    unsafe functions = UnsafeMutablePointer<redisReplyObjectFunctions>.allocate(capacity: 1)
    unsafe functions.initialize(to: Self.callbacks)
    guard let reader = unsafe redisReaderCreateWithFunctions(functions) else {
      unsafe functions.deallocate()
      return nil
    }
    unsafe self.reader = reader
    unsafe reader.pointee.privdata = Unmanaged.passUnretained(tape).toOpaque()
  }

  deinit {
    unsafe redisReaderFree(reader)
    unsafe functions.deallocate()
  }

  /// Whether nothing is left of a reply that is not whole.
  package var isAtEnd: Bool { taken == 0 }

  /// Takes in what has come and lends each reply that is whole to `body`, which answers whether to go on.
  ///
  /// - Throws: when the bytes are no Redis replies, or one is larger than allowed. Nothing may be read after that.
  package func read(_ input: Span<UInt8>, _ body: (RedisReply) -> Bool) throws(RedisError) {
    var offset = 0
    while offset < input.count {
      let end = min(input.count, offset + Self.pieceSize)
      try feed(input.extracting(offset..<end))
      offset = end
      while try next() {
        let goesOn = body(RedisReply(tape))
        tape.clear()
        if !goesOn { return }
      }
      guard taken <= limit else { throw .protocolViolation("a reply is larger than \(limit) bytes") }
    }
  }

  private func feed(_ piece: Span<UInt8>) throws(RedisError) {
    taken += piece.count
    let code = unsafe piece.withUnsafeBytes { bytes in
      unsafe redisReaderFeed(reader, bytes.baseAddress?.assumingMemoryBound(to: CChar.self), bytes.count)
    }
    guard code == REDIS_OK else { throw failure }
  }

  /// Whether a reply is whole; it is on the tape then.
  private func next() throws(RedisError) -> Bool {
    var reply: UnsafeMutableRawPointer?
    guard unsafe redisReaderGetReply(reader, &reply) == REDIS_OK else { throw failure }
    guard unsafe reply != nil else { return false }
    // What is left in the buffer belongs to the replies that follow.
    taken = unsafe Int(reader.pointee.len &- reader.pointee.pos)
    return true
  }

  private var failure: RedisError {
    let text = unsafe withUnsafeBytes(of: &reader.pointee.errstr) { bytes in
      unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
    return .protocolViolation(text)
  }

  // hiredis only keeps and hands back what these return, so any pointer that is not null will do. Null means that there
  // is no memory, and ends the reading with an error.
  private static var callbacks: redisReplyObjectFunctions {
    unsafe redisReplyObjectFunctions(
      createString: { task, bytes, length in
        guard let (tape, type) = unsafe ReplyReader.context(task), let bytes = unsafe bytes else { return nil }
        let kind: RedisReply.Kind =
          type == REDIS_REPLY_ERROR ? .error : type == REDIS_REPLY_STATUS ? .status : .bulk
        let buffer = unsafe UnsafeBufferPointer(
          start: UnsafeRawPointer(bytes).assumingMemoryBound(to: UInt8.self), count: length)
        unsafe tape.add(kind, bytes: Span(_unsafeElements: buffer))
        return UnsafeMutableRawPointer(bytes)
      },
      createArray: { task, count in
        guard let (tape, _) = unsafe ReplyReader.context(task), count <= ReplyReader.elementLimit else { return nil }
        tape.addArray(count: Int(count))
        return unsafe task?.pointee.privdata
      },
      createInteger: { task, value in
        guard let (tape, _) = unsafe ReplyReader.context(task) else { return nil }
        tape.add(.integer, value: Int64(value))
        return unsafe task?.pointee.privdata
      },
      createNil: { task in
        guard let (tape, _) = unsafe ReplyReader.context(task) else { return nil }
        tape.add(.null)
        return unsafe task?.pointee.privdata
      },
      freeObject: { _ in })
  }

  @unsafe
  private static func context(_ task: UnsafePointer<redisReadTask>?) -> (ReplyTape, Int32)? {
    guard let task = unsafe task, let context = unsafe task.pointee.privdata else { return nil }
    return (unsafe Unmanaged<ReplyTape>.fromOpaque(context).takeUnretainedValue(), unsafe task.pointee.type)
  }
}
