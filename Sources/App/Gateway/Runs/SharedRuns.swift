import Loop
import RedisLog
import Streams

/// One loop's way to the runs that all replicas know.
final class SharedRuns {
  private unowned let worker: Worker
  private var current: RedisClient?
  private var source: RedisRunSettings?
  /// Clients of earlier configurations, for the runs that began with them.
  private var retired: [RedisClient] = []
  private var queues: [String: BullMQQueue] = [:]
  private var isClosed = false

  init(worker: Worker) {
    self.worker = worker
  }

  /// Made when it is first asked for; another one after a reload that has changed something.
  var client: RedisClient? {
    guard !isClosed, let wanted = worker.settings.configuration.runs.redis else { return nil }
    if let current, let source, source.redis == wanted.redis, source.context === wanted.context { return current }
    if let current { retired.append(current) }
    queues = [:]
    let made = RedisClient(loop: worker.loop, dialer: worker.dialer, settings: wanted.redis, tls: wanted.context)
    current = made
    source = wanted
    made.start()
    return made
  }

  func queue(_ name: String, _ client: RedisClient) -> BullMQQueue {
    if let queue = queues[name] { return queue }
    let queue = BullMQQueue(name: name, follower: client.follower)
    queues[name] = queue
    return queue
  }

  /// No run of theirs is left.
  func closeRetired() {
    for client in retired { client.close() }
    retired = []
  }

  func close() {
    isClosed = true
    closeRetired()
    current?.close()
    current = nil
  }
}
