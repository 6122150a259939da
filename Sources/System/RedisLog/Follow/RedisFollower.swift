import Bytes
import Loop
package import Runs
import Streams
package import Time

/// Follows runs that are written elsewhere.
///
/// Each run first reads what is there, page by page. Then gateways' runs hear each entry on a channel of their own, told by
/// the script that stores it; what workers write, who tell nobody, is waited for with one blocking command for all. The
/// last id that was delivered says where to go on, whatever is lost on the way: an entry that does not follow it, a channel
/// that opens anew, and now and then silence have the log read again. So nothing is missed and nothing comes twice. Runs of
/// gateways whose owner is gone are closed. Retained by its loop while it follows something.
package final class RedisFollower {
  /// How often runs that say nothing are checked.
  static let checkInterval = Nanoseconds.seconds(1)
  /// While a run's channel is not heard, its log is read so often.
  private static let deafInterval = Nanoseconds.milliseconds(150)
  private static let block = Nanoseconds.seconds(5)
  private static let pauseAfterFailure = Nanoseconds.milliseconds(100)

  private enum Request: UInt64 { case wait, unblock }

  package let store: RunRecords
  private let blocking: RedisConnection?
  let channels: any NewsChannels
  /// Takes apart what is told on channels.
  private var parser = ReplyReader()
  private var streams: [FollowedStream] = []
  /// The streams that the blocking command names, in its order; `nil` when none is under way.
  private var waiting: [FollowedStream]?
  private var mustWaitAnew = false
  private var isUnblocking = false
  private var isTurnDue = false
  private var retry: MonotonicTime?
  private var failingSince: MonotonicTime?
  private var isStoreLost = false
  private var lastCheck: MonotonicTime
  let owners: OwnerWatch
  private var handle: DeadlineHandle?

  var loop: EventLoop { store.redis.loop }

  /// A follower that looks for owners by itself.
  package convenience init(store: RunRecords, blocking: RedisConnection?, channels: RedisChannels) {
    self.init(store: store, blocking: blocking, channels: channels, owners: OwnerWatch(store: store))
  }

  /// - Parameter blocking: a connection of the follower's own; without one each stream is read by itself, again and again.
  init(store: RunRecords, blocking: RedisConnection?, channels: any NewsChannels, owners: OwnerWatch) {
    self.store = store
    self.blocking = blocking
    self.channels = channels
    self.owners = owners
    lastCheck = store.redis.loop.now
  }

  /// Whether one command waits for all streams of which nobody tells what is new.
  var waitsForMany: Bool { blocking != nil }

  /// Streams that are followed.
  package var count: Int { streams.count }

  /// Delivers the entries of a run in order, those that are there and those that come.
  ///
  /// - Parameter source: from the run's meta. A gateway's run is ended when its owner's lease has run out.
  package func follow(_ run: RunID, source: RunWriter, handler: any RunFeedHandler) -> FollowedRun {
    FollowedRun(run: run, source: source, follower: self, handler: handler)
  }

  /// Reads the stream under `key` behind `last`.
  ///
  /// - Parameters:
  ///   - channel: where new entries are told; `nil` where nobody does that.
  ///   - isSurelyTold: whether each of them is told there.
  func follow(
    _ key: String, after last: EntryID, channel: String? = nil, isSurelyTold: Bool = false, reader: any StreamReader
  ) -> FollowedStream {
    let stream = FollowedStream(
      key: key, after: last, channel: channel, isSurelyTold: isSurelyTold, follower: self, reader: reader)
    streams.append(stream)
    if let channel { channels.add(stream, to: channel) }
    if handle == nil { handle = loop.deadlines.add(self, at: loop.now + EventLoop.tickInterval) }
    stream.readBacklog()
    return stream
  }

  /// Stops following everything, without telling anybody.
  package func close() {
    for stream in streams { stream.cancel() }
    if let handle { loop.deadlines.remove(handle) }
    handle = nil
  }

  func remove(_ stream: FollowedStream) {
    streams.removeAll { $0 === stream }
    if let channel = stream.channel { channels.remove(stream, from: channel) }
  }

  /// Lends what was told on a channel.
  ///
  /// - Returns: false when it is not one whole reply.
  func parse(_ message: RedisReply, _ body: (RedisReply) -> Void) -> Bool {
    guard let parser else { return false }
    var count = 0
    let isFine = message.withBytes { bytes in
      do throws(RedisError) {
        try parser.read(bytes) { reply in
          count += 1
          if count == 1 { body(reply) }
          return true
        }
      } catch {
        return false
      }
      return count == 1 && parser.isAtEnd
    }
    if !isFine { self.parser = ReplyReader() }
    return isFine
  }

  /// A stream has been read as far as it went.
  func streamJoined() {
    mustWaitAnew = true
    wantTurn()
  }

  func readingFailed() {
    retry = retry ?? loop.now + Self.pauseAfterFailure
    failingSince = failingSince ?? loop.now
  }

  func readingSucceeded() {
    failingSince = nil
    guard isStoreLost else { return }
    isStoreLost = false
    for stream in streams { stream.tellStoreBack() }
  }

  // MARK: - Waiting

  private func wantTurn() {
    guard !isTurnDue else { return }
    isTurnDue = true
    loop.callAfterThisCallback(self)
  }

  private func wait() {
    guard let blocking else { return }
    guard waiting == nil, retry == nil else { return unblock() }
    let live = streams.filter(\.isWaiting)
    mustWaitAnew = false
    guard !live.isEmpty else { return }
    waiting = live
    let timeout = Self.block + store.settings.commandTimeout
    blocking.send(to: self, tag: Request.wait.rawValue, timeout: timeout, mayWait: false) { command in
      command.append("XREAD")
      command.append("COUNT")
      command.append(FollowedStream.firstPage)
      command.append("BLOCK")
      command.append(RunRecords.milliseconds(Self.block))
      command.append("STREAMS")
      for stream in live { command.append(stream.key) }
      for stream in live { command.append { stream.last.write(to: &$0) } }
    }
  }

  /// Has the blocking command end at once, so that it can be sent with the streams that have come.
  private func unblock() {
    guard waiting != nil, mustWaitAnew, !isUnblocking, let id = blocking?.clientID else { return }
    isUnblocking = true
    store.redis.send(to: self, tag: Request.unblock.rawValue) { command in
      command.append("CLIENT")
      command.append("UNBLOCK")
      command.append(Int(id))
    }
  }

  private func waitEnded(_ result: Result<RedisReply, RedisError>) {
    let asked = waiting ?? []
    waiting = nil
    guard case .success(let reply) = result else {
      return readingFailed()
    }
    wantTurn()
    if reply.isError {
      // One of the keys may be of another kind. Read one by one, each tells for itself.
      if reply.isTransientError { readingFailed() }
      for stream in asked { stream.readBacklog() }
      return
    }
    readingSucceeded()
    deliver(reply, to: asked)
  }

  /// The answer names the streams that have something, in the order in which they were asked for.
  private func deliver(_ reply: RedisReply, to asked: [FollowedStream]) {
    var index = 0
    for element in reply.elements {
      guard let (name, entries) = element.firstTwo else { continue }
      while index < asked.count, name.withBytes({ !$0.equals(asked[index].key.utf8Span.span) }) { index += 1 }
      guard index < asked.count else { return }
      if asked[index].isLive { asked[index].deliver(entries) }
      index += 1
    }
  }
}

extension RedisFollower: RedisReceiver, TurnMember, DeadlineMember {
  package func redisAnswered(_ result: Result<RedisReply, RedisError>, tag: UInt64) {
    if tag == Request.wait.rawValue { return waitEnded(result) }
    // When it came before the command it was to end, the next tick sends it again.
    isUnblocking = false
  }

  package func turnCame() {
    isTurnDue = false
    wait()
  }

  package func deadlinePassed(at now: MonotonicTime) -> MonotonicTime? {
    guard !streams.isEmpty else {
      handle = nil
      failingSince = nil
      isStoreLost = false
      return nil
    }
    if let retry, retry <= now {
      self.retry = nil
      for stream in streams where !stream.isLive { stream.readBacklog() }
    } else if retry == nil {
      for stream in streams { stream.readIfDeaf(for: Self.deafInterval, without: blocking == nil, at: now) }
    }
    wait()
    if now - lastCheck >= Self.checkInterval {
      lastCheck = now
      for stream in streams { stream.checkIfQuiet(at: now) }
    }
    // A blocking command that Redis has taken says nothing for seconds when all is well.
    if failingSince != nil, waiting != nil, blocking?.isReady == true, streams.allSatisfy({ $0.isLive || $0.isHeld }) {
      readingSucceeded()
    }
    if let failingSince, !isStoreLost, now - failingSince >= store.settings.patience {
      isStoreLost = true
      for stream in streams { stream.tellStoreLost() }
    }
    return now + EventLoop.tickInterval
  }
}
