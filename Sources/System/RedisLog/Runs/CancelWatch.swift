import Bytes
import Loop
package import Time

/// Who is told that a run is to stop. Once, and not before the call that began the watch has returned.
package protocol CancelHandler: AnyObject {
  func runWasCancelled(_ run: RunID)
}

/// Notices, on whichever replica it was asked for, that one of this loop's runs is to stop.
///
/// The truth is the run's cancel key. The channel only says when to look; without it the watch looks often enough by
/// itself, and now and then it does so anyway.
package final class CancelWatch {
  private static let interval = Nanoseconds.seconds(1)
  /// While the channel is not heard: with the tick that it may be late a cancellation is seen within 250 ms.
  private static let shortInterval = Nanoseconds.milliseconds(150)
  private static let keysAtOnce = 500

  private let store: RunStore
  private let channels: RedisChannels
  private var handlers: [RunID: any CancelHandler] = [:]
  private var handle: DeadlineHandle?
  private var lastLook: MonotonicTime

  package init(store: RunStore, channels: RedisChannels) {
    self.store = store
    self.channels = channels
    lastLook = store.redis.loop.now
  }

  /// Watches a run until it is cancelled or `stop` is called. A cancellation that was asked for before counts.
  package func watch(_ run: RunID, handler: any CancelHandler) {
    handlers[run] = handler
    if handle == nil {
      channels.add(self, to: store.keys.cancelChannel)
      handle = store.redis.loop.deadlines.add(self, at: store.redis.loop.now + EventLoop.tickInterval)
    }
    look(at: [run])
  }

  package func stop(_ run: RunID) {
    handlers[run] = nil
  }

  package func close() {
    handlers = [:]
    channels.remove(self, from: store.keys.cancelChannel)
    if let handle { store.redis.loop.deadlines.remove(handle) }
    handle = nil
  }

  private func lookAtAll() {
    lastLook = store.redis.loop.now
    // In a cluster the keys of several runs can't be asked for together.
    let size = store.keys.usesHashTags ? 1 : Self.keysAtOnce
    let runs = Array(handlers.keys)
    for start in stride(from: 0, to: runs.count, by: size) { look(at: runs[start..<min(runs.count, start + size)]) }
  }

  private func look(at runs: ArraySlice<RunID>) {
    store.redis.send { command in
      command.append("MGET")
      for run in runs { command.append(store.keys.cancel(of: run)) }
    } completion: { [weak self] result in
      guard let self, case .success(let reply) = result, reply.kind == .array else { return }
      for (run, value) in zip(runs, reply.elements) where !value.isNull { cancelled(run) }
    }
  }

  private func cancelled(_ run: RunID) {
    handlers.removeValue(forKey: run)?.runWasCancelled(run)
  }
}

extension CancelWatch: ChannelListener, DeadlineMember {
  package func channelOpened() { lookAtAll() }
  package func channelClosed() {}

  package func channelReceived(_ message: RedisReply) {
    guard let run = message.withBytes({ RunID(parsing: $0) }), handlers[run] != nil else { return }
    look(at: [run])
  }

  package func deadlinePassed(at now: MonotonicTime) -> MonotonicTime? {
    let interval = channels.isOpen(store.keys.cancelChannel) ? Self.interval : Self.shortInterval
    if !handlers.isEmpty, now - lastLook >= interval { lookAtAll() }
    return now + EventLoop.tickInterval
  }
}
