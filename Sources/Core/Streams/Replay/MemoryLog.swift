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
  private var sealed: [SealedSegment] = []
  /// Behind them; empty when nothing is kept. Part of the log itself, so that an event is added to it without a detour.
  private var open = Segment(size: 0, start: 0, following: 0)
  /// Bytes that blocks may still have.
  private var room: Int
  private var breach: LogLimit?
  /// Neither ended nor in breach.
  private var takesMore = true

  package private(set) var last: UInt64 = 0
  package private(set) var bytes = 0
  package private(set) var end: EndRecord?
  package private(set) var hasEnd = false
  package var observer: (any EventLogObserver)?
  /// Nothing at or behind it is evicted; `nil` when nobody minds. For entries that have yet to be stored elsewhere.
  package var pin: LogPosition?

  /// - Parameter budget: asked for each segment; gets everything back at the latest when the log goes.
  package init(limits: Limits = Limits(), budget: (any ByteBudget)? = nil) {
    self.limits = limits
    self.budget = budget
    room = limits.run
  }

  deinit {
    budget?.giveBack(bytes)
  }

  package var start: LogPosition { LogPosition(offset: sealed.first?.segment.start ?? open.start) }
  package var frontier: LogPosition { LogPosition(offset: open.end) }

  package var oldest: UInt64? {
    for piece in sealed {
      if let number = piece.segment.firstEvent { return number }
    }
    return open.firstEvent
  }

  // MARK: - Writing

  package func append(_ block: Span<UInt8>, _ head: EntryHead) -> AppendResult {
    guard takesMore, block.count <= room else { return refuse() }
    if !open.takes(block.count, number: head.number), !openSegment(for: block.count, head) { return refuse(.process) }
    open.append(block, head)
    room -= block.count
    if head.kind.isEvent { last = head.number }
    return .kept
  }

  @discardableResult
  package func finish(_ end: EndRecord) -> Bool {
    guard self.end == nil else { return false }
    self.end = end
    hasEnd = true
    takesMore = false
    giveBack(open.trim())
    return true
  }

  private func refuse() -> AppendResult { end == nil ? refuse(breach ?? .run) : .ended }

  private func refuse(_ limit: LogLimit) -> AppendResult {
    breach = limit
    takesMore = false
    return .full(limit)
  }

  /// Opens a segment that takes a block of `count` bytes.
  private func openSegment(for count: Int, _ head: EntryHead) -> Bool {
    let held = sealed.count + (open.allocated > 0 ? 1 : 0)
    let usual = Self.segmentSizes[min(held, Self.segmentSizes.count - 1)]
    let size = max(usual, Segment.headSize + count)
    // A log need not begin with the run's first event; what is missing counts as evicted.
    let preceding = head.kind.isEvent && head.number > 0 ? head.number - 1 : head.number
    let start = open.end
    var full = Segment(size: 0, start: start, following: preceding)
    swap(&full, &open)
    if full.allocated > 0 { sealed.append(SealedSegment(full)) }
    evict(toFit: size)
    if let budget, !budget.take(size) { return false }
    bytes += size
    open = Segment(size: size, start: start, following: preceding)
    return true
  }

  private static let segmentSizes = [1 << 10, 4 << 10, 16 << 10, 64 << 10]

  private func evict(toFit size: Int) {
    var dropped = 0
    var held = bytes
    while dropped < sealed.count, held > limits.window - size {
      if let pin, sealed[dropped].segment.end > pin.offset { break }
      held -= sealed[dropped].segment.allocated
      dropped += 1
    }
    guard dropped > 0 else { return }
    sealed.removeFirst(dropped)
    giveBack(bytes - held)
  }

  private func giveBack(_ count: Int) {
    guard count > 0 else { return }
    bytes -= count
    budget?.giveBack(count)
  }

  // MARK: - Reading

  package func read(from position: LogPosition, _ body: (Span<UInt8>, EntryHead) -> Bool) -> LogPosition? {
    read(from: position, upTo: frontier, body)
  }

  /// As `read(from:_:)`, with an earlier frontier. `body` must not write to the log.
  package func read(
    from position: LogPosition, upTo frontier: LogPosition, _ body: (Span<UInt8>, EntryHead) -> Bool
  ) -> LogPosition? {
    guard position >= start else { return nil }
    var offset = position.offset
    let limit = min(frontier.offset, open.end)
    if offset < limit, offset < open.start {
      var index = partition { $0.start <= offset } - 1
      while offset < limit, index < sealed.count {
        guard sealed[index].segment.read(&offset, upTo: limit, body) else { return LogPosition(offset: offset) }
        index += 1
      }
    }
    if offset < limit { _ = open.read(&offset, upTo: limit, body) }
    return LogPosition(offset: offset)
  }

  package func position(after number: UInt64) -> LogLookup {
    if number > last { return .ahead(last: last) }
    if sealed.isEmpty, open.allocated == 0 {
      return number == last ? .found(self.frontier) : .evicted(oldest: nil)
    }
    let preceding = sealed.first?.segment.precedingNumber ?? open.precedingNumber
    if number <= preceding { return number == preceding ? .found(start) : .evicted(oldest: oldest) }
    // The event is in the last segment that was opened before it came.
    if open.allocated > 0, open.precedingNumber < number {
      return .found(LogPosition(offset: open.offset(after: number)))
    }
    let index = partition { $0.precedingNumber < number } - 1
    return .found(LogPosition(offset: sealed[index].segment.offset(after: number)))
  }

  package func position(afterBackendID id: Span<UInt8>) -> LogPosition? {
    for piece in sealed {
      if let offset = piece.segment.offset(afterBackendID: id) { return LogPosition(offset: offset) }
    }
    return open.offset(afterBackendID: id).map { LogPosition(offset: $0) }
  }

  /// How many sealed segments at the queue's front satisfy `belongs`, which no other does.
  private func partition(_ belongs: (borrowing Segment) -> Bool) -> Int {
    var (low, high) = (0, sealed.count)
    while low < high {
      let middle = (low + high) / 2
      if belongs(sealed[middle].segment) { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
