internal import Glibc
package import Time

/// What a process has used so far, as the kernel tells in `/proc`.
package struct ProcessUsage: Sendable {
  /// Time on a processor, user and system, of all its living threads.
  package var cpu: Nanoseconds
  package var residentBytes: Int
  package var descriptors: Int
  package var threads: Int
}

package enum ProcessMeter {
  /// - Parameter pid: the process; this one by default.
  package static func read(_ pid: Int32 = getpid()) throws(ProcessError) -> ProcessUsage {
    let folder = "/proc/\(pid)"
    let threads = try SmallFile.names(in: folder + "/task")
    var cpu: Int64 = 0
    for thread in threads {
      cpu += try onProcessor(folder + "/task/" + thread)
    }
    return ProcessUsage(
      cpu: Nanoseconds(cpu), residentBytes: try residentBytes(folder),
      descriptors: try SmallFile.names(in: folder + "/fd").count, threads: threads.count)
  }

  /// The scheduler's own count in nanoseconds; `stat` has the same in ticks of 10 ms.
  private static func onProcessor(_ folder: String) throws(ProcessError) -> Int64 {
    if let text = try? SmallFile.contents(folder + "/schedstat"), let first = text.split(separator: " ").first,
      let nanoseconds = Int64(first), nanoseconds > 0
    {
      return nanoseconds
    }
    let text = try SmallFile.contents(folder + "/stat")
    // The second field is the name in parentheses and may hold anything, parentheses too.
    let fields = text[(text.lastIndex(of: ")") ?? text.startIndex)...].split(separator: " ")
    guard fields.count > 13, let user = Int64(fields[12]), let system = Int64(fields[13]) else { return 0 }
    return (user + system) * (1_000_000_000 / Int64(sysconf(Int32(_SC_CLK_TCK))))
  }

  /// `smaps_rollup` counts pages; `statm` lags behind by some pages for each thread.
  private static func residentBytes(_ folder: String) throws(ProcessError) -> Int {
    if let text = try? SmallFile.contents(folder + "/smaps_rollup") {
      for line in text.split(separator: "\n") where line.hasPrefix("Rss:") {
        let words = line.split(separator: " ")
        if words.count > 1, let kibibytes = Int(words[1]) { return kibibytes * 1024 }
      }
    }
    let words = try SmallFile.contents(folder + "/statm").split(separator: " ")
    return (words.count > 1 ? Int(words[1]) ?? 0 : 0) * sysconf(Int32(_SC_PAGESIZE))
  }
}
