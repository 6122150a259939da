import Bytes
import Gateway
import Loop
import Runs
import SSE
import Streams
import Time

/// What a store holds, for all played gateways that share it.
final class PlayedTruth {
  struct Record {
    var meta: RunMeta?
    var owner: StreamID?
    var blocks: [(bytes: [UInt8], head: EntryHead)] = []
    var end: EndRecord?
    var hasNoStream = false
    var isCancelled = false
    var readers: [ObjectIdentifier: Int] = [:]
    var progress: RunStatus.Progress?
    var wish: DisconnectPolicy?
  }

  var runs: [RunID: Record] = [:]
  var keys: [Digest: (run: RunID, request: Digest)] = [:]
  var names: [StreamID: RunID] = [:]
  var clientStreams: [Digest: (use: ClientStreamUse, holder: PlayedHold)] = [:]
  /// Nothing is answered but faults, and nothing is written.
  var isAway = false
  /// What `remainingWait` and a key that nobody holds are answered.
  var wait = Nanoseconds.zero
  fileprivate var stores: [PlayedStore] = []
  /// Questions that were answered, by name.
  private(set) var asked: [String: Int] = [:]

  fileprivate func count(_ question: String) { asked[question, default: 0] += 1 }

  /// A worker, or another gateway, writes an event.
  func write(_ data: String, to run: RunID) {
    var record = runs[run] ?? Record()
    record.blocks.append((Array("data: \(data)\n\n".utf8), EntryHead(number: UInt64(record.blocks.count + 1))))
    runs[run] = record
    wake()
  }

  func finish(_ run: RunID, _ outcome: Outcome, reason: String = "") {
    var record = runs[run] ?? Record()
    guard record.end == nil else { return }
    record.end = EndRecord(
      outcome: outcome, reason: reason, events: UInt64(record.blocks.count), bytes: 0,
      upstreamIsComplete: outcome.isCleanEnd)
    runs[run] = record
    wake()
  }

  /// The run's lease is over: another gateway ends it.
  func takeAway(_ run: RunID) {
    runs[run]?.owner = nil
    finish(run, .gatewayError, reason: "the gateway that had the run is gone")
    for store in stores { store.lost(run) }
  }

  func goAway() {
    isAway = true
    for store in stores { store.tellAway(true) }
  }

  func comeBack() {
    isAway = false
    for store in stores { store.tellAway(false) }
  }

  func wake() { for store in stores { store.wake() } }
}

/// One loop's store, over what all share.
final class PlayedStore: RunStore {
  let truth: PlayedTruth
  let loop: EventLoop
  let lease = Nanoseconds.seconds(10)
  let timeToLive = Nanoseconds.seconds(600)
  private var tenures: [RunID: PlayedTenure] = [:]
  private var cancels: [RunID: any CancelHandler] = [:]
  private var feeds: [PlayedFeed] = []
  private var logs: [PlayedLog] = []

  init(_ truth: PlayedTruth, loop: EventLoop) {
    self.truth = truth
    self.loop = loop
    truth.stores.append(self)
  }

  var connection: StoreStanding { truth.isAway ? .away(reason: fault) : .connected }
  var fault: String { "the played store is away" }

  private func answer<Value>(
    _ question: String, _ completion: @escaping (Result<Value, StoreFault>) -> Void,
    _ value: @escaping (PlayedTruth) -> Value
  ) {
    later(on: loop) { [truth, fault] in
      truth.count(question)
      completion(truth.isAway ? .failure(StoreFault(fault)) : .success(value(truth)))
    }
  }

  fileprivate func wake() {
    for (run, handler) in cancels where truth.runs[run]?.isCancelled == true {
      cancels[run] = nil
      later(on: loop) { handler.runWasCancelled(run) }
    }
    for feed in feeds { feed.wake() }
    feeds.removeAll(where: \.isOver)
  }

  fileprivate func lost(_ run: RunID) {
    guard let tenure = tenures.removeValue(forKey: run) else { return }
    later(on: loop) { tenure.lost?() }
  }

  fileprivate func tellAway(_ isAway: Bool) {
    for log in logs { log.storeIsAway(isAway) }
    for feed in feeds { feed.storeIsAway(isAway) }
  }

  // MARK: - What is known

  func lookup(_ run: RunID, _ completion: @escaping (Result<RunState, StoreFault>) -> Void) {
    answer("lookup", completion) { truth in
      var state = RunState()
      guard let record = truth.runs[run] else { return state }
      state.meta = record.meta
      state.isOwned = record.owner != nil
      state.isCancelled = record.isCancelled
      state.last = record.blocks.isEmpty ? nil : EntryID(UInt64(record.blocks.count), 0)
      state.end = record.end
      return state
    }
  }

  func standing(of run: RunID, _ completion: @escaping (Result<RunStanding, StoreFault>) -> Void) {
    answer("standing", completion) { truth in
      let record = truth.runs[run] ?? PlayedTruth.Record()
      return RunStanding(status: record.status(without: nil), entries: UInt64(record.blocks.count))
    }
  }

  func find(key: Digest, _ completion: @escaping (Result<RunID?, StoreFault>) -> Void) {
    answer("find", completion) { $0.keys[key]?.run }
  }

  func find(stream: StreamID, _ completion: @escaping (Result<RunID?, StoreFault>) -> Void) {
    answer("find", completion) { $0.names[stream] }
  }

  func find(clientStream: Digest, _ completion: @escaping (Result<ClientStreamUse?, StoreFault>) -> Void) {
    answer("find", completion) { $0.clientStreams[clientStream]?.use }
  }

  func remainingWait(_ completion: @escaping (Result<Nanoseconds, StoreFault>) -> Void) {
    answer("remainingWait", completion) { $0.wait }
  }

  // MARK: - Runs of this gateway's

  func claim(
    _ run: RunID, token: StreamID, meta: RunMeta, _ completion: @escaping (Result<RunClaim, StoreFault>) -> Void
  ) {
    answer("claim", completion) { truth in
      if let known = truth.runs[run] { return .others(known.meta) }
      truth.runs[run] = PlayedTruth.Record(meta: meta, owner: token)
      return .mine
    }
  }

  func claimKey(
    _ key: Digest, run: RunID, request: Digest, _ completion: @escaping (Result<KeyClaim, StoreFault>) -> Void
  ) {
    answer("claimKey", completion) { truth in
      if let (run, request) = truth.keys[key] { return .attach(run, request: request) }
      if truth.wait > .zero { return .wait(truth.wait) }
      truth.keys[key] = (run, request)
      return .mine
    }
  }

  func releaseKey(_ key: Digest, run: RunID, request: Digest) {
    if truth.keys[key]?.run == run { truth.keys[key] = nil }
  }

  func hold(_ title: RunTitle, lost: @escaping () -> Void) -> any RunTenure {
    let tenure = PlayedTenure(title.run, truth, lost)
    tenures[title.run] = tenure
    return tenure
  }

  func makeLog(of run: RunID, memory: MemoryLog) -> any SharedLog {
    let log = PlayedLog(run, truth, memory, loop)
    logs.append(log)
    return log
  }

  // MARK: - Runs of others

  func adopt(_ run: RunID, meta: RunMeta, _ completion: @escaping (Result<RunMeta, StoreFault>) -> Void) {
    answer("adopt", completion) { truth in
      var record = truth.runs[run] ?? PlayedTruth.Record()
      record.meta = record.meta ?? meta
      truth.runs[run] = record
      return record.meta ?? meta
    }
  }

  func nameStream(_ stream: StreamID, of run: RunID) { truth.names[stream] = run }

  func endWorkers(
    _ run: RunID, _ end: EndRecord, ifLastIs last: EntryID?,
    _ completion: @escaping (Result<Bool, StoreFault>) -> Void
  ) {
    answer("endWorkers", completion) { truth in
      guard let record = truth.runs[run], record.end == nil else { return false }
      if let last, last.high != UInt64(record.blocks.count) { return false }
      truth.runs[run]?.end = end
      truth.wake()
      return true
    }
  }

  func follow(_ run: RunID, at outlet: RunOutlet, handler: any RunFeedHandler) -> any RunFeed {
    let feed = PlayedFeed(run, truth, loop, handler)
    feeds.append(feed)
    feed.wake()
    return feed
  }

  // MARK: - What replicas tell each other

  func requestCancel(_ run: RunID, _ completion: @escaping (Result<Void, StoreFault>) -> Void) {
    answer("requestCancel", completion) { truth in
      truth.runs[run, default: PlayedTruth.Record()].isCancelled = true
      truth.wake()
    }
  }

  func watchCancel(of run: RunID, handler: any CancelHandler) {
    cancels[run] = handler
    if truth.runs[run]?.isCancelled == true { wake() }
  }

  func stopWatchingCancel(of run: RunID) { cancels[run] = nil }

  func take(
    clientStream: Digest, run: RunID, request: Digest?, handler: any ClientStreamHandler
  ) -> any ClientStreamHold {
    let hold = PlayedHold(handler, loop)
    truth.clientStreams[clientStream]?.holder.tell()
    truth.clientStreams[clientStream] = (ClientStreamUse(run: run, request: request), hold)
    return hold
  }

  func post(_ run: RunID, _ status: RunStatus) {
    guard !truth.isAway else { return }
    truth.runs[run]?.readers[ObjectIdentifier(self)] = status.readers
    if let progress = status.progress { truth.runs[run]?.progress = progress }
  }

  func post(_ run: RunID, wish: DisconnectPolicy) { truth.runs[run]?.wish = wish }

  func readersElsewhere(of run: RunID, _ completion: @escaping (RunStatus?) -> Void) {
    later(on: loop) { [truth] in
      truth.count("readersElsewhere")
      completion(truth.isAway ? nil : truth.runs[run]?.status(without: self))
    }
  }

  func add(_ observer: any StoreLifeObserver) {}
  func remove(_ observer: any StoreLifeObserver) {}
}

extension PlayedTruth.Record {
  func status(without store: PlayedStore?) -> RunStatus {
    let own = store.map { ObjectIdentifier($0) }
    var status = RunStatus(progress: progress, readers: readers.filter { $0.key != own }.values.reduce(0, +))
    status.wish = wish
    return status
  }
}

final class PlayedTenure: RunTenure {
  private let run: RunID
  private let truth: PlayedTruth
  fileprivate private(set) var lost: (() -> Void)?

  fileprivate init(_ run: RunID, _ truth: PlayedTruth, _ lost: @escaping () -> Void) {
    self.run = run
    self.truth = truth
    self.lost = lost
  }

  func release() {
    lost = nil
    truth.runs[run]?.owner = nil
  }

  func drop() {
    release()
    truth.runs[run]?.hasNoStream = true
    truth.finish(run, .gatewayError, reason: "the run has no stream")
  }
}

final class PlayedHold: ClientStreamHold {
  private var handler: (any ClientStreamHandler)?
  private let loop: EventLoop

  fileprivate init(_ handler: any ClientStreamHandler, _ loop: EventLoop) {
    self.handler = handler
    self.loop = loop
  }

  func leave() { handler = nil }

  fileprivate func tell() { later(on: loop) { [self] in handler?.clientStreamWasTaken() } }
}

/// Delivers a run's blocks, one turn of the loop after they were written.
private final class PlayedFeed: RunFeed {
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
    guard let record = truth.runs[run] else { return }
    while next < record.blocks.count, !isHeld, let handler {
      next += 1
      let (bytes, head) = record.blocks[next - 1]
      handler.runReceived(bytes.span, head)
    }
    guard let handler, !isHeld else { return }
    guard let end = record.end else { return handler.runCaughtUp() }
    self.handler = nil
    if record.hasNoStream { handler.runHasNoStream(end) } else { handler.runEnded(end) }
  }
}

/// A log that is stored one turn of the loop after it was written.
private final class PlayedLog: SharedLog {
  let memory: MemoryLog
  private let run: RunID
  private let truth: PlayedTruth
  private let loop: EventLoop
  weak var observer: (any EventLogObserver)?
  private var stored = LogPosition.beginning
  private var isEndStored = false
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
  var end: EndRecord? { followsMemory || isEndStored ? memory.end : interim }
  var hasEnd: Bool { end != nil }
  var isSettled: Bool { isEndStored }

  func grew() { store() }

  func finish(_ end: EndRecord) -> Bool {
    defer { store() }
    return memory.finish(end)
  }

  func retire() { memory.retire() }
  func goOnWithoutStore() { followsMemory = true }

  func endReaders(_ outcome: Outcome, reason: String) {
    interim = EndRecord(outcome: outcome, reason: reason, events: memory.last, bytes: 0, upstreamIsComplete: false)
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
    guard !isClosed, !truth.isAway, var record = truth.runs[run], record.owner != nil else { return }
    let next = memory.read(from: stored) { block, head in
      record.blocks.append(([UInt8](copying: block), head))
      return true
    }
    if let next { stored = next }
    memory.pin = stored
    record.end = memory.end
    isEndStored = memory.hasEnd
    truth.runs[run] = record
    truth.wake()
    observer?.frontierMoved()
  }

  func read(from position: LogPosition, _ body: (Span<UInt8>, EntryHead) -> Bool) -> LogPosition? {
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

/// The store of a played loop.
final class PlayedStores: RunStores {
  private let played: PlayedStore?
  var isUsed: ((any RunStore) -> Bool)?

  init(_ truth: PlayedTruth?, loop: EventLoop) { played = truth.map { PlayedStore($0, loop: loop) } }

  var store: (any RunStore)? { played }
  func adopt(_ settings: RedisRunSettings?) {}
  func count() {}
  func close() {}
}
