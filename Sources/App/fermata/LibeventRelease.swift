import Files
import Loop

/// Which libevent the program runs on, as far as it can be told: the library knows its upstream version, Debian's
/// package database the security upload.
struct LibeventRelease {
  /// The least that is known to have the fixes of 2026 (evdns among them).
  static let minimum = "2.1.12-stable-8+deb12u1"

  let version: String
  /// Debian's version of the package, if it is one.
  let package: String?

  static var installed: LibeventRelease {
    let status = try? readFile("/var/lib/dpkg/status", limit: 64 << 20).bytes
    let package = status.flatMap { packageVersion(in: $0) }
    return LibeventRelease(version: EventLoop.libeventVersion, package: package)
  }

  var description: String { package ?? version }

  /// What is wrong with it, or `nil`.
  var warning: String? {
    let numbers = version.split(separator: "-")[0].split(separator: ".").compactMap { Int($0) }
    if numbers.lexicographicallyPrecedes([2, 1, 12]) {
      return "libevent \(description) lacks security fixes; the minimum is \(Self.minimum) or 2.1.13"
    }
    guard numbers == [2, 1, 12] else { return nil }
    guard let package else {
      return "it can't be told whether libevent \(version) has the security fixes of 2.1.13"
    }
    return Self.isPatched(package)
      ? nil : "libevent \(package) lacks security fixes; upgrade to \(Self.minimum) or later"
  }

  /// Whether a Debian version of 2.1.12 is at least the minimum: revision 8 with its first update, or a later one.
  static func isPatched(_ package: String) -> Bool {
    guard let revision = package.split(separator: "-").last else { return false }
    let parts = revision.split(separator: "+", maxSplits: 1)
    guard let number = parts.first.flatMap({ Int($0.prefix { $0.isNumber }) }) else { return false }
    return number > 8 || (number == 8 && parts.count == 2 && parts[1].hasPrefix("deb12u"))
  }

  /// By bytes: to read the hundreds of kilobytes as text took 300 million instructions of the start.
  private static func packageVersion(in status: [UInt8]) -> String? {
    var isOurs = false
    for line in status.split(separator: UInt8(ascii: "\n")) {
      if line.starts(with: "Package: ".utf8) { isOurs = line.elementsEqual("Package: libevent-core-2.1-7".utf8) }
      if isOurs, line.starts(with: "Version: ".utf8) { return String(decoding: line.dropFirst(9), as: UTF8.self) }
    }
    return nil
  }
}
