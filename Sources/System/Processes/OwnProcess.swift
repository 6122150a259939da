internal import CMalloc
internal import Glibc
package import Time

/// What this process uses, cheap enough to be asked at every scrape.
package enum OwnProcess {
  /// Time on a processor since the start, of all threads.
  package static var cpu: Nanoseconds {
    var time = timespec()
    unsafe clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Nanoseconds(Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
  }

  /// Memory in use, in bytes; some pages behind. `nil` where `/proc` can't be read.
  package static var residentBytes: Int? {
    guard let words = try? SmallFile.contents("/proc/self/statm").split(separator: " "), words.count > 1 else {
      return nil
    }
    return Int(words[1]).map { $0 * sysconf(Int32(_SC_PAGESIZE)) }
  }

  /// Gives memory that is free back to the system: whole pages of it. The allocator keeps it otherwise. Takes some
  /// twenty milliseconds per hundred megabytes; other threads that allocate wait for part of that.
  package static func returnFreeMemory() { _ = malloc_trim(0) }

  /// Open descriptors; `nil` where `/proc` can't be read.
  package static var descriptors: Int? {
    // The one that the list is read with is in it.
    (try? SmallFile.names(in: "/proc/self/fd")).map { $0.count - 1 }
  }

  /// Whether what is written to standard error goes to systemd's journal.
  ///
  /// - Parameter environment: the process's variables; `JOURNAL_STREAM` has the device and the inode of the journal's
  ///   socket, which is another after a redirection.
  package static func writesToJournal(_ environment: [String: String]) -> Bool {
    let numbers = (environment["JOURNAL_STREAM"] ?? "").split(separator: ":").map { UInt64($0) }
    var status = stat()
    guard numbers.count == 2, unsafe fstat(STDERR_FILENO, &status) == 0 else { return false }
    return numbers[0] == UInt64(status.st_dev) && numbers[1] == UInt64(status.st_ino)
  }
}
