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
    let file = try Self.open(lockPath, SharedAccess(beside: path))
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

  /// Locking needs no right to write: a lock file that another operator made will do.
  private static func open(_ path: String, _ access: SharedAccess) throws(FileError) -> Descriptor {
    do throws(FileError) {
      return try access.open(path, O_RDWR)
    } catch {
      guard case .permissionDenied = error else { throw error }
      let denied = error
      do throws(FileError) {
        return try Descriptor(path, O_RDONLY | O_NOFOLLOW)
      } catch .notFound {
        // There is none, and none may be made.
        throw denied
      }
    }
  }

  /// A process that has a lock.
  package struct Holder: Sendable, CustomStringConvertible {
    package let pid: Int
    package let user: String
    package let command: String

    package var description: String {
      "process \(pid) of \(user.isEmpty ? "an unknown user" : user)" + (command.isEmpty ? "" : " (\(command))")
    }
  }

  /// Who has the lock on `path`, as far as the kernel tells: not across containers.
  package static func holder(of path: String) -> Holder? {
    guard let inode = try? FileStat(path + ".lock").inode, let table = readProc("/proc/locks") else { return nil }
    for line in table.split(separator: "\n") {
      // 1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF; a process that waits has an arrow in front.
      let words = line.split(separator: " ")
      guard words.count >= 6, words[1] == "FLOCK", words[5].split(separator: ":").last.flatMap({ UInt64($0) }) == inode,
        let pid = Int(words[4]), pid > 0
      else { continue }
      return holder(pid)
    }
    return nil
  }

  private static func holder(_ pid: Int) -> Holder {
    let words = (readProc("/proc/\(pid)/cmdline") ?? "").split(separator: "\0")
    // What it was told may have secrets in it; what it is does not.
    let command = words.prefix(3).filter { !$0.hasPrefix("-") }.joined(separator: " ")
    return Holder(pid: pid, user: fileOwner("/proc/\(pid)"), command: printable(command))
  }

  /// Files of the kernel have no size.
  private static func readProc(_ path: String) -> String? {
    guard let file = try? Descriptor(path, O_RDONLY), let bytes = try? file.read(upTo: 1 << 20, expecting: 4096) else {
      return nil
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  private static func printable(_ text: String) -> String {
    String(String.UnicodeScalarView(text.unicodeScalars.prefix(120).filter { $0.value >= 0x20 && $0.value != 0x7F }))
  }
}

/// Appends `bytes` as one write and has them on the disk before it returns: a line of an audit log is there whole or
/// not at all. The file is made if missing; a symbolic link is refused.
///
/// - Parameter access: mode and group of a new file; without it only its owner may read it.
package func appendLine(_ path: String, _ bytes: [UInt8], access: SharedAccess? = nil) throws(FileError) {
  let file = try open(path, access)
  guard FileStat(try file.status()).isRegularFile else { throw .notAFile(path: path) }
  let size = try file.status().st_size
  do throws(FileError) {
    try file.write(bytes.span)
  } catch {
    // A part of a line is worse than none.
    _ = ftruncate(file.number, size)
    throw error
  }
  try file.synchronize()
}

/// Non-blocking, so that a FIFO put in the file's place does not hang the writer.
private func open(_ path: String, _ access: SharedAccess?) throws(FileError) -> Descriptor {
  let flags = O_WRONLY | O_APPEND | O_NONBLOCK
  guard let access else { return try Descriptor(path, flags | O_CREAT | O_NOFOLLOW, mode: 0o600) }
  return try access.open(path, flags)
}
