import Glibc
import Loop
package import Time

/// An advisory lock between processes on a path: `flock` on its sibling `<path>.lock`, which stays.
///
/// The sibling, because the file itself is replaced by renaming: a lock on it would be a lock on the old file.
package struct FileLock: ~Copyable {
  private let file: Descriptor

  /// Takes the lock, waiting for at most `wait`. Blocks the thread: for command lines, not for loops.
  /// - Throws: `.locked` when another process still has it then.
  package init(_ path: String, wait: Nanoseconds = .seconds(5)) throws(FileError) {
    let lockPath = path + ".lock"
    let file = try Descriptor(lockPath, O_RDWR | O_CREAT | O_NOFOLLOW, mode: 0o644)
    let pause = Nanoseconds.milliseconds(10)
    var waited = Nanoseconds.zero
    while flock(file.number, LOCK_EX | LOCK_NB) != 0 {
      let error = SystemError.last
      guard error.isWouldBlock || error.isInterrupted else { throw FileError("flock", lockPath, error) }
      guard waited < wait else { throw .locked(path: lockPath) }
      usleep(UInt32(pause.value / 1000))
      waited = waited + pause
    }
    self.file = file
  }
}

/// Appends `bytes` as one write and has them on the disk before it returns: a line of an audit log is there whole or
/// not at all. The file is made (0600) if missing; a symbolic link is refused.
package func appendLine(_ path: String, _ bytes: [UInt8]) throws(FileError) {
  let file = try Descriptor(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW, mode: 0o600)
  try file.write(bytes.span)
  try file.synchronize()
}
