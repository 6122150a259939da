internal import Glibc

/// A new directory of this user alone. `remove` deletes it with all that is in it.
package struct TemporaryDirectory: Sendable {
  package let path: String

  package init(prefix: String) throws(ProcessError) {
    let base = unsafe getenv("TMPDIR").map { unsafe String(cString: $0) } ?? "/tmp"
    var template = Array((base + "/" + prefix + ".XXXXXX").utf8CString)
    guard unsafe mkdtemp(&template) != nil else { throw ProcessError("make a directory in \(base)") }
    path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  /// Writes the file `name` and returns its path.
  @discardableResult
  package func write(_ name: String, _ text: String) throws(ProcessError) -> String {
    let file = path + "/" + name
    let descriptor = unsafe open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw ProcessError("write \(file)") }
    defer { close(descriptor) }
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      let written = unsafe rest.withUnsafeBytes { bytes in
        unsafe Glibc.write(descriptor, bytes.baseAddress, bytes.count)
      }
      guard written > 0 else { throw ProcessError("write \(file)") }
      rest = rest.dropFirst(written)
    }
    return file
  }

  package func remove() { Self.remove(path) }

  private static func remove(_ folder: String) {
    for name in (try? SmallFile.names(in: folder)) ?? [] {
      let entry = folder + "/" + name
      // A directory cannot be unlinked; a link to one can, and is not followed.
      if unsafe unlink(entry) != 0 { remove(entry) }
    }
    _ = unsafe rmdir(folder)
  }
}
