import Loop
import RedisLog
import Streams
import Time

/// One loop's way to the runs that all replicas know.
final class SharedRuns {
  private unowned let worker: Worker
  private var current: RedisClient?
  private var source: RedisRunSettings?
  /// Clients of earlier configurations, for the runs that began with them, and when they became such.
  private var retired: [(client: RedisClient, since: MonotonicTime)] = []
  private var cleaning: Timer?
  private var queues: [String: BullMQQueue] = [:]
  private var isClosed = false

  init(worker: Worker) {
    self.worker = worker
  }

  /// Made when it is first asked for; another one after a reload that has changed something.
  var client: RedisClient? {
    guard !isClosed, let wanted = worker.settings.configuration.runs.redis else { return nil }
    if let current, let source, source.redis == wanted.redis, source.context === wanted.context { return current }
    retireCurrent()
    let made = RedisClient(loop: worker.loop, dialer: worker.dialer, settings: wanted.redis, tls: wanted.context)
    current = made
    source = wanted
    made.start()
    return made
  }

  /// Gives up what the new configuration has no use for, as soon as the runs of the old one are over.
  func settingsChanged() {
    guard let source else { return }
    let wanted = worker.settings.configuration.runs.redis
    if source.redis != wanted?.redis || source.context !== wanted?.context { retireCurrent() }
  }

  private func retireCurrent() {
    queues = [:]
    source = nil
    guard let client = current.take() else { return }
    retired.append((client, worker.loop.now))
    clean(after: .seconds(1))
  }

  private func clean(after delay: Nanoseconds) {
    let timer = Timer(loop: worker.loop) { [weak self] in self?.closeUnused() }
    timer.schedule(after: delay)
    cleaning = timer
  }

  /// A run that was just being begun or looked for is no run yet: it gets the time that such a thing may take.
  private func closeUnused() {
    cleaning = nil
    let now = worker.loop.now
    retired.removeAll { client, since in
      guard now - since >= client.settings.commandTimeout + .seconds(4), !worker.runs.uses(client) else { return false }
      client.close()
      return true
    }
    if !retired.isEmpty { clean(after: .seconds(1)) }
  }

  func queue(_ name: String, _ client: RedisClient) -> BullMQQueue {
    if let queue = queues[name] { return queue }
    let queue = BullMQQueue(name: name, follower: client.follower)
    queues[name] = queue
    return queue
  }

  func close() {
    isClosed = true
    cleaning = nil
    for (client, _) in retired { client.close() }
    retired = []
    current?.close()
    current = nil
  }
}
