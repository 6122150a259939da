package import Streams

/// Who gets the entries of a run that is written elsewhere. Called from the loop, never from inside a call of the feed.
package protocol RunFeedHandler: AnyObject {
  /// The next block. Its mark is empty where a worker wrote it: what its event means is for the reader to find out.
  func runReceived(_ block: Span<UInt8>, _ metadata: EntryMetadata)
  /// All that was there when it was asked for has come. Called each time that a backlog comes to its end.
  func runCaughtUp()
  /// The last call.
  func runEnded(_ end: EndRecord)
  /// There never was a stream, and will be none. The last call.
  func runHasNoStream(_ end: EndRecord)
  /// What was followed is gone, or can't be followed without a gap: expired, deleted, or overwritten. The last call.
  func runVanished()
  /// The store is away for longer than it may be. The feed goes on trying.
  func runStoreLost()
  /// It has come back. Nothing was missed.
  func runStoreBack()
}

extension RunFeedHandler {
  package func runCaughtUp() {}
  package func runHasNoStream(_ end: EndRecord) { runEnded(end) }
}

/// A run's entries on their way to a handler, until the end or `cancel()`.
package protocol RunFeed: AnyObject {
  /// The handler is not called any more.
  func cancel()
  /// Asks for nothing more until `goOn()`. What was asked for may still come.
  ///
  /// - Returns: false when it can't wait: what it reads is kept nowhere.
  func hold() -> Bool
  /// Goes on behind what was delivered last.
  func goOn()
  /// The last entry that has come; `nil` when what is read is kept nowhere.
  var lastEntry: EntryID? { get }
}

extension RunFeed {
  package func hold() -> Bool { false }
  package var lastEntry: EntryID? { nil }
  package func goOn() {}
}
