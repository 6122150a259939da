import Bytes
package import Runs
import Streams

/// The events that BullMQ tells of a queue's jobs, one job being one run whose id is the job's.
///
/// All jobs' events are in one stream, `bull:<queue>:events`, which BullMQ keeps to about 10,000 entries. A run that is
/// followed first reads what is there of it and then gets its part of what one reader for all of them reads.
package final class BullMQQueue {
  fileprivate let follower: RedisFollower
  fileprivate let key: String
  private var jobs: [RunID: [BullMQFeed]] = [:]
  private var stream: FollowedStream?

  /// - Parameter prefix: BullMQ's own, of all its keys.
  package init(name: String, prefix: String = "bull", follower: RedisFollower) {
    self.follower = follower
    key = "\(prefix):\(name):events"
  }

  /// Delivers the events of a job: those that are kept and those that come.
  ///
  /// `progress` becomes `partial` with its data, `completed` becomes `complete` with the value that the job returned, and
  /// `failed` becomes `error` with the reason; the last two end the run. What else happens to the job becomes `status`.
  package func follow(_ run: RunID, handler: any RunFeedHandler) -> any RunFeed {
    let feed = BullMQFeed(run: run, queue: self, handler: handler)
    feed.begin()
    return feed
  }

  /// How far the reader for all jobs has read; `nil` when there is none.
  fileprivate var last: EntryID? { stream?.last }

  fileprivate func joined(_ feed: BullMQFeed, at last: EntryID) {
    jobs[feed.run, default: []].append(feed)
    if stream == nil { stream = follower.follow(key, after: last, reader: self) }
  }

  fileprivate func left(_ feed: BullMQFeed) {
    jobs[feed.run]?.removeAll { $0 === feed }
    if jobs[feed.run]?.isEmpty == true { jobs[feed.run] = nil }
    guard jobs.isEmpty else { return }
    stream?.cancel()
    stream = nil
  }

  private func forEach(_ body: (BullMQFeed) -> Void) {
    for feeds in jobs.values { for feed in feeds { body(feed) } }
  }
}

extension BullMQQueue: StreamReader {
  func streamReceived(_ entry: RedisReply, id: EntryID) -> Int {
    guard let event = BullMQEvent(entry), let run = RunID(event.job) else { return BullMQEvent.usualSize }
    for feed in jobs[run] ?? [] { feed.receive(event, id) }
    return event.size
  }

  func streamCaughtUp() {}

  func streamBroke() {
    stream = nil
    forEach { $0.vanish() }
  }

  func streamIsSilent() {}
  // Jobs that are gone may come again: BullMQ makes the stream when it has something to say.
  func streamChecked(exists: Bool, wasSeen: Bool) {}
  func streamStoreLost() { forEach { $0.handler?.runStoreLost() } }
  func streamStoreBack() { forEach { $0.handler?.runStoreBack() } }
}

/// One job's part of a queue's events.
private final class BullMQFeed: RunFeed {
  let run: RunID
  private let queue: BullMQQueue
  private(set) var handler: (any RunFeedHandler)?
  /// Reads what is there, until it has come as far as the reader for all.
  private var backlog: FollowedStream?
  private var last = EntryID.zero
  private var number: UInt64 = 0
  private var bytes: UInt64 = 0

  init(run: RunID, queue: BullMQQueue, handler: any RunFeedHandler) {
    self.run = run
    self.queue = queue
    self.handler = handler
  }

  func begin() {
    backlog = queue.follower.follow(queue.key, after: .zero, reader: self)
  }

  func cancel() {
    guard handler != nil else { return }
    handler = nil
    backlog?.cancel()
    backlog = nil
    queue.left(self)
  }

  func vanish() {
    guard let handler else { return }
    cancel()
    handler.runVanished()
  }

  func receive(_ event: BullMQEvent, _ id: EntryID) {
    guard id > last, handler != nil else { return }
    last = id
    number += 1
    var text = ByteBuffer()
    event.event.write(to: &text)
    bytes += UInt64(text.count)
    handler?.runReceived(text.span, EntryMetadata(number: number))
    guard let outcome = event.outcome, let handler else { return }
    cancel()
    handler.runEnded(
      EndRecord(
        outcome: outcome, reason: event.reason, events: number, bytes: bytes, upstreamIsComplete: true))
  }
}

extension BullMQFeed: StreamReader {
  func streamReceived(_ entry: RedisReply, id: EntryID) -> Int {
    guard let event = BullMQEvent(entry) else { return BullMQEvent.usualSize }
    if event.job == run.description { receive(event, id) }
    return event.size
  }

  func streamCaughtUp() {
    guard handler != nil, let backlog else { return }
    last = max(last, backlog.last)
    // The reader for all may be ahead; what it has read since is read here too.
    if let others = queue.last, others > backlog.last { return backlog.readBacklog() }
    backlog.cancel()
    self.backlog = nil
    queue.joined(self, at: last)
  }

  func streamBroke() { vanish() }
  func streamIsSilent() {}
  func streamChecked(exists: Bool, wasSeen: Bool) {}
  func streamStoreLost() { handler?.runStoreLost() }
  func streamStoreBack() { handler?.runStoreBack() }
}

/// One entry of BullMQ's.
private struct BullMQEvent {
  /// Bytes of an entry beside what it tells.
  static let usualSize = 256

  let job: String
  let event: WorkerEvent
  /// How it ends the run, if it does.
  private(set) var outcome: Outcome?
  private(set) var reason = ""

  var size: Int { Self.usualSize + event.data.count }

  init?(_ entry: RedisReply) {
    var fields: [String: RedisReply] = [:]
    guard var elements = entry.firstTwo?.1.elements else { return nil }
    while let name = elements.next(), let value = elements.next() { fields[name.text] = value }
    guard let name = fields["event"]?.text, let job = fields["jobId"]?.text else { return nil }
    self.job = job
    switch name {
    case "progress": event = WorkerEvent(type: "partial", data: fields["data"]?.bytes ?? [])
    case "completed":
      event = WorkerEvent(type: "complete", data: fields["returnvalue"]?.bytes ?? Array("null".utf8))
      outcome = .completed
      reason = "the job is completed"
    case "failed":
      let text = fields["failedReason"]?.bytes ?? []
      event = WorkerEvent(type: "error", data: Self.object("message", text))
      outcome = .upstreamError
      reason = "the job failed"
    default: event = WorkerEvent(type: "status", data: Self.object("state", Array(name.utf8)))
    }
  }

  private static func object(_ name: StaticString, _ value: [UInt8]) -> [UInt8] {
    var text = ByteBuffer()
    text.append("{\"")
    text.append(name)
    text.append("\":")
    text.append(jsonString: value.span)
    text.append("}")
    return text.toArray()
  }
}
