internal import Glibc

/// Files whose size the kernel does not tell, and the names in directories.
enum SmallFile {
  static func contents(_ path: String) throws(ProcessError) -> String {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw ProcessError("open \(path)") }
    defer { close(descriptor) }
    var all: [UInt8] = []
    while true {
      let piece = unsafe [UInt8](unsafeUninitializedCapacity: 8192) { buffer, count in
        count = unsafe max(0, read(descriptor, buffer.baseAddress, buffer.count))
      }
      if piece.isEmpty { return String(decoding: all, as: UTF8.self) }
      all += piece
    }
  }

  static func names(in folder: String) throws(ProcessError) -> [String] {
    guard let directory = unsafe opendir(folder) else { throw ProcessError("list \(folder)") }
    defer { unsafe closedir(directory) }
    var result: [String] = []
    while let entry = unsafe readdir(directory) {
      let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
        unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name != "." && name != ".." { result.append(name) }
    }
    return result
  }
}
