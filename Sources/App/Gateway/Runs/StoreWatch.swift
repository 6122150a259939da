import Logging
import Loop
import Runs
import Telemetry
import Time

/// Says when one loop's connection to Redis comes and goes: in the log, and to whoever asks whether the process is ready.
final class StoreWatch {
  private static let interval = Nanoseconds.milliseconds(200)

  private let context: LoopContext
  private let process: ProcessRuns
  private let store: () -> (any RunStore)?
  private var handle: DeadlineHandle?
  private var standing = StoreStanding.unknown

  init(process: ProcessRuns, context: LoopContext, store: @escaping () -> (any RunStore)?) {
    self.process = process
    self.context = context
    self.store = store
    handle = context.loop.deadlines.add(self, at: context.loop.now + EventLoop.tickInterval)
  }

  func close() {
    if let handle = handle.take() { context.loop.deadlines.remove(handle) }
    process.note(.unknown, of: context.index)
  }

  private func checkConnection() {
    let now = store()?.connection ?? .unknown
    guard now != standing else { return }
    let (wasAway, isAway) = (standing.fault != nil, now.fault != nil)
    standing = now
    process.note(now, of: context.index)
    // The next try may fail for another reason, which is not worth a line.
    if isAway, wasAway { return }
    guard now != .unknown else { return }
    context.log.write(isAway ? .error : .info, isAway ? .redisLost : .redisConnected, at: context.loop.wallTime()) {
      $0.field("worker", context.index)
      if let fault = now.fault { $0.field("reason", fault) }
    }
  }
}

extension StoreWatch: DeadlineMember {
  func deadlinePassed(at now: MonotonicTime) -> MonotonicTime? {
    checkConnection()
    return now + Self.interval
  }
}
