import Glibc
import Loop

/// An open file, closed with its owner.
struct Descriptor: ~Copyable {
  let number: Int32
  private let path: String

  /// - Parameter flags: `O_…`; O_CLOEXEC is added.
  init(_ path: String, _ flags: Int32, mode: mode_t = 0) throws(FileError) {
    guard !path.isEmpty, !path.utf8.contains(0) else { throw .notFound(path: path) }
    var opened: Int32
    repeat { opened = unsafe open(path, flags | O_CLOEXEC, mode) } while opened < 0 && errno == EINTR
    guard opened >= 0 else { throw FileError("open", path) }
    number = opened
    self.path = path
  }

  deinit {
    close(number)
  }

  borrowing func status() throws(FileError) -> stat {
    var status = stat()
    guard unsafe fstat(number, &status) == 0 else { throw FileError("fstat", path) }
    return status
  }

  /// Writes all of `bytes`.
  borrowing func write(_ bytes: Span<UInt8>) throws(FileError) {
    var written = 0
    while written < bytes.count {
      let rest = bytes.extracting(droppingFirst: written)
      let length = unsafe rest.withUnsafeBufferPointer { unsafe Glibc.write(number, $0.baseAddress, $0.count) }
      if length < 0 {
        if errno == EINTR { continue }
        throw FileError("write", path)
      }
      written += length
    }
  }

  /// Reads up to `limit` bytes or to the end.
  borrowing func read(upTo limit: Int, expecting size: Int) throws(FileError) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(min(size, limit))
    while bytes.count < limit {
      let piece = min(max(size - bytes.count, 4096), limit - bytes.count)
      var failure: SystemError?
      let part = unsafe [UInt8](unsafeUninitializedCapacity: piece) { buffer, count in
        let length = unsafe Glibc.read(number, buffer.baseAddress, piece)
        if length < 0 { failure = .last }
        count = max(0, length)
      }
      if let failure {
        if failure.isInterrupted { continue }
        throw FileError("read", path, failure)
      }
      if part.isEmpty { break }
      bytes += part
    }
    return bytes
  }

  /// Has the bytes on the disk before it returns.
  borrowing func synchronize() throws(FileError) {
    guard fsync(number) == 0 else { throw FileError("fsync", path) }
  }
}
