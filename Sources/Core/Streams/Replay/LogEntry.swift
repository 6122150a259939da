/// A place between two entries of a log. Opaque; only compared with places in the same log.
package struct LogPosition: Comparable, Hashable, Sendable {
  /// The bytes of all entries before it, as they are kept.
  private(set) var offset: UInt64
  /// The bytes of their blocks alone.
  private(set) var blockOffset: UInt64
  /// The entries before it.
  private(set) var entry: UInt64

  /// The run's beginning.
  package static let beginning = LogPosition(offset: 0, blockOffset: 0, entry: 0)

  package static func < (left: Self, right: Self) -> Bool { left.entry < right.entry }
  package static func == (left: Self, right: Self) -> Bool { left.entry == right.entry }
  package func hash(into hasher: inout Hasher) { hasher.combine(entry) }

  /// How many entries stand between an earlier place of the log and this one.
  package func entries(since earlier: Self) -> Int { Int(entry - earlier.entry) }
  /// The bytes of those entries as they are kept.
  package func bytes(since earlier: Self) -> Int { Int(truncatingIfNeeded: offset &- earlier.offset) }
  /// The bytes of their blocks.
  package func blockBytes(since earlier: Self) -> Int { Int(blockOffset - earlier.blockOffset) }

  /// Moves on by an entry of `length` bytes, of which its block has `blockLength`.
  @inline(__always)
  mutating func advance(over length: Int, _ blockLength: Int) {
    offset &+= UInt64(truncatingIfNeeded: length)
    blockOffset &+= UInt64(truncatingIfNeeded: blockLength)
    entry &+= 1
  }
}

/// What an entry is, beside its bytes.
package struct EntryMetadata: Equatable, Sendable {
  /// The event's number, from 1; of an entry that is no event, the number of the last event before it.
  package var number: UInt64
  package var kind: EntryKind
  /// What the event means for the end of its stream.
  package var mark: EventMark

  package init(number: UInt64, kind: EntryKind = .event, mark: EventMark = []) {
    self.number = number
    self.kind = kind
    self.mark = mark
  }
}

package enum EntryKind: UInt8, CaseIterable, Sendable {
  /// A block with data, which has a number of its own.
  case event = 0
  /// A whole block without data: comments, or an id or reconnection time alone.
  case other = 1
  /// The last event of a backend that ended cleanly without the blank line. It has a number of its own.
  case unterminated = 2
  /// What a backend that was cut had sent of its last event.
  case partial = 3
  /// What stands between blocks and belongs to none: a byte order mark, blank lines. Only a reader whose client gets the
  /// backend's bytes as they are needs it.
  case filler = 4

  /// Whether a client that gets it whole dispatches an event.
  @inline(__always) package var isEvent: Bool { self == .event || self == .unterminated }
}

package enum AppendResult: Equatable, Sendable {
  case kept
  /// Not kept, because a limit is reached; nor is anything after it.
  case full(LogLimit)
  /// Not kept, because the run has ended.
  case ended
}

/// The limit at which a log stops taking entries.
package enum LogLimit: String, Sendable {
  case run = "the run is larger than a run may be"
  case process = "the memory for all runs together is used up"

  package var outcome: Outcome { .runTooLarge }
  /// For `stream_end` and the log line.
  package var reason: String { rawValue }
}

/// Where to go on after an event.
package enum LogLookup: Equatable, Sendable {
  case found(LogPosition)
  /// Events behind the one asked for are gone; the oldest kept, if any is.
  case evicted(oldest: UInt64?)
  /// No event of that number was appended yet.
  case ahead(last: UInt64)
}

/// The last entry of a log: how its run ended.
package struct EndRecord: Equatable, Sendable {
  package var outcome: Outcome
  package var reason: String
  /// The run's events, whoever got them.
  package var events: UInt64
  /// The bytes of those events as the backend sent them.
  package var bytes: UInt64
  /// Whether the backend's body ended by its own framing. A reader whose mode has no `stream_end` needs it to end its
  /// own body truthfully.
  package var upstreamIsComplete: Bool

  package init(outcome: Outcome, reason: String, events: UInt64, bytes: UInt64, upstreamIsComplete: Bool) {
    self.outcome = outcome
    self.reason = reason
    self.events = events
    self.bytes = bytes
    self.upstreamIsComplete = upstreamIsComplete
  }
}

/// The memory that all logs of a process may hold together. Asked for each segment, not for each event.
package protocol ByteBudget: AnyObject, Sendable {
  /// Takes `count` bytes, or none.
  func take(_ count: Int) -> Bool
  /// Takes `count` bytes, or none, for one who goes on with no more than it had: what is fair to others is not asked.
  func takeBeyondShare(_ count: Int) -> Bool
  /// Takes `count` bytes beyond all that there is, or none, for one who gives as much back within moments.
  func borrow(_ count: Int) -> Bool
  func giveBack(_ count: Int)
}

extension ByteBudget {
  package func takeBeyondShare(_ count: Int) -> Bool { take(count) }
  package func borrow(_ count: Int) -> Bool { false }
}
