internal import Glibc
package import Time

/// The service manager that started this process and wants to hear from it (sd_notify(3)): datagrams to the socket that
/// `NOTIFY_SOCKET` names. May be used from any thread; never blocks, and what can't be sent is lost.
package struct ServiceManager: Sendable {
  private let path: [UInt8]
  /// How often it must hear `WATCHDOG=1`; `nil` when it does not watch.
  package let watchdog: Nanoseconds?

  /// - Parameter environment: the process's variables.
  /// - Returns: `nil` when no service manager wants to be told.
  package init?(environment: [String: String]) {
    guard let name = environment["NOTIFY_SOCKET"], name.hasPrefix("/") || name.hasPrefix("@"),
      (2...Self.longestPath).contains(name.utf8.count)
    else { return nil }
    // A name in the abstract space begins with a zero byte, for which "@" stands.
    path = name.hasPrefix("@") ? [0] + name.utf8.dropFirst() : Array(name.utf8)
    let isOurs = environment["WATCHDOG_PID"].map { Int32($0) == getpid() } ?? true
    let interval = environment["WATCHDOG_USEC"].flatMap { Int64($0) } ?? 0
    watchdog = isOurs && (1...Int64.max / 1000).contains(interval) ? Nanoseconds(interval * 1000) : nil
  }

  /// The longest name that `sun_path` holds.
  private static let longestPath = 107

  /// Sends assignments such as `READY=1`, one a line.
  package func tell(_ assignments: String...) {
    let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { return }
    defer { close(descriptor) }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: path) }
    let length = socklen_t(MemoryLayout<sa_family_t>.size + path.count)
    let message = Array(assignments.joined(separator: "\n").utf8)
    _ = unsafe withUnsafeBytes(of: &address) { address in
      unsafe sendto(
        descriptor, message, message.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL),
        address.assumingMemoryBound(to: sockaddr.self).baseAddress, length)
    }
  }
}
