import Bytes
import Configuration
import Gateway
import Loop
import Runs
import SSE
import Streams
import Time

/// What is wrong with a question to the store.
enum StoreTrouble: CaseIterable {
  /// It is not carried out, and answered by a fault.
  case refused
  /// It is carried out, but the answer is lost.
  case unanswered
}

/// What a store holds, for all played gateways that share it.
final class PlayedTruth {
  struct Record {
    var meta: RunMeta?
    var owner: StreamID?
    var blocks: [(bytes: [UInt8], metadata: EntryMetadata)] = []
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
  /// What is wrong with questions, by name.
  var troubles: [String: StoreTrouble] = [:]
  /// Questions that wait until they are let go, by name.
  var holdsBack: Set<String> = []
  private var held: [() -> Void] = []
  fileprivate var stores: [PlayedStore] = []
  /// Questions that were answered, by name.
  private(set) var asked: [String: Int] = [:]

  fileprivate func count(_ question: String) { asked[question, default: 0] += 1 }

  /// - Returns: whether that waits until it is let go.
  func holdsBack(_ question: String, _ body: @escaping () -> Void) -> Bool {
    guard holdsBack.contains(question) else { return false }
    held.append(body)
    return true
  }

  /// Carries out what was held back.
  func letGo() {
    holdsBack = []
    let held = held
    self.held = []
    for body in held { body() }
  }

  fileprivate func remove(_ store: PlayedStore) { stores.removeAll { $0 === store } }

  /// A worker, or another gateway, writes an event.
  func write(_ data: String, to run: RunID) {
    var record = runs[run] ?? Record()
    record.blocks.append((Array("data: \(data)\n\n".utf8), EntryMetadata(number: UInt64(record.blocks.count + 1))))
    runs[run] = record
    wake()
  }

  func finish(_ run: RunID, _ outcome: Outcome, reason: String = "") {
    var record = runs[run] ?? Record()
    guard record.end == nil else { return }
    record.end = EndRecord(
      outcome: outcome, reason: reason, events: record.blocks.last?.metadata.number ?? 0, bytes: 0,
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

  /// The gateways that have runs now are gone.
  func abandon() {
    for run in runs.keys { runs[run]?.owner = nil }
    for store in stores { store.forgetTenures() }
    wake()
  }

  /// The leases of runs of which no gateway knows that it has them are over.
  func expireLeases() {
    for (run, record) in runs where record.owner != nil && !stores.contains(where: { $0.has(run) }) {
      runs[run]?.owner = nil
    }
    wake()
  }

  /// Whoever follows a run or looks it up ends it, if its owner is gone.
  func endIfAbandoned(_ run: RunID) {
    guard let record = runs[run], record.owner == nil, record.meta?.source == .gateway else { return }
    finish(run, .gatewayError, reason: "the gateway that had the run is gone")
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
  private var logs: [WeakLog] = []

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
    later(on: loop) { [self] in
      truth.count(question)
      if truth.holdsBack(question, { self.carryOut(question, completion, value) }) { return }
      carryOut(question, completion, value)
    }
  }

  private func carryOut<Value>(
    _ question: String, _ completion: @escaping (Result<Value, StoreFault>) -> Void, _ value: (PlayedTruth) -> Value
  ) {
    let trouble = truth.isAway ? .refused : truth.troubles[question]
    let known = trouble == .refused ? nil : value(truth)
    if trouble == nil, let known { completion(.success(known)) } else { completion(.failure(StoreFault(fault))) }
  }

  /// Its loop ends.
  fileprivate func close() {
    truth.remove(self)
    for feed in feeds { feed.cancel() }
    (tenures, cancels, feeds, logs) = ([:], [:], [], [])
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

  fileprivate func has(_ run: RunID) -> Bool { tenures[run] != nil }
  fileprivate func forgetTenures() { tenures = [:] }

  fileprivate func tellAway(_ isAway: Bool) {
    logs.removeAll { $0.log == nil }
    for log in logs { log.log?.storeIsAway(isAway) }
    for feed in feeds { feed.storeIsAway(isAway) }
  }

  // MARK: - What is known

  func lookup(_ run: RunID, _ completion: @escaping (Result<RunState, StoreFault>) -> Void) {
    answer("lookup", completion) { truth in
      defer { truth.endIfAbandoned(run) }
      var state = RunState()
      guard let record = truth.runs[run] else { return state }
      state.meta = record.meta
      state.isOwned = record.owner != nil
      state.isCancelled = record.isCancelled
      state.last = record.last
      state.end = record.end
      return state
    }
  }

  func standing(of run: RunID, _ completion: @escaping (Result<RunStanding, StoreFault>) -> Void) {
    answer("standing", completion) { truth in
      let record = truth.runs[run] ?? PlayedTruth.Record()
      return RunStanding(
        status: record.status(without: nil), entries: UInt64(record.blocks.count + (record.end == nil ? 0 : 1)))
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
    logs.append(WeakLog(log: log))
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
      if let last, last != record.last ?? .zero { return false }
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
      let isUnknown = truth.isAway || truth.troubles["readersElsewhere"] != nil
      completion(isUnknown ? nil : truth.runs[run]?.status(without: self))
    }
  }

  func add(_ observer: any StoreLifeObserver) {}
  func remove(_ observer: any StoreLifeObserver) {}
}

private struct WeakLog {
  weak var log: PlayedLog?
}

extension PlayedTruth.Record {
  /// The last entry: the end is one too.
  var last: EntryID? {
    let last = blocks.last.map { EntryID($0.metadata.number, 0) }
    return end == nil ? last : (last ?? .zero).ofEnd
  }

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

  func settle() {}

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
  private var loop: EventLoop?

  fileprivate init(_ handler: any ClientStreamHandler, _ loop: EventLoop) {
    self.handler = handler
    self.loop = loop
  }

  func leave() { (handler, loop) = (nil, nil) }

  fileprivate func tell() {
    if let loop { later(on: loop) { [self] in handler?.clientStreamWasTaken() } }
  }
}

/// The store of a played loop.
final class PlayedStores: RunStores {
  private let played: PlayedStore?
  var isUsed: ((any RunStore) -> Bool)?

  init(_ truth: PlayedTruth?, loop: EventLoop) { played = truth.map { PlayedStore($0, loop: loop) } }

  var store: (any RunStore)? { played }
  var connectionCount: Int { 0 }
  func adopt(_ settings: RedisRunSettings?) {}
  func count() {}
  func close() { played?.close() }
}
