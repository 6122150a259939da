package import Bytes
package import SSE

/// A log in this process's memory: a queue of segments, of which the oldest are dropped when a window is exceeded, or when
/// the memory of all logs is used up.
///
/// Nothing is dropped while entries are appended, as long as the budget lends memory: whoever appends lets readers have
/// what came, then calls `trim`.
///
/// Entries are written once, as most readers get them, and lent to every reader where they are. The first segments are
/// small, so that a short run costs little.
package final class MemoryLog: EventLog {
  package struct Limits: Equatable, Sendable {
    /// The bytes of all blocks of a run; the block that would exceed it is not kept, nor is any after it.
    package var run: Int
    /// Bytes of memory for a run; older segments are dropped beyond it, by `trim`. At least one segment stays.
    package var window: Int

    package init(run: Int = 10_000_000, window: Int = .max) {
      self.run = run
      self.window = window
    }
  }

  private let limits: Limits
  private let budget: (any ByteBudget)?
  private let pool: SegmentPool?
  /// In order and without gaps between them.
  private var sealed: [SealedSegment] = []
  /// Behind them; empty when nothing is kept. Part of the log itself, so that an event is added to it without a detour.
  private var open = Segment(at: .beginning)
  /// Bytes that the id may need that an event without one of its own gets from `idLine`; 0 when it gets none.
  private let lineRoom: Int
  private var idLine: EventIDLine
  /// Bytes that blocks may still have.
  private var room: Int
  /// The limit at which it has stopped taking entries.
  package private(set) var breach: LogLimit?
  /// Bytes of the budget for what is not kept here.
  private var charged = 0
  /// Bytes of the budget for a segment that is not open yet.
  private var reserved = 0
  /// Bytes that the budget has lent.
  private var borrowed = 0
  /// Whether it holds more than it should: see `trim`.
  package private(set) var isOver = false
  private var isClosed = false
  /// Neither ended nor closed nor in breach.
  private var takesMore = true

  package private(set) var last: UInt64 = 0
  package private(set) var bytes = 0
  package private(set) var end: EndRecord?
  package private(set) var hasEnd = false
  /// By look-ups of backends' own ids, all together: what they have cost.
  package private(set) var entriesRead = 0
  package var observer: (any EventLogObserver)?
  /// Nothing at or behind it is evicted; `nil` when nobody minds. For entries that have yet to be stored elsewhere.
  package var pin: LogPosition?

  /// - Parameters:
  ///   - stream: whose ids events get that have none of their own; `nil` keeps them as they come.
  ///   - budget: asked for each segment; gets everything back at the latest when the log goes.
  ///   - pool: supplies the memory of segments; `retire` returns it.
  package init(
    of stream: StreamID?, limits: Limits = Limits(), budget: (any ByteBudget)? = nil, pool: SegmentPool? = nil
  ) {
    lineRoom = stream == nil ? 0 : EventIDLine.longest
    idLine = EventIDLine(stream: stream ?? StreamID(random: (0, 0)))
    self.limits = limits
    self.budget = budget
    self.pool = pool
    room = limits.run
  }

  deinit {
    budget?.giveBack(bytes + charged + reserved)
  }

  /// Takes memory for one small segment ahead, until the end. A run that was let in then goes on with it when others have
  /// used up what all may have: its newest events take the place of its oldest.
  package func reserve() {
    guard reserved == 0, let budget, budget.take(Self.segmentSizes[0]) else { return }
    reserved = Self.segmentSizes[0]
  }

  private func releaseReserve() {
    budget?.giveBack(reserved)
    reserved = 0
  }

  /// Counts memory that is held for the run beside its entries, until `retire`.
  package func charge(_ count: Int) {
    if let budget, budget.takeBeyondShare(count) { charged += count }
  }

  package var start: LogPosition { sealed.first?.segment.start ?? open.start }
  package var frontier: LogPosition { open.end }

  package var oldest: UInt64? {
    for piece in sealed {
      if let number = piece.segment.firstEvent { return number }
    }
    return open.firstEvent
  }

  // MARK: - Writing

  package var memory: MemoryLog { self }
  package func grew() {}

  /// Keeps a block. Nothing is kept after the end, nor after a breach.
  ///
  /// - Parameters:
  ///   - block: not empty; its blank line included, as far as it has one.
  ///   - hasID: whether it has an `id` line of its own; `nil` when nobody has looked.
  @discardableResult
  package func append(_ block: Span<UInt8>, _ metadata: EntryMetadata, hasID: Bool?) -> AppendResult {
    guard takesMore, block.count <= room else { return refuse() }
    let isFramed = metadata.kind == .event && lineRoom > 0 && !(hasID ?? Event(reading: block).hasID)
    let length = isFramed ? block.count &+ lineRoom : block.count
    if !open.takes(length, number: metadata.number), !openSegment(for: length, metadata) { return refuse(.process) }
    if isFramed { open.append(block, metadata, &idLine) } else { open.append(block, metadata) }
    room -= block.count
    if metadata.kind.isEvent { last = metadata.number }
    return .kept
  }

  @discardableResult
  package func finish(_ end: EndRecord) -> Bool {
    guard self.end == nil else { return false }
    self.end = end
    hasEnd = true
    takesMore = false
    giveBack(open.trim())
    releaseReserve()
    return true
  }

  /// Takes no more, without an end of its own.
  package func close() {
    isClosed = true
    takesMore = false
  }

  private func refuse() -> AppendResult { end == nil && !isClosed ? refuse(breach ?? .run) : .ended }

  private func refuse(_ limit: LogLimit) -> AppendResult {
    breach = limit
    takesMore = false
    return .full(limit)
  }

  /// Opens a segment that takes a block of `count` bytes.
  private func openSegment(for count: Int, _ metadata: EntryMetadata) -> Bool {
    let held = sealed.count + (open.allocated > 0 ? 1 : 0)
    let usual = Self.segmentSizes[min(held, Self.segmentSizes.count - 1)]
    let size = max(usual, Segment.overhead + count)
    // A log need not begin with the run's first event; what is missing counts as evicted.
    let preceding = metadata.kind.isEvent && metadata.number > 0 ? metadata.number - 1 : metadata.number
    let start = open.end
    var full = Segment(at: start)
    swap(&full, &open)
    if full.allocated > 0 { seal(full) }
    guard let size = takeMemory(of: size, atLeast: Segment.overhead + count) else { return false }
    bytes += size
    isOver = borrowed > 0 || bytes > limits.window
    open = Segment(makeMemory(size), at: start, following: preceding)
    return true
  }

  /// The segment is read once more for the ids in it, if it may have some: so no look-up ever reads the whole run.
  private func seal(_ segment: consuming Segment) {
    let piece = SealedSegment(segment)
    let filter = piece.segment.makeFilter()
    sealed.append(piece)
    if filter.size > 0, let budget, !budget.take(filter.size) {
      // Without it a look-up reads the segment.
      guard budget.borrow(filter.size) else { return }
      borrowed += filter.size
    }
    bytes += filter.size
    piece.filter = filter
  }

  /// Takes `size` bytes of what all logs may have. When that is used up, it borrows what `trim` can give back; then a
  /// small segment may have to do. When nothing is lent either, the run's own oldest events make room at once, so that
  /// it goes on.
  private func takeMemory(of size: Int, atLeast least: Int) -> Int? {
    guard let budget, !budget.take(size) else { return size }
    let small = max(least, Self.segmentSizes[0])
    let loan = bytes - borrowed >= size ? size : small
    if budget.borrow(loan) {
      borrowed += loan
      return loan
    }
    let before = bytes
    evict(downTo: before - size)
    if before - bytes >= size, budget.takeBeyondShare(size) { return size }
    evict(downTo: bytes - small)
    if budget.takeBeyondShare(small) { return small }
    guard reserved >= least else { return nil }
    defer { reserved = 0 }
    return reserved
  }

  /// Drops the oldest entries that are beyond the window, and as many in front of `position` as give back what was borrowed.
  ///
  /// - Parameter position: in front of it nobody who reads along needs anything.
  /// - Returns: whether memory is still borrowed that would be given back once they need less.
  @discardableResult
  package func trim(keeping position: LogPosition) -> Bool {
    let before = bytes
    evict(downTo: limits.window)
    if let budget, borrowed > 0 {
      // Others may have made room.
      if budget.take(0) { borrowed = 0 }
      evict(downTo: before - borrowed, inFrontOf: position)
      // One segment is what a run needs in any case.
      borrowed = sealed.isEmpty ? 0 : max(0, borrowed - (before - bytes))
    }
    isOver = borrowed > 0
    return isOver
  }

  private static let segmentSizes = [1 << 10, 4 << 10, 16 << 10, SegmentPool.pieceSize]

  private func makeMemory(_ size: Int) -> ByteBuffer {
    if size == SegmentPool.pieceSize, let pool { return pool.take() }
    var memory = ByteBuffer()
    memory.reserve(size)
    return memory
  }

  /// Gives up all that it holds, for good. Whoever still reads it finds everything evicted.
  package func retire() {
    takesMore = false
    // Swapped: Swift 6.3 leaks what an assignment replaces here when it optimizes.
    var last = Segment(at: open.end)
    swap(&last, &open)
    if let pool {
      for piece in sealed { pool.put(piece.takeMemory()) }
      pool.put(last.takeMemory())
    }
    sealed = []
    giveBack(bytes)
    budget?.giveBack(charged)
    charged = 0
    borrowed = 0
    isOver = false
    releaseReserve()
  }

  private func evict(downTo target: Int, inFrontOf position: LogPosition? = nil) {
    var dropped = 0
    var held = bytes
    while dropped < sealed.count, held > target {
      if let pin, sealed[dropped].segment.end > pin { break }
      if let position, sealed[dropped].segment.end > position { break }
      held -= sealed[dropped].held
      dropped += 1
    }
    guard dropped > 0 else { return }
    if let pool { for piece in sealed[..<dropped] { pool.put(piece.takeMemory()) } }
    sealed.removeFirst(dropped)
    giveBack(bytes - held)
  }

  private func giveBack(_ count: Int) {
    guard count > 0 else { return }
    bytes -= count
    budget?.giveBack(count)
  }

  // MARK: - Reading

  package func read(from position: LogPosition, _ body: (Span<UInt8>, EntryMetadata) -> Bool) -> LogPosition? {
    read(from: position, upTo: frontier, body)
  }

  /// As `read(from:_:)`, with an earlier frontier. `body` must not write to the log.
  package func read(
    from position: LogPosition, upTo frontier: LogPosition, _ body: (Span<UInt8>, EntryMetadata) -> Bool
  ) -> LogPosition? {
    visit(from: position, upTo: frontier) { segment, place in segment.read(&place, upTo: frontier, body) }
  }

  package func deliver(
    from position: LogPosition, to delivery: inout LogDelivery, room: Int, into out: inout ByteBuffer,
    _ send: (inout ByteBuffer, Span<UInt8>) -> Void
  ) -> LogPosition? {
    deliver(from: position, upTo: frontier, to: &delivery, room: room, into: &out, send)
  }

  /// As `deliver(from:to:room:into:_:)`, with an earlier frontier.
  package func deliver(
    from position: LogPosition, upTo frontier: LogPosition, to delivery: inout LogDelivery, room: Int,
    into out: inout ByteBuffer, _ send: (inout ByteBuffer, Span<UInt8>) -> Void
  ) -> LogPosition? {
    var room = room
    return visit(from: position, upTo: frontier) { segment, place in
      segment.deliver(&place, upTo: frontier, to: &delivery, &room, into: &out, send)
    }
  }

  /// Lends the entries from `position` on as they are kept, in pieces: see `LogPiece`, which reads them again.
  ///
  /// - Returns: the position behind the last one lent; `nil` when what stood at `position` was evicted.
  package func lend(
    from position: LogPosition, atMost room: LogRoom, _ body: (LogPiece, Span<UInt8>, Span<UInt8>) -> Void
  ) -> LogPosition? {
    var room = room
    let frontier = frontier
    return visit(from: position, upTo: frontier) { segment, place in
      segment.lend(&place, upTo: frontier, &room, body)
    }
  }

  /// Lends the segments from `position` on, which `read` moves on; it answers whether it wants more.
  @inline(__always)
  private func visit(
    from position: LogPosition, upTo frontier: LogPosition, _ read: (borrowing Segment, inout LogPosition) -> Bool
  ) -> LogPosition? {
    guard position >= start else { return nil }
    var position = position
    if position < frontier, position < open.start {
      var index = partition { $0.start <= position } - 1
      while position < frontier, index < sealed.count {
        guard read(sealed[index].segment, &position) else { return position }
        index += 1
      }
    }
    if position < frontier, position < open.end { _ = read(open, &position) }
    return position
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
      return .found(open.position(after: number))
    }
    let index = partition { $0.precedingNumber < number } - 1
    return .found(sealed[index].segment.position(after: number))
  }

  package func position(afterBackendID id: Span<UInt8>) -> LogPosition? {
    if let position = open.position(afterBackendID: id, &entriesRead) { return position }
    let hash = IDFilter.hash(id)
    for piece in sealed.reversed() {
      if let filter = piece.filter, !filter.mayHold(hash) { continue }
      if let position = piece.segment.position(afterBackendID: id, &entriesRead) { return position }
    }
    return nil
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
