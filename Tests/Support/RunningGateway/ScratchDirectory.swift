import Glibc

/// A directory for one test, deleted with its last reference.
package final class ScratchDirectory: Sendable {
  package let path: String

  package init() throws {
    var template = Array("/tmp/fermata-test-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw SupportError("no scratch directory: errno \(errno)") }
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit { Self.remove(path) }

  package subscript(_ name: String) -> String { "\(path)/\(name)" }

  /// The file's contents, or `nil` when it can't be read.
  package func text(_ name: String) -> String? { Self.bytes(self[name]).map { String(decoding: $0, as: UTF8.self) } }

  /// Writes into the file as it is, in one call: readers may see it half written, as with careless editors.
  package func write(_ name: String, _ text: String) {
    let file = open(self[name], O_WRONLY | O_CREAT | O_TRUNC, 0o644)
    _ = Array(text.utf8).withUnsafeBytes { Glibc.write(file, $0.baseAddress, $0.count) }
    close(file)
  }

  /// Puts a new file in the place of the old one, as careful editors do.
  package func replace(_ name: String, _ text: String) {
    write("." + name + ".new", text)
    rename(self["." + name + ".new"], self[name])
  }

  package func delete(_ name: String) { unlink(self[name]) }
  package func makeDirectory(_ name: String) { mkdir(self[name], 0o755) }

  /// Makes or replaces the symbolic link `name`.
  package func link(_ name: String, to target: String) {
    unlink(self[name + ".new"])
    symlink(target, self[name + ".new"])
    rename(self[name + ".new"], self[name])
  }

  /// The contents of a file anywhere, or `nil` when it can't be read.
  package static func bytes(_ path: String) -> [UInt8]? {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { close(file) }
    var all: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = read(file, &piece, piece.count)
      if count <= 0 { return all }
      all += piece[..<count]
    }
  }

  /// What is in it.
  package var names: [String] { Self.names(in: path) }

  private static func names(in path: String) -> [String] {
    guard let directory = opendir(path) else { return [] }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      if name != ".", name != ".." { names.append(name) }
    }
    return names
  }

  private static func remove(_ path: String) {
    for name in names(in: path) where unlink("\(path)/\(name)") != 0 { remove("\(path)/\(name)") }
    rmdir(path)
  }
}

/// Where a link of `/proc` or of a file system leads.
enum FilePath {
  static func resolved(_ path: String) throws -> String {
    var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
    guard realpath(path, &buffer) != nil else { throw SupportError("\(path) leads nowhere") }
    return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  static func directory(of path: String) -> String {
    path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
  }
}
