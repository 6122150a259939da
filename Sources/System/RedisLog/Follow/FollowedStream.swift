import Bytes
import Loop
import Runs
import Time

/// Who reads a stream with a `FollowedStream`. Each call may cancel it.
protocol StreamReader: AnyObject {
  /// The next entry, `[id, [name, value, …]]`.
  /// - Returns: its bytes, as far as they matter for how much is asked for at a time.
  func streamReceived(_ entry: RedisReply, id: EntryID) -> Int
  /// All that was there has been read; called each time the backlog comes to its end.
  func streamCaughtUp()
  /// The key is of another kind, or an answer could not be read: nothing more will come.
  func streamBroke()
  /// Nothing has come for a while.
  func streamIsSilent()
  /// What was found when that was checked.
  /// - Parameter wasSeen: whether the key has existed before.
  func streamChecked(exists: Bool, wasSeen: Bool)
  func streamStoreLost()
  func streamStoreBack()
}

/// One Redis stream that a `RedisFollower` follows, whatever its entries mean.
final class FollowedStream {
  enum Phase {
    /// Reads what is there, page by page. → live, over
    case backlog
    /// Waits for what comes: on its channel, or together with all others that have none. → backlog, over
    case live
    case over
  }

  private enum Request: UInt64 { case page, existence }

  private static let pageBytes = 1 << 20
  private static let largestPage = 500
  /// Entries to ask for while nothing is known of their size, which may be 256 KiB.
  static let firstPage = 4

  let key: String
  /// Where new entries are told; `nil` where nobody does that.
  let channel: String?
  /// Whether all that is new is told there for sure. A worker may do so or not.
  private let isSurelyTold: Bool
  /// The same, as far as it seems so at the moment.
  private var isTold: Bool
  private let follower: RedisFollower
  private var reader: (any StreamReader)?
  private var phase = Phase.backlog
  /// The last entry read.
  private(set) var last: EntryID
  /// Entries to ask for, so that an answer is about 1 MiB if they are like the largest of the last one.
  private var pageSize = firstPage
  private var isAsking = false
  /// Whether something was told while a page was on its way, which may not have it.
  private var mustReadAgain = false
  private var lastAsked: MonotonicTime
  /// Checks since something last came.
  private var quietChecks = 0
  /// Whether the page that is on its way was asked for because nothing was told.
  private var seeksUntold = false
  /// Whether its reader wants nothing for now.
  private(set) var isHeld = false
  private var wasSeen: Bool
  private var lastInput: MonotonicTime

  /// So many checks find nothing new before the log itself is read: what was told may have been lost.
  private static let checksBetweenReads = 5

  init(
    key: String, after last: EntryID, channel: String?, isSurelyTold: Bool, follower: RedisFollower,
    reader: any StreamReader
  ) {
    self.key = key
    self.channel = channel
    self.isSurelyTold = isSurelyTold
    isTold = isSurelyTold
    self.last = last
    self.follower = follower
    self.reader = reader
    wasSeen = last > .zero
    lastInput = follower.loop.now
    lastAsked = lastInput
  }

  var isOver: Bool { if case .over = phase { true } else { false } }
  var isLive: Bool { if case .live = phase { true } else { false } }
  /// Whether the blocking command is to name it.
  var isWaiting: Bool { isLive && channel == nil }

  func cancel() {
    guard !isOver else { return }
    phase = .over
    reader = nil
    follower.remove(self)
  }

  // MARK: - Reading

  /// Reads nothing until `goOn()`. A page that was asked for may still come; what the blocking command brings meanwhile is
  /// read again.
  func hold() {
    guard !isOver else { return }
    isHeld = true
    phase = .backlog
  }

  func goOn() {
    isHeld = false
    lastInput = follower.loop.now
    readBacklog()
  }

  /// Asks for the next page of what is there.
  func readBacklog() {
    guard !isOver, !isAsking, !isHeld else { return }
    phase = .backlog
    isAsking = true
    mustReadAgain = false
    lastAsked = follower.loop.now
    send(.page) { command in
      command.append("XRANGE")
      command.append(key: key)
      command.append { last.next.write(to: &$0) }
      command.append("+")
      command.append("COUNT")
      command.append(pageSize)
    }
  }

  private func pageCame(_ result: Result<RedisReply, RedisError>) {
    isAsking = false
    guard case .success(let reply) = result, !reply.isTransientError else { return follower.readingFailed() }
    guard reply.kind == .array else { return fail() }
    follower.readingSucceeded()
    if seeksUntold, reply.count > 0, !isSurelyTold { isTold = false }
    seeksUntold = false
    let asked = pageSize
    deliver(reply)
    if isOver || isHeld { return }
    if reply.count == asked || mustReadAgain { return readBacklog() }
    if let channel {
      if follower.channels.isOpen(channel) { phase = .live }
    } else {
      phase = .live
      follower.streamJoined()
    }
    reader?.streamCaughtUp()
  }

  /// Reads what is there while nobody tells what is new.
  ///
  /// - Parameter isUnwatched: no blocking command waits for streams that have no channel.
  func readIfDeaf(for interval: Nanoseconds, without isUnwatched: Bool, at now: MonotonicTime) {
    let isDeaf = channel == nil ? isUnwatched && isLive : !isLive || !isTold
    if isDeaf, now - lastAsked >= interval { readBacklog() }
  }

  /// Delivers entries, of which the first follows the last one read.
  func deliver(_ entries: RedisReply) {
    guard entries.count > 0 else { return }
    noteInput()
    var largest = 1
    for entry in entries.elements {
      guard let id = entry.firstTwo?.0.withBytes({ EntryID(parsing: $0) }) else { return fail() }
      // In an answer that was asked for before another one was read.
      if id <= last { continue }
      last = id
      largest = max(largest, reader?.streamReceived(entry, id: id) ?? 0)
      if isOver { return }
    }
    pageSize = min(Self.largestPage, max(1, Self.pageBytes / largest))
  }

  private func noteInput() {
    wasSeen = true
    quietChecks = 0
    lastInput = follower.loop.now
  }

  /// Delivers an entry that was told together with the id in front of it, if nothing is missing between.
  private func deliverTold(_ told: RedisReply) {
    guard let (preceding, entry) = told.firstTwo, let before = preceding.withBytes({ EntryID(parsing: $0) }),
      let id = entry.firstTwo?.0.withBytes({ EntryID(parsing: $0) }), before <= last
    else { return readBacklog() }
    noteInput()
    if id <= last { return }
    last = id
    _ = reader?.streamReceived(entry, id: id)
  }

  private func fail() {
    let reader = reader
    cancel()
    reader?.streamBroke()
  }

  func tellStoreLost() { reader?.streamStoreLost() }
  func tellStoreBack() { reader?.streamStoreBack() }

  // MARK: - Whether it is still there

  /// Asks, when nothing has come for a while, whether there still is such a key.
  func checkIfQuiet(at now: MonotonicTime) {
    guard isLive, now - lastInput >= RedisFollower.checkInterval else { return }
    quietChecks += 1
    if !isTold {
      askIfItExists()
    } else if quietChecks % Self.checksBetweenReads == 0 {
      if !isSurelyTold { askIfItExists() }
      seeksUntold = !isAsking
      readBacklog()
    }
    reader?.streamIsSilent()
  }

  func askIfItExists() {
    guard !isOver else { return }
    send(.existence) { command in
      command.append("EXISTS")
      command.append(key: key)
    }
  }

  private func send(_ request: Request, _ write: (RedisCommand) -> Void) {
    follower.store.redis.send(to: self, tag: request.rawValue, write)
  }
}

extension FollowedStream: ChannelListener {
  package func channelOpened() {
    // What was stored before is told to nobody any more.
    if isAsking { mustReadAgain = true } else { readBacklog() }
  }

  package func channelClosed() {
    guard isLive else { return }
    phase = .backlog
    follower.readingFailed()
  }

  package func channelReceived(_ message: RedisReply) {
    guard !isOver, !isHeld else { return }
    isTold = true
    guard isLive else {
      mustReadAgain = true
      return
    }
    if !follower.parse(message, deliverTold) { readBacklog() }
  }
}

extension FollowedStream: RedisReceiver {
  package func redisAnswered(_ result: Result<RedisReply, RedisError>, tag: UInt64) {
    guard !isOver, let request = Request(rawValue: tag) else { return }
    switch request {
    case .page: pageCame(result)
    case .existence:
      guard case .success(let reply) = result, let count = reply.integer else { return }
      if count > 0 { wasSeen = true }
      reader?.streamChecked(exists: count > 0, wasSeen: wasSeen)
    }
  }
}

extension RedisReply {
  /// An error that says more about Redis at this moment than about the command.
  var isTransientError: Bool { isError && withBytes { RedisFault($0) }.isTransient }
}
