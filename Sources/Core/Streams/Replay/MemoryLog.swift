/// A log in this process's memory: a queue of segments, of which the oldest are dropped when a window is exceeded.
///
/// Entries are written once and lent to every reader where they are. The first segments are small, so that a short run
/// costs little.
package final class MemoryLog: EventLog {
  package struct Limits: Equatable, Sendable {
    /// The bytes of all blocks of a run; the block that would exceed it is not kept, nor is any after it.
    package var run: Int
    /// Bytes of memory for a run; older segments are dropped beyond it. At least one segment stays.
    package var window: Int

    package init(run: Int = 10_000_000, window: Int = .max) {
      self.run = run
      self.window = window
    }
  }

  private let limits: Limits
  private let budget: (any ByteBudget)?
  /// In order and without gaps between them.
  private var segments: [Segment] = []
  private var tail = LogPosition.beginning
  private var blockBytes = 0
  private var breach: LogLimit?

  package private(set) var last: UInt64 = 0
  package private(set) var bytes = 0
  package private(set) var end: EndRecord?
  package weak var observer: (any EventLogObserver)?
  /// Nothing at or behind it is evicted; `nil` when nobody minds. For entries that have yet to be stored elsewhere.
  package var pin: LogPosition?

  /// - Parameter budget: asked for each segment; gets everything back at the latest when the log goes.
  package init(limits: Limits = Limits(), budget: (any ByteBudget)? = nil) {
    self.limits = limits
    self.budget = budget
  }

  deinit {
    budget?.giveBack(bytes)
  }

  package var start: LogPosition { LogPosition(offset: segments.first?.start ?? tail.offset) }
  package var frontier: LogPosition { tail }

  package var oldest: UInt64? {
    for segment in segments {
      if let number = segment.firstEvent { return number }
    }
    return nil
  }

  // MARK: - Writing

  package func append(_ block: Span<UInt8>, _ head: EntryHead) -> AppendResult {
    if end != nil { return .ended }
    if let breach { return .full(breach) }
    guard block.count <= limits.run - blockBytes else { return refuse(.run) }
    if let segment = segments.last, segment.takes(block.count, number: head.number) {
      segment.append(block, head)
    } else {
      // A log need not begin with the run's first event; what is missing counts as evicted.
      let preceding = head.kind.isEvent && head.number > 0 ? head.number - 1 : head.number
      guard let segment = open(for: block.count, following: preceding) else { return refuse(.process) }
      segment.append(block, head)
    }
    blockBytes += block.count
    tail = LogPosition(offset: tail.offset + UInt64(Segment.headSize + block.count))
    if head.kind.isEvent { last = head.number }
    return .kept
  }

  @discardableResult
  package func finish(_ end: EndRecord) -> Bool {
    guard self.end == nil else { return false }
    self.end = end
    if let segment = segments.last { giveBack(segment.trim()) }
    return true
  }

  private func refuse(_ limit: LogLimit) -> AppendResult {
    breach = limit
    return .full(limit)
  }

  /// Opens a segment that takes a block of `count` bytes.
  private func open(for count: Int, following number: UInt64) -> Segment? {
    let usual = Self.segmentSizes[min(segments.count, Self.segmentSizes.count - 1)]
    let size = max(usual, Segment.headSize + count)
    evict(toFit: size)
    if let budget, !budget.take(size) { return nil }
    bytes += size
    let segment = Segment(size: size, start: tail.offset, following: number)
    segments.append(segment)
    return segment
  }

  private static let segmentSizes = [1 << 10, 4 << 10, 16 << 10, 64 << 10]

  private func evict(toFit size: Int) {
    var dropped = 0
    var held = bytes
    while dropped < segments.count, held > limits.window - size {
      let segment = segments[dropped]
      if let pin, segment.end > pin.offset { break }
      held -= segment.allocated
      dropped += 1
    }
    guard dropped > 0 else { return }
    segments.removeFirst(dropped)
    giveBack(bytes - held)
  }

  private func giveBack(_ count: Int) {
    bytes -= count
    budget?.giveBack(count)
  }

  // MARK: - Reading

  package func read(from position: LogPosition, _ body: (Span<UInt8>, EntryHead) -> Bool) -> LogPosition? {
    read(from: position, upTo: tail, body)
  }

  /// As `read(from:_:)`, with an earlier frontier. `body` must not write to the log.
  package func read(
    from position: LogPosition, upTo frontier: LogPosition, _ body: (Span<UInt8>, EntryHead) -> Bool
  ) -> LogPosition? {
    guard position >= start else { return nil }
    var offset = position.offset
    let limit = min(frontier.offset, tail.offset)
    guard offset < limit else { return position }
    var index = segment(at: offset)
    while offset < limit {
      guard segments[index].read(&offset, upTo: limit, body) else { break }
      index += 1
    }
    return LogPosition(offset: offset)
  }

  package func position(after number: UInt64) -> LogLookup {
    if number > last { return .ahead(last: last) }
    guard let first = segments.first else { return lookup(afterLastOf: number) }
    if number <= first.precedingNumber {
      let isGapless = number == first.precedingNumber
      return isGapless ? .found(start) : .evicted(oldest: oldest)
    }
    // The event is in the last segment that was opened before it came.
    let index = partition { $0.precedingNumber < number } - 1
    return .found(LogPosition(offset: segments[index].offset(after: number)))
  }

  private func lookup(afterLastOf number: UInt64) -> LogLookup {
    number == last ? .found(tail) : .evicted(oldest: nil)
  }

  package func position(afterBackendID id: Span<UInt8>) -> LogPosition? {
    for segment in segments {
      if let offset = segment.offset(afterBackendID: id) { return LogPosition(offset: offset) }
    }
    return nil
  }

  /// The index of the segment that holds the byte at `offset`. Most readers are near the end.
  private func segment(at offset: UInt64) -> Int {
    if let latest = segments.last, latest.start <= offset { return segments.count - 1 }
    return partition { $0.start <= offset } - 1
  }

  /// How many segments at the queue's front satisfy `belongs`, which no other does.
  private func partition(_ belongs: (Segment) -> Bool) -> Int {
    var (low, high) = (0, segments.count)
    while low < high {
      let middle = (low + high) / 2
      if belongs(segments[middle]) { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
