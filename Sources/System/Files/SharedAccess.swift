import Glibc

/// The mode and the group that new files beside a file get, so that everybody who may change the one may change the
/// others: a group of operators shares a flag file, its lock, its log and its history.
package struct SharedAccess: Sendable {
  /// For files: the bits of the file that is shared, without those for running it.
  let mode: mode_t
  let group: gid_t
  /// For directories: who may read a file may enter.
  private var directoryMode: mode_t { mode | ((mode & 0o444) >> 2) | 0o2000 }

  /// As the file at `path`; without one as its directory.
  package init(beside path: String) {
    var status = stat()
    if unsafe stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG {
      mode = (status.st_mode & 0o666) | 0o600
      group = status.st_gid
    } else if unsafe stat(FilePath.directory(of: path), &status) == 0 {
      // A directory that everybody writes to is no word on who may change a flag file.
      mode = (status.st_mode & (status.st_mode & 0o1000 != 0 ? 0o644 : 0o666)) | 0o600
      group = status.st_gid
    } else {
      (mode, group) = (0o644, getgid())
    }
  }

  /// Opens the file at `path`, or makes it with this mode and group, whatever the umask says.
  func open(_ path: String, _ flags: Int32) throws(FileError) -> Descriptor {
    for _ in 0..<3 {
      do throws(FileError) {
        return try Descriptor(path, flags | O_NOFOLLOW)
      } catch {
        guard case .notFound = error else { throw error }
      }
      if let made = try? Descriptor(path, flags | O_CREAT | O_EXCL | O_NOFOLLOW, mode: mode) {
        fit(made.number)
        return made
      }
    }
    return try Descriptor(path, flags | O_CREAT | O_NOFOLLOW, mode: mode)
  }

  /// Gives a new file this mode and group, as far as this process may.
  func fit(_ descriptor: Int32) {
    _ = fchown(descriptor, uid_t.max, group)
    _ = fchmod(descriptor, mode)
  }

  /// Makes a directory unless it is there.
  package func makeDirectory(_ path: String) throws(FileError) {
    guard unsafe mkdir(path, directoryMode & 0o777) == 0 else {
      if errno == EEXIST { return }
      throw FileError("mkdir", path)
    }
    _ = unsafe chown(path, uid_t.max, group)
    _ = unsafe chmod(path, directoryMode)
  }
}

/// Writes `bytes` over the file at `path` where no new file can be made beside it: a full disk, a directory that may
/// not be written to, a file that is mounted by itself. Needs no new bytes on the disk. A reader may see a part of it
/// for a moment, so this is for when nothing else is left.
/// - Throws: `.tooLarge` when there are more bytes than the file has.
package func overwriteInPlace(_ path: String, with bytes: [UInt8]) throws(FileError) {
  let file = try Descriptor(path, O_WRONLY | O_NOFOLLOW)
  let size = Int(try file.status().st_size)
  guard bytes.count <= size else { throw .tooLarge(path: path, limit: size) }
  try file.write(bytes.span)
  guard ftruncate(file.number, bytes.count) == 0 else { throw FileError("ftruncate", path) }
  try file.synchronize()
}

/// Renames within a directory, over nothing: a file at `new` is replaced.
package func renameFile(_ old: String, to new: String) throws(FileError) {
  guard unsafe rename(old, new) == 0 else { throw FileError("rename", old) }
}

/// Cuts the file at `path` after `size` bytes.
package func truncateFile(_ path: String, to size: Int) throws(FileError) {
  let file = try Descriptor(path, O_WRONLY | O_NOFOLLOW)
  guard ftruncate(file.number, size) == 0 else { throw FileError("ftruncate", path) }
  try file.synchronize()
}

/// The name of a file's owner, their number where they have no name, "" when that can't be found out.
package func fileOwner(_ path: String) -> String {
  var status = stat()
  guard unsafe stat(path, &status) == 0 else { return "" }
  guard let entry = unsafe getpwuid(status.st_uid), let name = unsafe entry.pointee.pw_name else {
    return String(status.st_uid)
  }
  return unsafe String(cString: name)
}
