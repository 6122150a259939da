package import Runs

/// Notices, on whichever replica it was asked for, that one of this loop's runs is to stop.
package final class CancelWatch {
  private let keys: RunKeys
  private let watch: KeyWatch

  package init(store: RunRecords, channels: RedisChannels) {
    let keys = store.keys
    self.keys = keys
    watch = KeyWatch(store: store, channels: channels, channel: keys.cancelChannel) { message in
      RunID(parsing: message).map { keys.cancel(of: $0) }
    }
  }

  /// Watches a run until it is cancelled or `stop` is called. A cancellation that was asked for before counts.
  package func watch(_ run: RunID, handler: any CancelHandler) {
    watch.watch(keys.cancel(of: run), handler: WatchedRun(run, handler, watch))
  }

  package func stop(_ run: RunID) { watch.stop(keys.cancel(of: run)) }

  package func close() { watch.close() }
}

/// One run that may be cancelled.
private final class WatchedRun: KeyHandler {
  private let run: RunID
  private let handler: any CancelHandler
  private unowned let watch: KeyWatch

  init(_ run: RunID, _ handler: any CancelHandler, _ watch: KeyWatch) {
    self.run = run
    self.handler = handler
    self.watch = watch
  }

  func keyHolds(_ value: RedisReply, _ key: String) {
    watch.stop(key)
    handler.runWasCancelled(run)
  }
}
