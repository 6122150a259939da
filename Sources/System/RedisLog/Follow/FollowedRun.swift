import Bytes
import Loop
import Streams
import Time

/// One run that a `RedisFollower` follows.
package final class FollowedRun: RunFeed {
  enum Phase {
    /// Reads what is there, page by page. → live, over
    case backlog
    /// Waits for what comes. → backlog, over
    case live
    case over
  }

  private enum Request: UInt64 { case page, events, owner }

  private static let pageBytes = 1 << 20
  private static let largestPage = 500

  let run: RunID
  let key: String
  private let source: RunSource
  private let follower: RedisFollower
  private var handler: (any RunFeedHandler)?
  private(set) var phase = Phase.backlog
  /// The last entry delivered.
  private(set) var last: EntryID
  private var number: UInt64
  private var bytes: UInt64 = 0
  /// Entries to ask for, so that an answer is about 1 MiB.
  private(set) var pageSize = 64
  private var isAsking = false
  private var wasSeen = false
  private var lastInput: MonotonicTime
  private var eventsMissing = 0
  private var ownerMissingSince: MonotonicTime?
  private var isClosing = false

  init(
    run: RunID, source: RunSource, after last: EntryID, number: UInt64, follower: RedisFollower,
    handler: any RunFeedHandler
  ) {
    self.run = run
    self.source = source
    self.last = last
    self.number = number
    self.follower = follower
    self.handler = handler
    key = follower.store.keys.events(of: run)
    wasSeen = last > .zero
    lastInput = follower.loop.now
  }

  package func cancel() {
    guard !isOver else { return }
    phase = .over
    handler = nil
    follower.remove(self)
  }

  var isOver: Bool { if case .over = phase { true } else { false } }
  var isLive: Bool { if case .live = phase { true } else { false } }

  // MARK: - The backlog

  /// Asks for the next page of what is there.
  func readBacklog() {
    guard !isOver, !isAsking else { return }
    phase = .backlog
    isAsking = true
    follower.store.redis.send(to: self, tag: Request.page.rawValue) { command in
      command.append("XRANGE")
      command.append(key)
      command.append { last.next.write(to: &$0) }
      command.append("+")
      command.append("COUNT")
      command.append(pageSize)
    }
  }

  private func pageCame(_ result: Result<RedisReply, RedisError>) {
    isAsking = false
    guard case .success(let reply) = result else { return follower.failed(self) }
    // A key of another kind, for instance: nothing that can be followed.
    guard reply.kind == .array else { return reply.isTransient ? follower.failed(self) : vanish() }
    follower.succeeded()
    let asked = pageSize
    deliver(reply)
    if isOver { return }
    if reply.count < asked {
      phase = .live
      follower.joined(self)
    } else {
      readBacklog()
    }
  }

  // MARK: - Delivering

  /// Delivers entries, of which the first follows the last one delivered.
  func deliver(_ entries: RedisReply) {
    wasSeen = wasSeen || entries.count > 0
    eventsMissing = 0
    lastInput = follower.loop.now
    let before = bytes
    for element in entries.elements {
      guard let entry = RunEntry(element) else { return vanish() }
      // An answer that was asked for before another one was delivered.
      if entry.id <= last { continue }
      if let end = EndRecord(entry, events: number, bytes: bytes) { return finish(end) }
      guard deliver(entry) else { return vanish() }
      if isOver { return }
    }
    guard entries.count > 0 else { return }
    let average = max(1, Int(bytes - before) / entries.count)
    pageSize = min(Self.largestPage, max(1, Self.pageBytes / average))
  }

  /// - Returns: false when an event is missing in front of this entry.
  private func deliver(_ entry: RunEntry) -> Bool {
    if let block = entry.block {
      let head = entry.head
      guard head.number == number + (head.kind.isEvent ? 1 : 0) else { return false }
      note(entry.id, head)
      block.withBytes { block in
        bytes += UInt64(block.count)
        handler?.runReceived(block, head)
      }
    } else {
      let head = EntryHead(number: number + 1)
      note(entry.id, head)
      // Not the loop's scratch buffer: whoever gets the block may write to that.
      var text = ByteBuffer()
      entry.writeBlock(to: &text)
      bytes += UInt64(text.count)
      handler?.runReceived(text.span, head)
    }
    return true
  }

  private func note(_ id: EntryID, _ head: EntryHead) {
    last = id
    number = head.number
  }

  private func finish(_ end: EndRecord) {
    let handler = handler
    cancel()
    handler?.runEnded(end)
  }

  private func vanish() {
    let handler = handler
    cancel()
    handler?.runVanished()
  }

  func tellStoreLost() { handler?.runStoreLost() }
  func tellStoreBack() { handler?.runStoreBack() }

  // MARK: - Whether it is still there

  /// Asks, when nothing has come for a while, whether the run and its owner still exist.
  func look(at now: MonotonicTime) {
    guard isLive, now - lastInput >= RedisFollower.lookInterval else { return }
    ask(.events, key)
    if source == .gateway { ask(.owner, follower.store.keys.owner(of: run)) }
  }

  private func ask(_ request: Request, _ key: String) {
    follower.store.redis.send(to: self, tag: request.rawValue) { command in
      command.append("EXISTS")
      command.append(key)
    }
  }

  private func eventsLooked(_ exist: Bool) {
    if exist {
      eventsMissing = 0
      return
    }
    // A Redis that has lost its data gets the run again from its owner, if it has one.
    if source == .gateway, ownerMissingSince == nil { return }
    eventsMissing += 1
    if wasSeen, eventsMissing >= 2 { vanish() }
  }

  private func ownerLooked(_ exists: Bool) {
    guard !exists else {
      ownerMissingSince = nil
      return
    }
    let now = follower.loop.now
    guard let since = ownerMissingSince else {
      ownerMissingSince = now
      return
    }
    // An owner whose lease is gone because Redis was emptied takes it again when it next renews.
    guard now - since > follower.store.settings.renewal, !isClosing else { return }
    isClosing = true
    follower.store.closeOrphan(run) { [weak self] _ in
      // The end comes like every other entry.
      self?.isClosing = false
    }
  }
}

extension FollowedRun: RedisReceiver {
  package func redisAnswered(_ result: Result<RedisReply, RedisError>, tag: UInt64) {
    guard !isOver, let request = Request(rawValue: tag) else { return }
    if request == .page { return pageCame(result) }
    guard case .success(let reply) = result, let count = reply.integer else { return }
    if request == .events { eventsLooked(count > 0) } else { ownerLooked(count > 0) }
  }
}

extension RedisReply {
  /// An error that says more about Redis than about the command.
  var isTransient: Bool {
    isError
      && withBytes { text in
        text.hasPrefix("LOADING") || text.hasPrefix("BUSY") || text.hasPrefix("MASTERDOWN")
          || text.hasPrefix("TRYAGAIN")
          || text.hasPrefix("OOM") || text.hasPrefix("UNBLOCKED")
      }
  }
}
