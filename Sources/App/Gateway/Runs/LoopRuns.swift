import Bytes
import Configuration
import Logging
import Loop
import Runs
import SSE
import Streams
import Telemetry
package import Time

/// The runs that have readers or a source on one loop: those that live here, and copies of others.
package final class LoopRuns: RunHost {
  let context: LoopContext
  let process: ProcessRuns
  /// Those of the other loops.
  let peers: LoopPeers<LoopRuns>
  private var runs: [StreamID: Run] = [:]
  private var ended = EndedRuns()
  /// Readers by their client's own names for its stream.
  private var named: [Digest: [(reader: any RunClient, take: UInt64)]] = [:]
  private var askedForRoom: MonotonicTime?
  /// For the logs of this loop.
  private let pool = SegmentPool()
  private var poolHandle: DeadlineHandle?
  private let stores: any RunStores
  /// Whether a request waits for its body or for an answer of the store, which it began with.
  private let isAwaited: (any RunStore) -> Bool
  /// Called after a run has come to its end, or is forgotten.
  private let somethingLeft: () -> Void

  init(
    process: ProcessRuns, peers: LoopPeers<LoopRuns>, context: LoopContext, stores: any RunStores,
    isAwaited: @escaping (any RunStore) -> Bool,
    somethingLeft: @escaping () -> Void
  ) {
    self.process = process
    self.peers = peers
    self.context = context
    self.stores = stores
    self.isAwaited = isAwaited
    self.somethingLeft = somethingLeft
    stores.isUsed = { [unowned self] in uses($0) }
  }

  /// Every run of this loop, in no order.
  package var all: some Sequence<Run> { runs.values }
  /// Runs that are not over.
  var running: Int { runs.values.count { !$0.isSettled && $0.isOwner } }
  /// This loop's way to the store that all replicas share; `nil` when there is none.
  var store: (any RunStore)? { stores.store }

  subscript(stream: StreamID) -> Run? { runs[stream] }

  func add(_ run: Run) {
    runs[run.stream] = run
    run.log.memory.charge(Self.memoryOfRun)
    run.log.memory.reserve()
    if poolHandle == nil { poolHandle = context.loop.deadlines.add(self, at: context.loop.now + Self.trimInterval) }
  }

  func remove(_ run: Run) {
    guard runs[run.stream] === run else { return }
    runs[run.stream] = nil
    if run.isOwner {
      process.index.remove(run.identity)
      ended.removeForgotten(of: run.identity.principal) { runs[$0] != nil }
    }
    runLeft()
  }

  func drainBegan() {
    for run in runs.values { run.drainBegan() }
  }

  /// Nothing of it is left behind.
  func close() {
    if let handle = poolHandle.take() { context.loop.deadlines.remove(handle) }
    for run in runs.values { run.letGo() }
    runs = [:]
    named = [:]
    stores.close()
  }

  /// Connects early to the store, if there is one. A loop that missed an outage of it would take owners that are still
  /// reconnecting for dead.
  func connect() { _ = store }

  /// Brings what is known of the store into the numbers, just before they are read.
  func countStore() { stores.count() }
  /// Connections to stores.
  package var storeConnections: Int { stores.connectionCount }

  /// There is a new configuration.
  func adopt(_ settings: Settings) {
    stores.adopt(settings.configuration.runs.redis)
    connect()
  }

  /// Whether a run needs that way to the store, or a request that waits for its body or for an answer of the store.
  func uses(_ store: any RunStore) -> Bool {
    runs.values.contains { $0.uses(store) } || isAwaited(store)
  }

  /// The log of a new run, and whether its readers may see at once what it takes in.
  func makeLog(for identity: RunIdentity, settings: RunSettings) -> (log: any EventLog, isImmediate: Bool) {
    let limits = MemoryLog.Limits(run: settings.limit, window: settings.window > 0 ? settings.window : .max)
    return (makeMemory(of: identity.stream, limits, for: identity.principal), true)
  }

  /// The log of a run that is kept in a store.
  func makeSharedLog(_ title: RunTitle, _ store: any RunStore, settings: RunSettings) -> any SharedLog {
    let limits = MemoryLog.Limits(run: settings.limit, window: settings.window > 0 ? settings.window : .max)
    let memory = makeMemory(of: title.meta.stream, limits, for: title.meta.principal)
    return store.makeLog(of: title.run, memory: memory)
  }

  private func makeMemory(of stream: StreamID, _ limits: MemoryLog.Limits, for principal: Digest) -> MemoryLog {
    MemoryLog(of: stream, limits: limits, budget: process.memories.memory(of: principal), pool: pool)
  }

  /// A run that is written elsewhere, as this loop's readers see it.
  ///
  /// - Parameter request: what it was asked for with, as far as that is known.
  func follow(
    _ id: RunID, _ meta: RunMeta, _ store: any RunStore, route: Route, settings: RunSettings, request: Digest? = nil
  ) -> Run {
    if let run = runs[meta.stream] { return run }
    // Another gateway has the limits of what it writes; a worker has none.
    let limit = meta.source == .worker ? settings.limit : .max
    let log = makeMemory(of: meta.stream, MemoryLog.Limits(run: limit), for: meta.principal)
    let source = FollowSource(id, meta, store, settings: settings, route: route, context: context)
    let run = Run(
      identity: RunIdentity(stream: meta.stream, principal: meta.principal, request: request), log: log,
      isImmediate: true, source: source, policy: .cancel, route: route, settings: settings, host: self)
    run.notice = RunNotice(id: id, store: store)
    run.begin()
    return run
  }

  /// The run that lives at `place`, or a copy of it.
  ///
  /// - Parameter store: the store that the request began with, if it has one.
  func find(_ place: RunPlace, store: (any RunStore)?) -> Run? {
    if let run = runs[place.identity.stream] { return run }
    guard place.worker != context.index else { return nil }
    // Its owner has the limits.
    let log = makeMemory(
      of: place.identity.stream, MemoryLog.Limits(run: .max), for: place.identity.principal)
    let copy = Run(
      identity: place.identity, log: log, isImmediate: true,
      source: CopySource(of: place, peers: peers, context: context),
      policy: .cancel, route: place.route, settings: place.settings, host: self)
    if place.settings.isStored, let store = store ?? self.store,
      let id = RunID(place.identity.stream.description)
    {
      copy.notice = RunNotice(id: id, store: store)
    }
    copy.begin()
    return copy
  }

  /// Ends the run, wherever it lives.
  func stop(_ place: RunPlace, reason: String) {
    let stream = place.identity.stream
    peers.ask(place.worker) { $0[stream]?.end(.cancelled, reason: reason) }
    // For those who look at the key: it says that somebody wanted it.
    guard place.settings.isStored, let id = RunID(stream.description) else { return }
    store?.requestCancel(id) { _ in }
  }

  /// Enters a reader under its client's own name for its stream, if it has one.
  func enter(_ reader: any RunClient) {
    if let name = reader.wish.clientStream { named[name, default: []].append((reader, process.nextTake())) }
  }

  func forget(_ reader: any RunClient) {
    guard let name = reader.wish.clientStream, var readers = named.removeValue(forKey: name) else { return }
    readers.removeAll { $0.reader === reader }
    if !readers.isEmpty { named[name] = readers }
  }

  /// Ends the streams of all readers that took the client's own name for its stream before `reader` did.
  func replaceReaders(of clientStream: Digest, with reader: any RunClient) {
    guard let take = named[clientStream]?.first(where: { $0.reader === reader })?.take else { return }
    endReaders(of: clientStream, before: take)
    // When they hear of it, the client's next reader may be there already.
    peers.askOthers(than: context.index) { $0.endReaders(of: clientStream, before: take) }
  }

  private func endReaders(of clientStream: Digest, before take: UInt64) {
    for (other, earlier) in named[clientStream] ?? [] where earlier < take { other.clientStreamWasTaken() }
  }

  /// Forgets runs that are over and that nobody reads until there is room, those of principals that hold more than their
  /// share first, the oldest first; on other loops too, if those here are not enough.
  ///
  /// - Parameter memory: of the one who needs it.
  func makeRoom(for memory: PrincipalMemory) {
    forgetEnded()
    let now = context.loop.now
    guard memory.wantsRoom, askedForRoom.map({ now - $0 >= .milliseconds(100) }) ?? true else { return }
    askedForRoom = now
    peers.askOthers(than: context.index) { $0.forgetEnded() }
  }

  private func forgetEnded() {
    var tries = 16
    for memory in process.memories.crowding {
      forgetEnded(of: memory.principal, &tries) { memory.isCrowding }
    }
    forgetEnded(of: nil, &tries) { process.memories.isTight }
  }

  /// - Parameter principal: `nil` for runs of all.
  private func forgetEnded(of principal: Digest?, _ tries: inout Int, while needsRoom: () -> Bool) {
    // Those that are still read, or not stored yet, have another turn.
    var turns = min(tries, ended.count(of: principal))
    while turns > 0, needsRoom(), let stream = ended.popFirst(of: principal) {
      turns -= 1
      tries -= 1
      guard let run = runs[stream], run.isOver else { continue }
      if process.memories.isShort { run.endSlowReaders() }
      if run.isExpendable, run.isOwner { run.vanish() } else { ended.append(stream, of: principal) }
    }
  }

  /// Ends all runs that live here.
  func endAll(_ outcome: Outcome, reason: String) {
    for run in Array(runs.values) where run.isOwner { run.end(outcome, reason: reason) }
  }

  // MARK: - Books

  func ended(_ run: Run, _ end: EndRecord) {
    ended.append(run.stream, of: run.isOwner ? run.identity.principal : nil, among: runs.count) { runs[$0] != nil }
    guard run.isOwner else { return }
    if end.outcome.isGatewaysOwn { process.index.noteFailure(of: run.stream) }
    context.shard.increment(context.metrics.runs[end.outcome])
    note(.info, .runEnded, of: run, end)
    runLeft()
  }

  /// The run's events can't be stored or read.
  func noteStoreLoss(of run: Run) {
    context.shard.increment(context.metrics.redis.storeLosses)
    note(.warning, .runStoreLost, of: run, because: run.storeFault)
  }

  func noteStoreRecovery(of run: Run) { note(.info, .runStoreRecovered, of: run) }

  /// The run's end is where it belongs, or the run is forgotten.
  func runLeft() { somethingLeft() }

  private func note(
    _ level: LogLevel, _ event: LogEvent, of run: Run, _ end: EndRecord? = nil, because fault: String? = nil
  ) {
    context.log.write(level, event, at: context.loop.wallTime()) { line in
      line.field("streamId") { run.stream.write(to: &$0) }
      line.field("route", run.route.settings.name)
      if let fault { line.field("reason", fault) }
      guard let end else { return }
      line.field("outcome", end.outcome.rawValue)
      line.field("reason", end.reason)
      line.field("events", end.events)
      line.field("bytes", end.bytes)
      line.field("milliseconds", Int((context.loop.now - run.startedAt).milliseconds))
    }
  }
}

// The memory that no run has needed for a while goes back.
extension LoopRuns: DeadlineMember {
  /// What a run holds beside its events and its response's head: its objects, and its entries in tables. Measured in a
  /// release build: with 8,000 to 24,000 finished runs, with and without keys, 97 to 109 % of what resident memory grew by
  /// is counted.
  fileprivate static let memoryOfRun = 2_100

  fileprivate static let trimInterval = Nanoseconds.seconds(1)

  package func deadlinePassed(at now: MonotonicTime) -> MonotonicTime? {
    pool.trim()
    if !runs.isEmpty || pool.bytes > 0 { return now + Self.trimInterval }
    poolHandle = nil
    return nil
  }
}

extension Run {
  /// It is over: ends the streams of clients that are too slow to take the rest while memory is short.
  func endSlowReaders() {
    for reader in readers where reader.isStuck(at: context.loop.now) {
      reader.finish(.clientStalled, reason: EndReason.slowAndMemoryIsShort.text)
    }
  }
}
