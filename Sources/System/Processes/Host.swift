import Glibc

/// What the machine and the process's surroundings are.
package enum Host {
  /// Processors that this process may run on.
  package static var processors: Int {
    max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))
  }

  /// The process's variables.
  package static var environment: [String: String] {
    var variables: [String: String] = [:]
    var next = unsafe environ
    while let entry = unsafe next.pointee {
      let pair = unsafe String(cString: entry).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      if pair.count == 2 { variables[String(pair[0])] = String(pair[1]) }
      unsafe next += 1
    }
    return variables
  }

  /// Raises the soft limit of open descriptors to the hard one.
  ///
  /// - Returns: how many the process may open.
  package static func raiseDescriptorLimit() -> Int {
    var limit = rlimit()
    guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 1024 }
    limit.rlim_cur = limit.rlim_max
    _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    _ = unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    return Int(clamping: limit.rlim_cur)
  }

  /// How many descriptors the process may open now.
  package static var descriptorLimit: Int {
    var limit = rlimit()
    guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 1024 }
    return Int(clamping: limit.rlim_cur)
  }

  /// `count` words that nobody can guess, in one call: thousands of streams a second need some each.
  package static func randomWords(_ count: Int) -> [UInt64] {
    var words = [UInt64](repeating: 0, count: count)
    unsafe words.withUnsafeMutableBytes { unsafe arc4random_buf($0.baseAddress.unsafelyUnwrapped, $0.count) }
    return words
  }
}
