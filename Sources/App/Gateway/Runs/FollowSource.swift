import Configuration
import HTTP
import Loop
import Runs
import SSE
import Streams
import Telemetry
import Time

/// Feeds a run from what others write about it: another replica's run from its log, a worker's from where that tells.
final class FollowSource: RunSource {
  private let id: RunID
  private let meta: RunMeta
  private let store: any RunStore
  private let settings: RunSettings
  private let limits: Watchdogs
  private let classifier: EventClassifier
  private let context: LoopContext
  private weak var run: Run?
  private var feed: (any RunFeed)?
  private var batch = RunBatch()
  private var isTurnDue = false
  /// Whether what was there at the beginning has come.
  private var hasCaughtUp = false
  private let openDue: MonotonicTime?
  private var events: UInt64 = 0
  private var bytes: UInt64 = 0
  private var lastInput: MonotonicTime
  /// Whether nothing is read because of readers here; then silence is not the worker's.
  private var isHeldUp = false
  /// When a worker that was asked to stop has had the time to say how it ended.
  private var stopDue: MonotonicTime?

  /// What a worker's events have meant so far.
  private var verdict = StreamVerdict()
  private var isFinishing = false

  private static let timeToStop = Nanoseconds.seconds(1)
  /// Silence behind a terminal after which a worker that has not written an end is taken to have none to write.
  private var timeForEnd: Nanoseconds { limits.idle > .zero ? min(limits.idle, .seconds(5)) : .seconds(5) }

  init(
    _ id: RunID, _ meta: RunMeta, _ store: any RunStore, settings: RunSettings, route: Route, context: LoopContext
  ) {
    self.id = id
    self.meta = meta
    self.store = store
    self.settings = settings
    self.context = context
    limits = route.settings.stream.watchdogs
    classifier = route.classifier
    lastInput = context.loop.now
    let patience = route.policy.commitAfter
    openDue = patience > .zero ? context.loop.now + patience : nil
  }

  func uses(_ other: any RunStore) -> Bool { feed != nil && store === other }

  var isOwner: Bool { false }
  /// When Redis is told again whose run it is: both keys expire, and a worker's run has no lease.
  private var nextNote = MonotonicTime(nanoseconds: 0)

  var home: RunHome { isWorkers ? .aWorker : .anotherReplica }
  var attempts: Int { 0 }
  private var isWorkers: Bool { meta.source == .worker }

  func begin(feeding run: Run) {
    self.run = run
    feed = store.follow(id, at: outlet, handler: self)
    if isWorkers {
      store.watchCancel(of: id, handler: self)
      store.add(self)
    }
    // A channel never says that all was heard.
    if isWorkers, settings.source == .pubsub || settings.source == .bullmq { wantTurn() }
  }

  private var outlet: RunOutlet {
    switch settings.source {
    case .pubsub where isWorkers: .channel(settings.channel)
    case .bullmq where isWorkers: .queue(settings.queue ?? "")
    default: .log(meta.source)
    }
  }

  func conclude() -> (events: UInt64, bytes: UInt64) { (events, bytes) }

  func stop(_ result: AttemptResult) {
    run = nil
    guard let feed = feed.take() else { return }
    feed.cancel()
    guard isWorkers else { return }
    store.stopWatchingCancel(of: id)
    store.remove(self)
  }

  func holdUp() -> Bool {
    isHeldUp = feed?.hold() ?? false
    return isHeldUp
  }

  func goOn() {
    isHeldUp = false
    feed?.goOn()
  }

  func cancel() { store.requestCancel(id) { _ in } }

  func timePassed(_ now: MonotonicTime) -> MonotonicTime {
    if isWorkers, now >= nextNote {
      if nextNote > MonotonicTime(nanoseconds: 0) { storeMayHaveForgotten() }
      nextNote = now + Nanoseconds(store.timeToLive.value / 3)
    }
    guard isWorkers else {
      // As on the replica that has it: a stream opens at the latest then.
      if hasCaughtUp, run?.isOpen == false, let openDue, openDue <= now { handOver() }
      return now + .seconds(1)
    }
    if isHeldUp { lastInput = now }
    let silence = now - lastInput
    if let stopDue, stopDue <= now {
      finish(.cancelled, .clientAsked)
    } else if verdict.hasTerminal, silence >= timeForEnd {
      finish(verdict.outcome, .workerSilentAfterTerminal)
    } else if events == 0, limits.firstToken > .zero, silence >= limits.firstToken {
      cancel()
      context.routes.passed(.streamFirstToken, on: run?.route.settings.name)
      finish(.firstTokenTimeout, .workerFirstTokenTimeout)
    } else if events > 0, limits.idle > .zero, silence >= limits.idle {
      cancel()
      context.routes.passed(.idle, on: run?.route.settings.name)
      finish(verdict.hasError ? .upstreamError : .idleTimeout, .workerIdleTimeout)
    }
    return now + .milliseconds(500)
  }

  /// Ends it in the worker's place: for all who read it, wherever they are, if its events are kept.
  private func finish(_ outcome: Outcome, _ reason: EndReason) {
    let record = EndRecord(
      outcome: outcome, reason: reason.text, events: events, bytes: bytes, upstreamIsComplete: outcome.isCleanEnd)
    guard let lastEntry = feed?.lastEntry else { return end(record) }
    guard !isFinishing else { return }
    isFinishing = true
    // Whoever asks for a stop does not wait for what may still come; silence has to be one.
    let last = outcome == .cancelled ? nil : lastEntry
    store.endWorkers(id, record, ifLastIs: last) { [weak self] result in
      guard let self else { return }
      isFinishing = false
      // The end comes like every other entry. Who can't write it tells at least its own readers.
      if case .failure = result { end(record) }
    }
  }

  /// Ends it for this loop's readers.
  private func end(_ record: EndRecord) {
    batch.end = record
    handOver()
  }

  private func wantTurn() {
    guard !isTurnDue else { return }
    isTurnDue = true
    context.loop.callAfterThisCallback(self)
  }

  private func handOver() {
    let batch = batch
    self.batch = RunBatch()
    guard let run else {
      stop(.ended(.clientGone))
      return
    }
    if run.isOpen { run.take(batch) } else { run.adopt(.eventStream, batch) }
  }
}

extension FollowSource: RunFeedHandler {
  func runReceived(_ block: Span<UInt8>, _ metadata: EntryMetadata) {
    lastInput = context.loop.now
    if metadata.kind.isEvent { events += 1 }
    bytes += UInt64(block.count)
    var metadata = metadata
    if isWorkers {
      // Nobody before us has looked at what it means.
      metadata.mark = classifier.mark(Event(reading: block), in: block)
      verdict.add(metadata.mark)
    }
    batch.append(block, metadata)
    // What is there already comes at once, so that a reader learns whether it has it all.
    if run?.isOpen != false || hasCaughtUp { wantTurn() }
  }

  func runCaughtUp() {
    hasCaughtUp = true
    // A gateway's run of which nothing has come may turn out to have no stream.
    if run?.isOpen != true, isWorkers || !batch.isEmpty { handOver() }
  }

  func runEnded(_ end: EndRecord) {
    batch.end = end
    handOver()
  }

  func runHasNoStream(_ record: EndRecord) {
    guard let run else { return }
    if run.isOpen { runEnded(record) } else { run.failed(.noStream) }
  }

  func runVanished() {
    guard let run else { return }
    guard run.isOpen else { return run.failed(.gone) }
    end(
      EndRecord(
        outcome: .gatewayError, reason: EndReason.eventsAreGone.text, events: events, bytes: bytes,
        upstreamIsComplete: false))
  }

  func runStoreLost() {
    guard let run else { return }
    if run.isOpen { return run.storeLostForReaders() }
    run.host.noteStoreLoss(of: run)
    run.failed(.stopped(reason: EndReason.storeUnreachable.text))
  }

  func runStoreBack() {
    if let run { run.host.noteStoreRecovery(of: run) }
  }
}

extension FollowSource: StoreLifeObserver {
  /// Whose run it is must not be forgotten while somebody reads it.
  func storeMayHaveForgotten() {
    store.adopt(id, meta: meta) { _ in }
    store.nameStream(meta.stream, of: id)
  }
}

extension FollowSource: TurnMember, CancelHandler {
  func turnCame() {
    isTurnDue = false
    if feed != nil { handOver() }
  }

  func runWasCancelled(_ run: RunID) { stopDue = context.loop.now + Self.timeToStop }
}
