import Glibc
import Loop
import Testing
import Time

/// A directory for one test, deleted with it.
final class TemporaryDirectory {
  let path: String

  init() throws {
    var template = Array("/tmp/fermata-files-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw SystemError.last }
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit {
    _ = Shell.run("/bin/rm", ["-rf", path])
  }

  subscript(_ name: String) -> String { "\(path)/\(name)" }

  func write(_ name: String, _ text: String) {
    let file = open(self[name], O_WRONLY | O_CREAT | O_TRUNC, 0o644)
    _ = Array(text.utf8).withUnsafeBytes { Glibc.write(file, $0.baseAddress, $0.count) }
    close(file)
  }

  var names: [String] {
    guard let stream = opendir(path) else { return [] }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) {
        String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted()
  }
}

enum Shell {
  /// Starts a program and returns its process id.
  static func start(_ program: String, _ arguments: [String]) -> pid_t {
    var process = pid_t()
    var vector: [UnsafeMutablePointer<CChar>?] = ([program] + arguments).map { strdup($0) }
    vector.append(nil)
    let code = posix_spawn(&process, program, nil, nil, vector, environ)
    for text in vector { free(text) }
    return code == 0 ? process : -1
  }

  static func wait(_ process: pid_t) -> Int32 {
    var status: Int32 = 0
    waitpid(process, &status, 0)
    return status
  }

  static func run(_ program: String, _ arguments: [String]) -> Int32 {
    wait(start(program, arguments))
  }
}

extension [UInt8] {
  init(_ text: String) { self = Array(text.utf8) }
  var text: String { String(decoding: self, as: UTF8.self) }
}
