import HTTP
import Loop
import RedisLog
import SSE
import Streams
import Time

/// Feeds a run from what others write about it: another replica's run from its log, a worker's from where that tells.
final class FollowSource: RunSource {
  private let id: RunID
  private let meta: RunMeta
  private let redis: RedisClient
  private let shared: SharedRuns
  private let settings: RunSettings
  private let limits: Watchdogs
  private unowned let worker: Worker
  private weak var run: LoggedRun?
  private var feed: (any RunFeed)?
  private var batch = RunBatch()
  private var isTurnDue = false
  private var events: UInt64 = 0
  private var bytes: UInt64 = 0
  private var lastInput: MonotonicTime
  /// When a worker that was asked to stop has had the time to say how it ended.
  private var stopDue: MonotonicTime?

  private static let timeToStop = Nanoseconds.seconds(1)

  init(
    _ id: RunID, _ meta: RunMeta, _ redis: RedisClient, shared: SharedRuns, settings: RunSettings, route: Route,
    worker: Worker
  ) {
    self.id = id
    self.meta = meta
    self.redis = redis
    self.shared = shared
    self.settings = settings
    self.worker = worker
    limits = route.settings.stream.watchdogs
    lastInput = worker.loop.now
  }

  var isOwner: Bool { false }
  var attempts: Int { 0 }
  private var isWorkers: Bool { meta.source == .worker }

  func begin(feeding run: LoggedRun) {
    self.run = run
    feed = makeFeed()
    if isWorkers { redis.cancelWatch.watch(id, handler: self) }
    // A channel never says that all was heard.
    if isWorkers, settings.source == .pubsub || settings.source == .bullmq { wantTurn() }
  }

  private func makeFeed() -> any RunFeed {
    switch settings.source {
    case .pubsub where isWorkers:
      PubSubFeed(run: id, template: settings.channel, channels: redis.channels, handler: self)
    case .bullmq where isWorkers:
      shared.queue(settings.queue ?? "", redis).follow(id, handler: self)
    default: redis.follower.follow(id, source: meta.source, handler: self)
    }
  }

  func conclude() -> (events: UInt64, bytes: UInt64) { (events, bytes) }

  func stop(_ result: AttemptResult) {
    run = nil
    guard let feed = feed.take() else { return }
    feed.cancel()
    if isWorkers { redis.cancelWatch.stop(id) }
  }

  func cancel() { redis.store.requestCancel(id) { _ in } }

  func timePassed(_ now: MonotonicTime) -> MonotonicTime {
    guard isWorkers else { return now + .seconds(1) }
    if let stopDue, stopDue <= now { end(.cancelled, "a client has asked for it") }
    let (limit, outcome): (Nanoseconds, Outcome) =
      events == 0 ? (limits.firstToken, .firstTokenTimeout) : (limits.idle, .idleTimeout)
    if limit > .zero, now - lastInput >= limit {
      cancel()
      end(outcome, "the worker was silent for too long")
    }
    return now + .milliseconds(500)
  }

  /// Ends it for this loop's readers.
  private func end(_ outcome: Outcome, _ reason: String) {
    batch.end = EndRecord(
      outcome: outcome, reason: reason, events: events, bytes: bytes, upstreamIsComplete: false)
    handOver()
  }

  private func wantTurn() {
    guard !isTurnDue else { return }
    isTurnDue = true
    worker.loop.callAfterThisCallback(self)
  }

  private func handOver() {
    let batch = batch
    self.batch = RunBatch()
    guard let run else {
      stop(.clientGone)
      return
    }
    if run.isOpen { run.take(batch) } else { run.adopt(.eventStream, batch) }
  }
}

extension FollowSource: RunFeedHandler {
  func runReceived(_ block: Span<UInt8>, _ head: EntryHead) {
    lastInput = worker.loop.now
    if head.kind.isEvent { events += 1 }
    bytes += UInt64(block.count)
    batch.append(block, head)
    // What is there already comes at once, so that a reader learns whether it has it all.
    if run?.isOpen != false { wantTurn() }
  }

  func runCaughtUp() {
    if run?.isOpen != true { handOver() }
  }

  func runEnded(_ end: EndRecord) {
    batch.end = end
    handOver()
  }

  func runVanished() {
    guard let run else { return }
    if run.isOpen { end(.gatewayError, "the run's events are gone") } else { run.failed(.gone) }
  }

  func runStoreLost() {
    guard let run else { return }
    worker.runs.note("run_store_lost", of: run)
    if !run.isOpen { run.failed(.stopped(reason: "the store of runs can't be reached")) }
  }

  func runStoreBack() {
    if let run { worker.runs.note("run_store_recovered", of: run) }
  }
}

extension FollowSource: TurnMember, CancelHandler {
  func turnCame() {
    isTurnDue = false
    if feed != nil { handOver() }
  }

  func runWasCancelled(_ run: RunID) { stopDue = worker.loop.now + Self.timeToStop }
}
