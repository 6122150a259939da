package import Bytes

/// The ordered blocks of one run, kept for readers that come later, come again or are slow.
///
/// Written by the run's owner, read by its readers, all on the run's loop. Blocks are kept as the backend sent them,
/// whatever the modes of the readers are; the end record is the last entry, so that no reader can wait for an end that
/// was told beside the log.
package protocol EventLog: AnyObject {
  /// The number of the oldest event kept; `nil` when none is.
  var oldest: UInt64? { get }
  /// The number of the last event appended, 0 before the first.
  var last: UInt64 { get }
  /// Where the oldest entry kept stands.
  var start: LogPosition { get }
  /// Readers may see what stands before it: in memory all that was appended, in Redis what it acknowledged.
  var frontier: LogPosition { get }
  /// Bytes of memory held.
  var bytes: Int { get }
  /// How the run ended; `nil` until readers may know. A reader at `frontier` has everything then.
  var end: EndRecord? { get }
  /// Whether `end` is known.
  var hasEnd: Bool { get }
  /// Who is told when `frontier` or `end` change by themselves. A log in memory has nothing to tell.
  var observer: (any EventLogObserver)? { get set }

  /// What keeps its entries in this process. Whoever appends to it says so by `grew`, once for all that came together.
  var memory: MemoryLog { get }
  /// Entries were appended to `memory`.
  func grew()

  /// Appends the end record.
  ///
  /// - Returns: false when there is one already: the first stays.
  @discardableResult
  func finish(_ end: EndRecord) -> Bool

  /// Gives up the memory that it holds, for good: nobody is to read it any more.
  func retire()

  /// Lends the entries from `position` up to the frontier to `body`, which answers whether it wants the next one too.
  ///
  /// - Returns: the position behind the last entry lent; `nil` when what stood at `position` was evicted, so that going on
  ///   would leave a gap.
  func read(from position: LogPosition, _ body: (Span<UInt8>, EntryMetadata) -> Bool) -> LogPosition?

  /// As `read(from:_:)`, to a reader, until it has got `room` bytes or more. The quick way: events that it gets as they are
  /// kept go together. Many of them are not copied, but lent to `send`, which first sends what is in the buffer.
  func deliver(
    from position: LogPosition, to delivery: inout LogDelivery, room: Int, into out: inout ByteBuffer,
    _ send: (inout ByteBuffer, Span<UInt8>) -> Void
  ) -> LogPosition?

  /// Where a reader goes on that has all up to the event `number`; 0 asks for the run's beginning.
  func position(after number: UInt64) -> LogLookup

  /// Where a reader goes on whose last event had this `id` of the backend's own; `nil` when no event that is kept has it.
  /// What a look-up costs hardly grows with the run: it passes over most segments.
  func position(afterBackendID id: Span<UInt8>) -> LogPosition?
}

/// Hears what a log's store does by itself. Called on the run's loop, never from inside a call of the log.
package protocol EventLogObserver: AnyObject {
  /// More may be read, or the end be known.
  func frontierMoved()
  /// The store is away for longer than it may be. The owner decides whether the run goes on without it.
  func storeLost()
  /// It has come back, and holds all entries.
  func storeRecovered()
  /// Somebody else has ended the run in the store: this owner's later entries count no more. `end` has the record.
  func ownershipLost()
}

extension EventLog {
  /// Keeps one block; see `MemoryLog.append`.
  package func append(_ block: Span<UInt8>, _ metadata: EntryMetadata) -> AppendResult {
    defer { grew() }
    return memory.append(block, metadata, hasID: nil)
  }
}
