import Glibc
import Loop

/// Which file stands at a path and in what state, symbolic links followed. Two different states compare unequal as far
/// as the file system tells: for a poll beside `DirectoryWatch`.
package struct FileStat: Hashable, Sendable {
  package let device: UInt64
  package let inode: UInt64
  package let size: Int
  /// Last change of the contents, and of the inode, in nanoseconds since 1970.
  package let modified: Int64
  package let changed: Int64
  package let isRegularFile: Bool

  package init(_ path: String) throws(FileError) {
    guard !path.utf8.contains(0) else { throw .notFound(path: path) }
    var status = stat()
    guard unsafe stat(path, &status) == 0 else { throw FileError("stat", path) }
    self.init(status)
  }

  init(_ status: stat) {
    device = UInt64(status.st_dev)
    inode = UInt64(status.st_ino)
    size = Int(status.st_size)
    modified = Self.nanoseconds(status.st_mtim)
    changed = Self.nanoseconds(status.st_ctim)
    isRegularFile = status.st_mode & S_IFMT == S_IFREG
  }

  static func nanoseconds(_ time: timespec) -> Int64 {
    Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec)
  }
}

/// A file's bytes with the state they were read in.
package struct FileContents: Sendable {
  package let bytes: [UInt8]
  package let stat: FileStat
}

/// Reads a whole regular file of at most `limit` bytes.
///
/// Contents and state belong together: a file that another process writes into meanwhile is `changedWhileReading`.
/// Files that are replaced by renaming are always read whole.
package func readFile(_ path: String, limit: Int) throws(FileError) -> FileContents {
  // Non-blocking, so that a FIFO put in the file's place does not hang the reader.
  let file = try Descriptor(path, O_RDONLY | O_NONBLOCK)
  let before = FileStat(try file.status())
  guard before.isRegularFile else { throw .notAFile(path: path) }
  guard before.size <= limit else { throw .tooLarge(path: path, limit: limit) }
  // One byte more than allowed tells a file that has grown beyond the limit from one that just fits.
  let bytes = try file.read(upTo: limit + 1, expecting: before.size)
  guard bytes.count <= limit else { throw .tooLarge(path: path, limit: limit) }
  let after = FileStat(try file.status())
  guard after.modified == before.modified, after.size == before.size, bytes.count == after.size else {
    throw .changedWhileReading(path: path)
  }
  return FileContents(bytes: bytes, stat: after)
}
