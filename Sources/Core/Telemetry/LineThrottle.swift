package import Time

/// Lets one of several log lines that say the same through in a window, and counts the others.
///
/// What is known of a key goes when its window is over and nothing was left out in it.
package struct LineThrottle<Key: Hashable> {
  private struct Entry {
    var writtenAt: MonotonicTime
    var suppressed = 0
  }

  private let window: Nanoseconds
  private var entries: [Key: Entry] = [:]

  /// - Parameter window: between two lines of a key.
  package init(window: Nanoseconds) {
    self.window = window
  }

  package var isEmpty: Bool { entries.isEmpty }

  /// Whether a line may be written now. One that may not is counted.
  package mutating func admits(_ key: Key, at now: MonotonicTime) -> Bool {
    guard let entry = entries[key], now - entry.writtenAt < window else {
      // What an older window has left is told by `takeDue`.
      entries[key] = Entry(writtenAt: now, suppressed: entries[key]?.suppressed ?? 0)
      return true
    }
    entries[key]?.suppressed += 1
    return false
  }

  /// How many lines of `key` were left out since the last that was written; 0 from here on.
  package mutating func takeSuppressed(_ key: Key) -> Int {
    defer { entries[key]?.suppressed = 0 }
    return entries[key]?.suppressed ?? 0
  }

  /// The keys whose window is over though lines were left out in it, with their number: to be told now, which begins
  /// another window.
  ///
  /// - Parameter isLast: nothing comes any more, so all are told.
  package mutating func takeDue(at now: MonotonicTime, isLast: Bool = false) -> [(key: Key, suppressed: Int)] {
    var due: [(key: Key, suppressed: Int)] = []
    for (key, entry) in entries where isLast || now - entry.writtenAt >= window {
      if entry.suppressed > 0 {
        due.append((key, entry.suppressed))
        entries[key] = Entry(writtenAt: now)
      } else {
        entries[key] = nil
      }
    }
    return due
  }
}
