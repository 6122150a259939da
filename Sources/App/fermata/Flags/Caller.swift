import Glibc
import Loop
import Processes
import Time

/// Who runs the program, when, and on what terminal.
enum Caller {
  static var now: WallTime {
    var time = timespec()
    unsafe clock_gettime(CLOCK_REALTIME, &time)
    return WallTime(milliseconds: Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000)
  }

  static var uid: Int { Int(getuid()) }
  static var pid: Int { Int(getpid()) }

  static var host: String {
    var name = [CChar](repeating: 0, count: 256)
    guard unsafe gethostname(&name, name.count - 1) == 0 else { return "" }
    return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  static var name: String { "\(Host.environment["USER"] ?? String(uid))@\(host)" }

  static var isAtTerminal: Bool { isatty(STDIN_FILENO) == 1 }

  static func standardInput() -> [UInt8] {
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = unsafe read(STDIN_FILENO, &buffer, buffer.count)
      if count > 0 { bytes += buffer[..<count] } else if count == 0 || errno != EINTR { return bytes }
    }
  }

  /// Whether the person at the terminal says yes.
  static func confirms(_ question: String) -> Bool {
    Terminal.error("\(question) [y/N]")
    return readLine()?.lowercased().hasPrefix("y") ?? false
  }

  /// What the person at the terminal answers; empty for nothing.
  static func asks(_ question: String) -> String {
    Terminal.error(question)
    return readLine().map { String($0.prefix(500)) } ?? ""
  }

  /// The target of a symbolic link; `nil` for anything else.
  static func linkTarget(of path: String) -> String? {
    var target = [CChar](repeating: 0, count: 4096)
    let count = unsafe readlink(path, &target, target.count)
    guard count > 0 else { return nil }
    return String(decoding: target.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// The names in a directory, sorted; empty when it cannot be read.
  static func names(in directory: String) -> [String] {
    guard let handle = unsafe opendir(directory) else { return [] }
    defer { unsafe closedir(handle) }
    var names: [String] = []
    while let entry = unsafe readdir(handle) {
      let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
        unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      names.append(name)
    }
    return names.sorted()
  }

  static func remove(_ path: String) { unsafe unlink(path) }
}
