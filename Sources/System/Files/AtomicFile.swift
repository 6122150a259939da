import Glibc
import Loop

/// Replaces files so that every reader sees the old contents or the new, never a part, also after a power cut.
package enum AtomicFile {
  /// Puts `bytes` in the place of the file at `path`, or makes it.
  ///
  /// A temporary file in the same directory is written, synchronized and renamed over it. Mode and (if the process
  /// may) owner stay; a new file gets 0644 less the umask. The modification time is always later than the old file's,
  /// whatever the clock says, so that a watcher that compares times sees the change.
  /// - Parameter access: mode and group of a file that was not there.
  /// - Throws: `.symbolicLink` for a link at `path`, which is not followed: renaming would put a file in its place.
  ///   `.mountedByItself` for a file that is a mount point.
  package static func replace(
    _ path: String, with bytes: [UInt8], access: SharedAccess? = nil
  ) throws(FileError) {
    let old = try status(of: path)
    if let old { try check(old, path) }
    let temporary = temporaryPath(for: path)
    do throws(FileError) {
      try write(bytes, to: temporary, like: old, access)
      guard unsafe rename(temporary, path) == 0 else { throw FileError("rename", path) }
    } catch {
      unsafe unlink(temporary)
      throw error
    }
    try Descriptor(FilePath.directory(of: path), O_RDONLY | O_DIRECTORY).synchronize()
  }

  /// The file at `path` itself, links not followed; `nil` when there is none.
  private static func status(of path: String) throws(FileError) -> stat? {
    guard !path.isEmpty, !path.utf8.contains(0) else { throw .notFound(path: path) }
    var status = stat()
    if unsafe lstat(path, &status) == 0 { return status }
    guard errno == ENOENT else { throw FileError("lstat", path) }
    return nil
  }

  private static func check(_ old: stat, _ path: String) throws(FileError) {
    switch old.st_mode & S_IFMT {
    case S_IFREG: return
    case S_IFLNK: throw .symbolicLink(path: path)
    default: throw .notAFile(path: path)
    }
  }

  /// Hidden and unlike what any tool reads, in the same directory because a rename does not cross file systems.
  private static func temporaryPath(for path: String) -> String {
    // Short, because it stands in messages.
    let unique = "\(getpid()).\(String(UInt32.random(in: .min ... .max), radix: 36))"
    return "\(FilePath.directory(of: path))/.\(FilePath.name(of: path)).\(unique).tmp"
  }

  private static func write(_ bytes: [UInt8], to path: String, like old: stat?, _ access: SharedAccess?)
    throws(FileError)
  {
    let file = try Descriptor(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode: 0o644)
    if let access, old == nil { access.fit(file.number) }
    if let old {
      // The owner first: changing it clears set-id bits. Only root may; a group of one's own anybody may keep. Where
      // nothing is to be changed, nothing is asked for: service managers forbid the call.
      let new = try file.status()
      let isAlike = new.st_uid == old.st_uid && new.st_gid == old.st_gid
      if !isAlike, fchown(file.number, old.st_uid, old.st_gid) != 0 {
        _ = fchown(file.number, uid_t.max, old.st_gid)
      }
      guard fchmod(file.number, old.st_mode & 0o7777) == 0 else { throw FileError("fchmod", path) }
    }
    try file.write(bytes.span)
    if let old { try makeLater(file, than: old, path) }
    try file.synchronize()
  }

  /// Sets the modification time past the old one's where the clock has not moved on, or runs behind.
  private static func makeLater(_ file: borrowing Descriptor, than old: stat, _ path: String) throws(FileError) {
    let before = FileStat.nanoseconds(old.st_mtim)
    // File systems keep nanoseconds, microseconds or whole seconds: the smallest step that sticks.
    for step: Int64 in [1000, 1_000_000, 2_000_000_000] {
      guard FileStat(try file.status()).modified <= before else { return }
      let target = before &+ step
      let time = timespec(tv_sec: Int(target / 1_000_000_000), tv_nsec: Int(target % 1_000_000_000))
      let times = [time, time]
      guard unsafe futimens(file.number, times) == 0 else { throw FileError("futimens", path) }
    }
  }
}
