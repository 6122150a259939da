import Configuration
import Loop
import RedisLog
import Runs
import Streams
import Telemetry
import Time

/// One loop's clients of Redis as stores of runs.
final class RedisStores: RunStores {
  private let context: LoopContext
  private let process: ProcessRuns
  /// What the configuration in force says.
  private var wanted: RedisRunSettings?
  /// Whether a run or a request needs a connection.
  var isUsed: ((any RunStore) -> Bool)?
  private var current: RedisClient?
  private var source: RedisRunSettings?
  /// Clients of earlier configurations, for the runs that began with them, and when they became such.
  private var retired: [(client: RedisClient, since: MonotonicTime)] = []
  private var cleaning: Timer?
  private var isClosed = false
  private var watch: StoreWatch?
  /// What the clients that are closed had counted.
  private var formerCounts = RedisConnection.Counts()
  /// What the metrics have of it.
  private var shownCounts = RedisConnection.Counts()

  init(process: ProcessRuns, context: LoopContext) {
    self.process = process
    self.context = context
  }

  var store: (any RunStore)? { client }

  var connectionCount: Int {
    (current?.connectionCount ?? 0) + retired.reduce(0) { $0 + $1.client.connectionCount }
  }

  /// Made when it is first asked for; another one after a reload that names another place or other keys.
  private var client: RedisClient? {
    guard !isClosed, let wanted else { return nil }
    if let current, source != nil { return current }
    let made = RedisClient(
      loop: context.loop, dialer: context.dialer, settings: wanted.redis, tls: wanted.context
    ) { [process, context] in RedisServerMeter($0, $1, process: process, context: context) }
    current = made
    source = wanted
    made.start()
    if watch == nil { watch = StoreWatch(process: process, context: context) { [weak self] in self?.current } }
    return made
  }

  /// Takes a new account to every connection, those of runs that are going on too, and gives up what the new configuration
  /// has no use for as soon as the runs of the old one are over.
  func adopt(_ settings: RedisRunSettings?) {
    wanted = settings
    guard let wanted else { return retireCurrent() }
    let clients = retired.map(\.client) + (current.map { [$0] } ?? [])
    for client in clients where client.settings.isSamePlace(as: wanted.redis) {
      client.adopt(wanted.redis, tls: wanted.context)
    }
    guard let current, current.settings != wanted.redis else { return }
    retireCurrent()
  }

  private func retireCurrent() {
    source = nil
    guard let client = current.take() else { return }
    retired.append((client, context.loop.now))
    clean(after: .seconds(1))
  }

  private func clean(after delay: Nanoseconds) {
    let timer = Timer(loop: context.loop) { [weak self] in self?.closeUnused() }
    timer.schedule(after: delay)
    cleaning = timer
  }

  /// A run that was just being begun or looked for is no run yet: it gets the time that such a thing may take.
  private func closeUnused() {
    cleaning = nil
    let now = context.loop.now
    retired.removeAll { client, since in
      guard now - since >= client.settings.commandTimeout + .seconds(4), isUsed?(client) != true else { return false }
      formerCounts.add(client.counts)
      client.close()
      return true
    }
    if !retired.isEmpty { clean(after: .seconds(1)) }
  }

  /// Brings what the clients have counted into the metrics.
  func count() {
    var counts = formerCounts
    for (client, _) in retired { counts.add(client.counts) }
    if let current { counts.add(current.counts) }
    context.metrics.redis.show(counts, since: shownCounts, in: context.shard)
    context.shard.set(context.metrics.redis.connected, to: current?.isReady == true ? 1 : 0)
    shownCounts = counts
  }

  func close() {
    isClosed = true
    cleaning = nil
    watch?.close()
    watch = nil
    for (client, _) in retired { client.close() }
    retired = []
    current?.close()
    current = nil
  }
}
