internal import Glibc

/// The process that listens on a port, as far as this one may see it.
package struct PortHolder: Sendable, CustomStringConvertible {
  package let pid: Int
  package let name: String

  package var description: String { "pid \(pid) (\(name))" }

  /// - Returns: `nil` when nobody listens there, or a process of another user.
  package static func find(port: UInt16) -> PortHolder? {
    let tables = ["/proc/self/net/tcp", "/proc/self/net/tcp6"].compactMap { try? SmallFile.contents($0) }
    let inodes = Set(tables.flatMap { listeningInodes(in: $0, port: port) })
    guard !inodes.isEmpty, let entries = try? SmallFile.names(in: "/proc") else { return nil }
    for pid in entries.compactMap({ Int($0) }).sorted() where holds(pid, anyOf: inodes) {
      let name = (try? SmallFile.contents("/proc/\(pid)/comm"))?.split(separator: "\n").first
      return PortHolder(pid: pid, name: name.map(String.init) ?? "?")
    }
    return nil
  }

  /// The sockets in state LISTEN (0A) at `port` (proc(5): local_address is the second field, the inode the tenth).
  static func listeningInodes(in table: String, port: UInt16) -> [String] {
    table.split(separator: "\n").dropFirst().compactMap { line in
      let fields = line.split(separator: " ")
      guard fields.count > 9, fields[3] == "0A", let digits = fields[1].split(separator: ":").last,
        UInt16(digits, radix: 16) == port
      else { return nil }
      return String(fields[9])
    }
  }

  private static func holds(_ pid: Int, anyOf inodes: Set<String>) -> Bool {
    let folder = "/proc/\(pid)/fd"
    guard let names = try? SmallFile.names(in: folder) else { return false }
    return names.contains { name in
      guard let target = SmallFile.target(of: "\(folder)/\(name)"), target.hasPrefix("socket:[") else { return false }
      return inodes.contains(String(target.dropFirst(8).dropLast()))
    }
  }
}

extension SmallFile {
  /// Where a symbolic link leads.
  static func target(of path: String) -> String? {
    let target = unsafe [UInt8](unsafeUninitializedCapacity: 4096) { buffer, count in
      guard let start = buffer.baseAddress else { return }
      count = unsafe start.withMemoryRebound(to: CChar.self, capacity: buffer.count) {
        unsafe max(0, readlink(path, $0, buffer.count))
      }
    }
    return target.isEmpty ? nil : String(decoding: target, as: UTF8.self)
  }
}
