import Loop
import RedisLog
import Telemetry
import Time

/// Says when one loop's connection to Redis comes and goes: in the log, and to whoever asks whether the process is ready.
final class StoreWatch {
  private static let interval = Nanoseconds.milliseconds(200)

  private unowned let worker: Worker
  private let client: () -> RedisClient?
  private var handle: DeadlineHandle?
  private var standing = StoreStanding.unknown

  init(worker: Worker, client: @escaping () -> RedisClient?) {
    self.worker = worker
    self.client = client
    handle = worker.loop.deadlines.add(self, at: worker.loop.now + EventLoop.tickInterval)
  }

  func close() {
    if let handle = handle.take() { worker.loop.deadlines.remove(handle) }
    worker.hub.note(.unknown, of: worker.index)
  }

  private func look() {
    let now = client().map { StoreStanding($0) } ?? .unknown
    guard now != standing else { return }
    let (wasAway, isAway) = (standing.fault != nil, now.fault != nil)
    standing = now
    worker.hub.note(now, of: worker.index)
    // The next try may fail for another reason, which is not worth a line.
    if isAway, wasAway { return }
    guard now != .unknown else { return }
    worker.log.write(isAway ? .error : .info, isAway ? "redis_lost" : "redis_connected", at: worker.loop.wallTime()) {
      $0.field("worker", worker.index)
      if let fault = now.fault { $0.field("reason", fault) }
    }
  }
}

extension StoreWatch: DeadlineMember {
  func deadlinePassed(at now: MonotonicTime) -> MonotonicTime? {
    look()
    return now + Self.interval
  }
}

/// Whether a loop has Redis.
enum StoreStanding: Equatable, Sendable {
  /// No run is kept there, or the first try is not over.
  case unknown
  case connected
  case away(reason: String)

  init(_ client: RedisClient) {
    self = client.isReady ? .connected : client.lastFault.map { .away(reason: $0) } ?? .unknown
  }

  var fault: String? {
    if case .away(let reason) = self { return reason }
    return nil
  }
}
