import Bytes
import Loop
package import Runs
import Streams
import Time

/// One run whose stream is followed.
package final class FollowedRun: RunFeed {
  let run: RunID
  private let source: RunWriter
  private let follower: RedisFollower
  private var handler: (any RunFeedHandler)?
  // Optional because making it needs `self`; set once by `init`.
  private var stream: FollowedStream?
  private var number: UInt64 = 0
  private var bytes: UInt64 = 0
  /// The id of a gateway's last block; before the first `nil`.
  private var lastBlock: EntryID?
  private var timesMissing = 0
  /// For a gateway's run.
  private let owner: OwnerSearch
  /// Whether the run is read though its first events are gone: nobody will write them again.
  private var startsLate = false
  private var retry: Timer?

  init(run: RunID, source: RunWriter, follower: RedisFollower, handler: any RunFeedHandler) {
    self.run = run
    self.source = source
    self.follower = follower
    self.handler = handler
    owner = OwnerSearch(run, store: follower.store)
    stream = followEvents()
    owner.tell = { [weak self] in self?.found($0) }
  }

  private func followEvents() -> FollowedStream {
    let keys = follower.store.keys
    // A worker may tell what it writes, which is worth listening where nothing waits for it.
    let channel = source == .gateway || !follower.waitsForMany ? keys.news(of: run) : nil
    return follower.follow(
      keys.events(of: run), after: .zero, channel: channel, isSurelyTold: source == .gateway, reader: self)
  }

  /// The last entry that has come.
  package var lastEntry: EntryID? { stream?.last ?? .zero }

  package func hold() -> Bool {
    guard let stream else { return false }
    stream.hold()
    return true
  }

  package func goOn() { stream?.goOn() }

  package func cancel() {
    handler = nil
    owner.tell = nil
    retry?.cancel()
    retry = nil
    stream?.cancel()
  }

  // MARK: - Whether the beginning is still to come

  /// The first entry is not the run's first. A Redis that was just emptied gets the beginning again from the run's owner.
  private func waitForBeginning() {
    stream?.cancel()
    stream = nil
    follower.store.remainingWait { [self] result in
      guard handler != nil else { return }
      switch result {
      case .success(.zero), .failure(.refused): startsLate = true
      case .success, .failure: break
      }
      let timer = Timer(loop: follower.loop) { [self] in readAgain() }
      timer.schedule(after: .milliseconds(startsLate ? 1 : 100))
      retry = timer
    }
  }

  private func readAgain() {
    retry = nil
    guard handler != nil else { return }
    stream = followEvents()
  }

  private func end(_ tell: (any RunFeedHandler) -> Void) {
    guard let handler else { return }
    cancel()
    tell(handler)
  }

  // MARK: - Whether the owner is still there

  private func found(_ finding: OwnerSearch.Finding) {
    switch finding {
    case .isThere: break
    case .isMissing: stream?.askIfItExists()
    case .wasClosed(.failure(.refused(let text))) where RedisFault(text.utf8Span.span).refusesWrites: endHere()
    // The end comes like every other entry, if it could be written.
    case .wasClosed: break
    }
  }

  /// The owner is gone and Redis takes no end (it is full, say): readers of this loop are told, instead of waiting for what
  /// nobody can write.
  private func endHere() {
    let record = EndRecord(
      outcome: .gatewayError,
      reason: TimeLimit.storeLease.ending("the gateway that had the run is gone, and Redis takes no writes"),
      events: number, bytes: bytes, upstreamIsComplete: false)
    end { $0.runEnded(record) }
  }
}

extension FollowedRun: StreamReader {
  func streamReceived(_ reply: RedisReply, id: EntryID) -> Int {
    timesMissing = 0
    guard let entry = StoredEntry(reply) else {
      streamBroke()
      return 0
    }
    if let record = EndRecord(entry, events: number, bytes: bytes) {
      end { entry.hasNoStream ? $0.runHasNoStream(record) : $0.runEnded(record) }
      return 0
    }
    if source == .gateway, lastBlock == nil, !startsLate, !entry.isFirst {
      waitForBeginning()
      return 0
    }
    let before = bytes
    if source == .worker {
      receiveEvent(entry)
    } else if let preceding = entry.preceding {
      if !entry.readBlocks(after: preceding, receiveBlock) { streamBroke() }
    } else if let block = entry.block {
      block.withBytes { _ = receiveBlock($0, entry.metadata, entry.id) }
    } else {
      streamBroke()
    }
    return Int(bytes - before)
  }

  /// A gateway's block, if no event is missing between it and the one before. Redis may have lost the run's beginning.
  ///
  /// - Returns: whether more may come.
  private func receiveBlock(_ block: Span<UInt8>, _ metadata: EntryMetadata, _ id: EntryID) -> Bool {
    if let lastBlock {
      // Written once more, together with others: its owner did not know that Redis had it, or Redis has lost it since.
      if id <= lastBlock { return true }
      guard metadata.number == number &+ (metadata.kind.isEvent ? 1 : 0) else {
        streamBroke()
        return false
      }
    }
    lastBlock = id
    number = metadata.number
    bytes += UInt64(block.count)
    handler?.runReceived(block, metadata)
    return handler != nil
  }

  /// What a worker wrote.
  private func receiveEvent(_ entry: StoredEntry) {
    number &+= 1
    // Not the loop's scratch buffer: whoever gets the block may write to that.
    var text = ByteBuffer()
    entry.writeBlock(to: &text)
    bytes += UInt64(text.count)
    handler?.runReceived(text.span, EntryMetadata(number: number))
  }

  func streamCaughtUp() { handler?.runCaughtUp() }

  func streamBroke() {
    end { $0.runVanished() }
  }

  func streamIsSilent() {
    if source == .gateway { follower.owners.add(owner) }
  }

  func streamChecked(exists: Bool, wasSeen: Bool) {
    if exists {
      timesMissing = 0
      return
    }
    // A Redis that has lost its data gets the run again from its owner, if it has one.
    if source == .gateway, !owner.isMissing { return }
    timesMissing += 1
    if wasSeen, timesMissing >= 2 { streamBroke() }
  }

  func streamStoreLost() { handler?.runStoreLost() }
  func streamStoreBack() { handler?.runStoreBack() }
}
