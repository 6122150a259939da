import Bytes
import Gateway
import Loop
import Runs
import SSE
import Streams
import Time

/// Delivers a run's blocks, one turn of the loop after they were written.
final class PlayedFeed: RunFeed {
  private let run: RunID
  private let truth: PlayedTruth
  private let loop: EventLoop
  private var handler: (any RunFeedHandler)?
  private var next = 0
  private var isDue = false
  private var isHeld = false

  init(_ run: RunID, _ truth: PlayedTruth, _ loop: EventLoop, _ handler: any RunFeedHandler) {
    self.run = run
    self.truth = truth
    self.loop = loop
    self.handler = handler
  }

  var isOver: Bool { handler == nil }
  var lastEntry: EntryID? { EntryID(UInt64(next), 0) }
  func cancel() { handler = nil }

  func hold() -> Bool {
    isHeld = true
    return true
  }

  func goOn() {
    isHeld = false
    wake()
  }

  func storeIsAway(_ isAway: Bool) {
    if isAway { handler?.runStoreLost() } else { handler?.runStoreBack() }
    if !isAway { wake() }
  }

  func wake() {
    guard !isDue, !isHeld, !truth.isAway else { return }
    isDue = true
    later(on: loop) { [self] in deliver() }
  }

  private func deliver() {
    isDue = false
    truth.endIfAbandoned(run)
    guard let record = truth.runs[run] else { return }
    while next < record.blocks.count, !isHeld, let handler {
      next += 1
      let (bytes, metadata) = record.blocks[next - 1]
      handler.runReceived(bytes.span, metadata)
    }
    guard let handler, !isHeld else { return }
    guard let end = record.end else { return handler.runCaughtUp() }
    self.handler = nil
    if record.hasNoStream { handler.runHasNoStream(end) } else { handler.runEnded(end) }
  }
}

/// A log that is stored one turn of the loop after it was written.
final class PlayedLog: SharedLog {
  let memory: MemoryLog
  private let run: RunID
  private let truth: PlayedTruth
  private let loop: EventLoop
  weak var observer: (any EventLogObserver)?
  private var stored = LogPosition.beginning
  private var isEndStored = false
  /// The end that somebody else gave the run.
  private var foreignEnd: EndRecord?
  private var interim: EndRecord?
  private var followsMemory = false
  private var isDue = false
  private var isClosed = false

  init(_ run: RunID, _ truth: PlayedTruth, _ memory: MemoryLog, _ loop: EventLoop) {
    self.run = run
    self.truth = truth
    self.memory = memory
    self.loop = loop
    memory.pin = .beginning
  }

  var oldest: UInt64? { memory.oldest }
  var last: UInt64 { memory.last }
  var start: LogPosition { memory.start }
  var frontier: LogPosition { followsMemory ? memory.frontier : stored }
  var bytes: Int { memory.bytes }
  var end: EndRecord? { foreignEnd ?? (followsMemory || isEndStored ? memory.end : nil) ?? interim }
  var hasEnd: Bool { end != nil }
  var isSettled: Bool { isEndStored || foreignEnd != nil }

  func grew() { store() }

  func finish(_ end: EndRecord) -> Bool {
    defer { store() }
    return foreignEnd == nil && memory.finish(end)
  }

  func retire() { memory.retire() }
  func goOnWithoutStore() { followsMemory = true }

  func endReaders(_ outcome: Outcome, reason: String) {
    var events: UInt64 = 0
    _ = memory.read(from: memory.start, upTo: frontier) { _, metadata in
      events = metadata.number
      return true
    }
    interim = EndRecord(outcome: outcome, reason: reason, events: events, bytes: 0, upstreamIsComplete: false)
  }

  func close() {
    isClosed = true
    memory.pin = nil
    observer = nil
  }

  func storeIsAway(_ isAway: Bool) {
    guard !isClosed else { return }
    if isAway { observer?.storeLost() } else { store() }
    if !isAway { observer?.storeRecovered() }
  }

  private func store() {
    guard !isDue, !isClosed else { return }
    isDue = true
    later(on: loop) { [self] in write() }
  }

  private func write() {
    isDue = false
    if truth.holdsBack("append", { [self] in write() }) { return }
    guard !isClosed, !truth.isAway, foreignEnd == nil else { return }
    guard var record = truth.runs[run] else {
      let reason = "the store has forgotten the run"
      return lose(
        to: EndRecord(outcome: .gatewayError, reason: reason, events: 0, bytes: 0, upstreamIsComplete: false))
    }
    if let end = record.end, !isEndStored { return lose(to: end) }
    guard record.owner != nil else { return }
    let next = memory.read(from: stored) { block, metadata in
      record.blocks.append(([UInt8](copying: block), metadata))
      return true
    }
    if let next { stored = next }
    memory.pin = stored
    record.end = memory.end
    isEndStored = memory.hasEnd
    truth.runs[run] = record
    truth.wake()
    interim = nil
    followsMemory = false
    observer?.frontierMoved()
  }

  private func lose(to end: EndRecord) {
    memory.pin = nil
    // What readers have had of a run that goes on without the store is more than it has.
    if followsMemory { return }
    foreignEnd = end
    memory.close()
    observer?.ownershipLost()
  }

  func read(from position: LogPosition, _ body: (Span<UInt8>, EntryMetadata) -> Bool) -> LogPosition? {
    memory.read(from: position, upTo: frontier, body)
  }

  func deliver(
    from position: LogPosition, to delivery: inout LogDelivery, room: Int, into out: inout ByteBuffer,
    _ send: (inout ByteBuffer, Span<UInt8>) -> Void
  ) -> LogPosition? {
    memory.deliver(from: position, upTo: frontier, to: &delivery, room: room, into: &out, send)
  }

  func position(after number: UInt64) -> LogLookup { memory.position(after: number) }
  func position(afterBackendID id: Span<UInt8>) -> LogPosition? { memory.position(afterBackendID: id) }
}
