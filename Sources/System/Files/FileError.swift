import Glibc
package import Loop

/// Why something with a file did not work; always with the path.
package enum FileError: Error, Hashable, Sendable, CustomStringConvertible {
  case notFound(path: String)
  case permissionDenied(path: String)
  /// Not a regular file: a directory, a device.
  case notAFile(path: String)
  /// A symbolic link where replacing it would break what it stands for.
  case symbolicLink(path: String)
  /// More than the bytes asked for.
  case tooLarge(path: String, limit: Int)
  /// It changed while it was read; reading again helps.
  case changedWhileReading(path: String)
  /// Mounted by itself (a bind mount of one file, as containers have): can't be replaced by renaming.
  case mountedByItself(path: String)
  /// Someone else holds the lock.
  case locked(path: String)
  case system(call: String, path: String, SystemError)

  init(_ call: String, _ path: String, _ error: SystemError = .last) {
    switch error.code {
    case ENOENT, ENOTDIR: self = .notFound(path: path)
    case EACCES, EPERM: self = .permissionDenied(path: path)
    case EISDIR: self = .notAFile(path: path)
    case ELOOP: self = .symbolicLink(path: path)
    case EBUSY: self = .mountedByItself(path: path)
    default: self = .system(call: call, path: path, error)
    }
  }

  /// Whether reading the same file again may go well though nobody changes it.
  package var mayPass: Bool {
    switch self {
    case .changedWhileReading: true
    case .system(_, _, let error): error.isOutOfDescriptors || [EIO, ENOMEM, ESTALE].contains(error.code)
    default: false
    }
  }

  package var description: String {
    switch self {
    case .notFound(let path): "\(path): no such file"
    case .permissionDenied(let path): "\(path): permission denied"
    case .notAFile(let path): "\(path): not a regular file"
    case .symbolicLink(let path): "\(path): is a symbolic link; name the file it points to"
    case .tooLarge(let path, let limit): "\(path): larger than \(limit) bytes"
    case .changedWhileReading(let path): "\(path): changed while it was read"
    case .mountedByItself(let path):
      "\(path): is a mount point of its own and can't be replaced; mount its directory instead"
    case .locked(let path): "\(path): locked by another process"
    case .system(let call, let path, let error): "\(path): \(call): \(error)"
    }
  }
}
