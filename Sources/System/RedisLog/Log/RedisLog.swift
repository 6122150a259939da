package import Bytes
import Loop
package import Runs
package import Streams
package import Time

/// A run's log that is kept in Redis for other replicas, and in memory for this one: what its owner writes to.
///
/// Readers may see what Redis has acknowledged. Entries leave in batches, each one entry of the stream, and one at a time:
/// a batch that Redis refuses can't leave a gap in front of one that it takes. After a failure the log asks what Redis has
/// last and goes on behind it. The end that others give a run whose owner seems to be gone has the largest id there is, so
/// that no batch gets behind it. Retained by its loop until `close()`.
package final class RedisLog: EventLog {
  enum Progress {
    /// All is stored, or waits for the end of the turn. → storing, failed
    case idle
    /// A batch is on its way. → idle, failed
    case storing(Batch)
    /// Whether the last batch was stored is not known; nothing is sent until `retry`. → checking
    case failed(retry: MonotonicTime)
    /// Redis was asked what its last entry is. → idle, failed, detached
    case checking
    /// Somebody else has ended the run, or it can't be stored without a gap any more.
    case detached
  }

  struct Batch {
    /// Behind its last block.
    var end: LogPosition
    /// The id of that block.
    var blockID: EntryID
    /// Whether the run's end goes with it.
    var hasEnd = false

    var lastID: EntryID { hasEnd ? blockID.ofEnd : blockID }
  }

  /// What an answer belongs to: the tag of its command.
  enum Request: UInt64 { case batch, check, other }

  /// Redis does nothing else while it stores a batch, and who wants one of its events gets them all.
  private static let batchLimit = LogRoom(entries: 1 << 14, bytes: 256 << 10)
  private static let pauseAfterFailure = Nanoseconds.milliseconds(100)

  package let run: RunID
  let store: RunRecords
  package let memory: MemoryLog
  let key: String
  /// Where it is told what has been stored.
  private let channel: String

  // A strong reference until `close()`: every event uses it, and weak references make each retain slower.
  package var observer: (any EventLogObserver)?
  var progress = Progress.idle
  /// Everything in front of it is stored.
  var stored = LogPosition.beginning
  /// The latest that `stored` has been: what a restarted Redis has lost was shown all the same, and is in memory.
  private var shown = LogPosition.beginning
  /// The id of the last entry stored.
  var storedID = EntryID.zero
  package internal(set) var isEndStored = false
  /// Whether it has been stored once: what a store has lost since was shown all the same.
  private var isEndShown = false
  /// The end that somebody else gave the run.
  var foreignEnd: EndRecord?
  package var isSettled: Bool { isEndStored || foreignEnd != nil || (isEndShown && isDetached) }
  /// When something was last stored, or began to wait.
  private var lastProgress: MonotonicTime
  /// Whether something waits, as far as it was noticed.
  private var isWaiting = false
  /// How often the connection had been lost when Redis was last asked what it has.
  var knownLosses: UInt64
  /// How often Redis may have lost what was stored, and for how many of these it was checked.
  var doubts: UInt64 = 0
  var checkedDoubts: UInt64 = 0
  var askedDoubts: UInt64 = 0
  private var isTurnDue = false
  private(set) var isClosed = false
  private var isStoreLost = false
  /// Readers get what memory has.
  private var followsMemory = false
  /// What readers get as the end until the store is back.
  private var interimEnd: EndRecord?
  private var handle: DeadlineHandle?

  private var loop: EventLoop { store.redis.loop }

  /// - Parameter memory: empty.
  package init(run: RunID, store: RunRecords, memory: MemoryLog) {
    self.run = run
    self.store = store
    self.memory = memory
    key = store.keys.events(of: run)
    channel = store.keys.news(of: run)
    lastProgress = store.redis.loop.now
    knownLosses = store.redis.counts.losses
    memory.pin = .beginning
    store.life.add(self)
  }

  // MARK: - What is in it

  package var oldest: UInt64? { memory.oldest }
  package var last: UInt64 { memory.last }
  package var start: LogPosition { memory.start }
  package var frontier: LogPosition { followsMemory ? memory.frontier : shown }
  package var bytes: Int { memory.bytes }
  package var hasEnd: Bool {
    foreignEnd != nil || ((followsMemory || isEndShown) && memory.hasEnd) || interimEnd != nil
  }
  package var end: EndRecord? {
    foreignEnd ?? (followsMemory || isEndShown ? memory.end : nil) ?? interimEnd
  }

  package func read(from position: LogPosition, _ body: (Span<UInt8>, EntryMetadata) -> Bool) -> LogPosition? {
    memory.read(from: position, upTo: frontier, body)
  }

  package func deliver(
    from position: LogPosition, to delivery: inout LogDelivery, room: Int, into out: inout ByteBuffer,
    _ send: (inout ByteBuffer, Span<UInt8>) -> Void
  ) -> LogPosition? {
    memory.deliver(from: position, upTo: frontier, to: &delivery, room: room, into: &out, send)
  }

  package func position(after number: UInt64) -> LogLookup {
    let lookup = memory.position(after: number)
    if case .found(let position) = lookup, position > frontier { return .ahead(last: last) }
    return lookup
  }

  package func position(afterBackendID id: Span<UInt8>) -> LogPosition? {
    memory.position(afterBackendID: id).flatMap { $0 > frontier ? nil : $0 }
  }

  // MARK: - Writing

  package func grew() {
    if !isDetached, !isTurnDue, pendingEntries > 0 { beginToWait() }
  }

  @discardableResult
  package func finish(_ end: EndRecord) -> Bool {
    guard foreignEnd == nil, memory.finish(end) else { return false }
    beginToWait()
    return true
  }

  /// From now on, readers may see entries that are not stored yet. Called by the owner after `storeLost`. The log goes on
  /// trying to store what it still has.
  package func goOnWithoutStore() {
    followsMemory = true
    memory.pin = nil
  }

  /// Readers get what is stored and then this end, until the store is back: what the owner decides after `storeLost` of
  /// a run that must not go on without it. The log goes on trying to store what it still has, the run's own end included.
  package func endReaders(_ outcome: Outcome, reason: String) {
    guard interimEnd == nil else { return }
    var record = EndRecord(outcome: outcome, reason: reason, events: 0, bytes: 0, upstreamIsComplete: false)
    _ = memory.read(from: memory.start, upTo: frontier) { block, metadata in
      if metadata.kind.isEvent { record.events = metadata.number }
      record.bytes += UInt64(block.count)
      return true
    }
    interimEnd = record
  }

  package func retire() { memory.retire() }

  /// Stops storing. To be called when the run's end is stored, or the run is given up.
  package func close() {
    isClosed = true
    observer = nil
    progress = .detached
    memory.pin = nil
    store.redis.remove(self)
    store.life.remove(self)
    stopWatching()
  }

  var isDetached: Bool { if case .detached = progress { true } else { false } }
  private var pendingEntries: Int { memory.frontier.entries(since: stored) }
  private var hasPending: Bool { pendingEntries > 0 || (memory.end != nil && !isEndStored) }

  private func beginToWait() {
    if !isWaiting { lastProgress = loop.now }
    isWaiting = true
    wantTurn()
  }

  private func wantTurn() {
    guard !isTurnDue, !isClosed else { return }
    isTurnDue = true
    loop.callAfterThisCallback(self)
  }

  // MARK: - Batches

  private func sendBatch() {
    guard case .idle = progress, hasPending else { return }
    guard store.redis.hasRoom(for: key) else { return store.redis.add(self) }
    // Behind another connection there may be a Redis that has less than was acknowledged.
    guard knownLosses == store.redis.counts.losses, doubts == checkedDoubts else { return check() }
    guard stored >= memory.start else { return abandon() }
    let batch = nextBatch()
    let isTaken = send(.batch) { write(batch, to: $0) }
    progress = .storing(batch)
    if !isTaken { fail() }
  }

  private func nextBatch() -> Batch {
    var batch = Batch(end: stored, blockID: storedID)
    lend(&batch.end) { piece, _, _ in batch.blockID = batch.blockID.id(behind: piece) }
    batch.hasEnd = memory.end != nil && batch.end == memory.frontier
    return batch
  }

  /// Lends the entries of the next batch and moves `end` behind them.
  private func lend(_ end: inout LogPosition, _ body: (LogPiece, Span<UInt8>, Span<UInt8>) -> Void) {
    end = memory.lend(from: stored, atMost: Self.batchLimit, body) ?? stored
  }

  private func write(_ batch: Batch, to command: RedisCommand) {
    store.scripts.begin(.append, command, keys: [key])
    command.append(store.publishing)
    command.append(channel: channel)
    // The first batch and the last set when the key expires; in between the lease keeps it alive.
    command.append(storedID == .zero || batch.hasEnd ? store.lifetime : 0)
    command.append { storedID.write(to: &$0) }
    command.append { batch.blockID.ofEnd.write(to: &$0) }
    command.append { if batch.hasEnd { memory.end?.write(to: &$0) } }
    if batch.end > stored { writeEntry(of: batch, to: command) }
  }

  /// The stream's entry that has all the log's entries of `batch`.
  private func writeEntry(of batch: Batch, to command: RedisCommand) {
    command.append { batch.blockID.write(to: &$0) }
    if batch.end.entries(since: stored) == 1 { writeBlock(to: command) } else { writeBlocks(to: command) }
  }

  /// The one that waits.
  private func writeBlock(to command: RedisCommand) {
    _ = memory.read(from: stored) { block, metadata in
      command.append("b")
      command.append(block)
      if let letter = metadata.kind.letter {
        command.append("k")
        command.append(letter)
      }
      if !metadata.mark.isEmpty {
        command.append("m")
        command.append(Int(metadata.mark.rawValue))
      }
      return false
    }
  }

  /// Those that wait, as they are kept.
  private func writeBlocks(to command: RedisCommand) {
    command.append("a")
    command.append { storedID.write(to: &$0) }
    var end = stored
    lend(&end) { piece, bytes, words in
      command.append("n")
      command.append { $0.append(decimal: piece.precedingNumber) }
      command.append("b")
      command.append(bytes)
      command.append("w")
      command.append(words)
    }
  }

  @discardableResult
  func send(_ request: Request, _ write: (RedisCommand) -> Void) -> Bool {
    store.redis.send(to: self, tag: request.rawValue, mayWait: true, write)
  }

  // MARK: - Answers

  private func wasStored(_ batch: Batch) {
    isEndStored = isEndStored || batch.hasEnd
    progress = .idle
    if batch.hasEnd { stopWatching() }
    moveOn(to: batch.end, batch.lastID)
    checkIfDoubtful()
  }

  /// Notes that everything in front of `position` is stored.
  func moveOn(to position: LogPosition, _ id: EntryID) {
    let hasAdvanced = position > stored
    storedID = id
    stored = position
    // To be told what Redis has is none while it takes nothing more.
    if hasAdvanced || !hasPending { lastProgress = loop.now }
    shown = max(shown, position)
    isEndShown = isEndShown || isEndStored
    if !followsMemory { memory.pin = position }
    isWaiting = hasPending
    if isWaiting { wantTurn() } else { recover() }
    observer?.frontierMoved()
  }

  private func recover() {
    guard isStoreLost else { return }
    isStoreLost = false
    followsMemory = false
    interimEnd = nil
    memory.pin = stored
    observer?.storeRecovered()
  }

  func fail() {
    guard !isDetached else { return }
    let retry = loop.now + Self.pauseAfterFailure
    progress = .failed(retry: retry)
    watch(until: retry)
  }

  /// What is missing in the store is not in memory any more: storing goes no further.
  func abandon() {
    progress = .detached
    reportLoss()
  }

  /// - Parameter last: the last event in front of the end, as far as this log has written it.
  func lose(to end: EndRecord, behind last: UInt64) {
    progress = .detached
    memory.pin = nil
    // What readers have had of a run that goes on without the store, or whose own end the store has forgotten, is more than
    // it has.
    if followsMemory { return }
    if isEndShown {
      observer?.frontierMoved()
      return
    }
    // What was stored without being acknowledged is in front of the end for everybody else.
    if case .found(let position) = memory.position(after: last) { shown = max(shown, position) }
    foreignEnd = end
    memory.close()
    observer?.ownershipLost()
  }

  private func reportLoss() {
    guard !isStoreLost else { return }
    isStoreLost = true
    observer?.storeLost()
  }

  // MARK: - Time

  private func watch(until time: MonotonicTime) {
    guard !isClosed else { return }
    if let handle { return loop.deadlines.move(handle, to: time) }
    handle = loop.deadlines.add(self, at: time)
  }

  private func stopWatching() {
    if let handle = handle.take() { loop.deadlines.remove(handle) }
  }
}

extension RedisLog: TurnMember, DeadlineMember, RedisReceiver, RedisConnectionObserver {
  package func redisBecameReady() { redisHasRoom() }

  package func redisHasRoom() {
    store.redis.remove(self)
    wantTurn()
  }

  package func turnCame() {
    isTurnDue = false
    if handle == nil, !isDetached { watch(until: loop.now + store.settings.patience) }
    sendBatch()
    if !isDetached, memory.frontier.blockBytes(since: stored) > store.settings.pendingLimit { reportLoss() }
  }

  package func deadlinePassed(at now: MonotonicTime) -> MonotonicTime? {
    if isDetached {
      handle = nil
      return nil
    }
    let patience = store.settings.patience
    if case .idle = progress, hasPending {
      // Left over when the connection had no room. If it goes now, Redis has its time for it.
      sendBatch()
      if case .storing = progress { lastProgress = now }
    }
    if hasPending, now - lastProgress >= patience { reportLoss() }
    if case .failed(let retry) = progress {
      guard retry <= now else { return retry }
      check()
    }
    return min(now + patience, hasPending ? max(lastProgress + patience, now + EventLoop.tickInterval) : now + patience)
  }

  package func redisAnswered(_ result: Result<RedisReply, RedisError>, tag: UInt64) {
    guard !isDetached, let request = Request(rawValue: tag) else { return }
    switch (request, progress) {
    case (.batch, .storing(let batch)):
      if case .success(let reply) = result, reply.kind == .integer { return wasStored(batch) }
      _ = store.scripts.wereMissing(result)
      fail()
    case (.check, .checking): checked(result)
    default: break
    }
  }
}
